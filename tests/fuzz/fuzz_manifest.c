/* SPDX-License-Identifier: MIT */
/* A manifest, or a grant's row in the vault. What is accepted is written back byte for byte, and every row of it is found. */
#include "vaultfs/vault.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void manifest(const uint8_t *data, size_t len)
{
    struct vf_manifest m;
    VF_BUF again = {0};

    if (vf_manifest_parse(data, len, "fuzz", &m, NULL) != VF_OK)
        return;
    vf_buf_init(&again, len);
    vf_manifest_put_head(&again, &m.vault, m.nrecords, m.set);
    for (uint32_t i = 0; i < m.nrecords; i++) {
        struct vf_ref ref;
        uint32_t row = UINT32_MAX;
        vf_manifest_ref(&m, i, &ref);
        check(vf_manifest_find(&m, &ref, &row) && row == i);
        vf_manifest_put_ref(&again, &ref);
        for (unsigned c = 0; c < m.nfields; c++) {
            struct vf_manifest_item item;
            check(vf_manifest_column(&m, m.fields[c]) == (int)c);
            vf_manifest_item(&m, i, c, &item);
            vf_manifest_put_item(&again, item.generation, &item.hash);
        }
    }
    check(vf_buf_ok(&again) && again.len == len && memcmp(again.data, data, len) == 0);
}

static void grant_row(const uint8_t *data, size_t len)
{
    struct vf_grant_row row;
    VF_BUF again = {0};

    if (vf_grant_row_parse(data, len, &row, NULL) != VF_OK)
        return;
    vf_buf_init(&again, len);
    vf_grant_row_put(&row, &again);
    check(vf_buf_ok(&again) && again.len == len && memcmp(again.data, data, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    manifest(data, len);
    grant_row(data, len);
    return 0;
}
