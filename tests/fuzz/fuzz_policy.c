/* SPDX-License-Identifier: MIT */
/* A policy file, and one version's text. What is accepted is written back: the text byte for byte, the chain in its canonical form. */
#include "../../vaultfs/vault/policy.h"
#include "vaultfs/vault.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void text(const uint8_t *data, size_t len)
{
    struct vf_policy policy;
    struct vf_hash previous;
    VF_BUF again = {0};

    if (vf_policy_parse((const char *)data, len, "fuzz", &policy, &previous, NULL) != VF_OK)
        return;
    vf_buf_init(&again, VF_POLICY_TEXT_MAX);
    vf_policy_put(&policy, &previous, &again);
    check(again.len == len && memcmp(again.data, data, len) == 0);
    check(vf_policy_legal(&policy, NULL) == VF_OK);
}

static void chain(const uint8_t *data, size_t len)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain one = {0};
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain two = {0};
    struct vf_why why = {0};
    int cmp = 9;

    enum vf_err err = vf_policy_chain_parse(data, len, "fuzz", &one, &why);
    if (err != VF_OK) {
        check(why.err == err && why.text[0] != '\0');
        return;
    }
    check(one.nhashes == one.ruling && (one.ruling > 0 || one.has_pending) && one.len <= len);
    check(vf_policy_chain_parse(one.bytes, one.len, "again", &two, NULL) == VF_OK);
    check(two.len == one.len && memcmp(two.bytes, one.bytes, one.len) == 0);
    check(two.ruling == one.ruling && two.has_pending == one.has_pending);
    check(vf_policy_chain_compare(&one, &two, &cmp, NULL) == VF_OK && cmp == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    chain(data, len);
    text(data, len);
    return 0;
}
