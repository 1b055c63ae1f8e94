/* SPDX-License-Identifier: MIT */
/* u16 length, a policy file, a revocation: what is taken was signed by one of the policy's admins. */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    struct vf_policy_chain chain;
    struct vf_revocation r;
    struct vf_why why = {0};
    struct vf_reader in = vf_reader_of(data, len);
    size_t policy_len;

    if (!ready && vf_crypto_init(65536, NULL) != VF_OK)
        abort();
    ready = true;
    const uint8_t *policy = vf_reader_str16(&in, UINT16_MAX, &policy_len);
    if (in.bad || vf_policy_chain_parse(policy, policy_len, "fuzz", &chain, &why) != VF_OK)
        return 0;
    if (vf_revocation_parse(in.next, in.left, "fuzz", &chain, &r, &why) == VF_OK &&
        (chain.ruling == 0 || memcmp(&r.vault, &chain.policy.vault, sizeof(r.vault)) != 0 || r.reason[0] == '\0'))
        abort();
    vf_policy_chain_done(&chain);
    return 0;
}
