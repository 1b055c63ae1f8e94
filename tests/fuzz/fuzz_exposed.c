/* SPDX-License-Identifier: MIT */
/* exposed.csv from other hands: what is taken is in order, complete, and has a sentence for each part. */
#include "vaultfs/report.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_part(const struct vf_exposed_part *p, enum vf_part part)
{
    VF_BUF words = {0};

    vf_buf_init(&words, 4096);
    vf_exposed_sentence(p, part, &words);
    if (!vf_buf_ok(&words) || words.len == 0 || words.data[words.len - 1] != '.')
        abort();
    if (p->tier > 2 || (p->read != 0) > (p->tier == 2) || (p->tier == 2 && p->read == 0 && p->presumed == 0))
        abort();
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if ((p->fields & VF_FIELD_BIT(f)) != 0 && vf_field_part(f) != (unsigned)part)
            abort();
    if (p->has_times && p->last_us < p->first_us)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct vf_exposed e;
    struct vf_why why = {0};

    enum vf_err err = vf_exposed_parse(data, len, "fuzz", &e, &why);
    if (err != VF_OK) {
        if ((err != VF_E_INPUT && err != VF_E_LIMIT) || why.text[0] == '\0')
            abort();
        return 0;
    }
    for (size_t i = 0; i < e.n; i++) {
        if (i > 0 && vf_ref_cmp(&e.rows[i - 1].ref, &e.rows[i].ref) >= 0)
            abort();
        if (!e.rows[i].has[0] || !e.rows[i].has[1] || vf_exposed_find(&e, &e.rows[i].ref) != &e.rows[i])
            abort();
        check_part(&e.rows[i].part[VF_PART_TEXT], VF_PART_TEXT);
        check_part(&e.rows[i].part[VF_PART_IMAGE], VF_PART_IMAGE);
    }
    vf_exposed_done(&e);
    return 0;
}
