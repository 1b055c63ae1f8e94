/* SPDX-License-Identifier: MIT */
/* Whether a grant counts: signatures under the policy in force, and its window. */
#include "rederive.h"

#include <string.h>

const char *vf_grant_ends_text(const struct vf_grant *g)
{
    if (g->release == VF_RELEASE_ONLINE)
        return "the force's key desk destroys this grant's one-time key at the end, and what was not released by then stays "
               "closed";
    return "expiry enforced by software, not by cryptography";
}

enum vf_err vf_grant_window(const struct vf_grant *g, int64_t now_us, struct vf_why *why)
{
    char when[64];

    if (now_us >= g->until_us) {
        vf_time_format_person(g->until_us, when, sizeof(when));
        return vf_fail(why, VF_E_EXPIRED, "grant %.*s (%s) ended on %s; the force can renew it", VF_GRANT_ID_LEN, g->id.c,
                       g->job, when);
    }
    if (now_us < g->from_us) {
        vf_time_format_person(g->from_us, when, sizeof(when));
        return vf_fail(why, VF_E_NOT_YET, "grant %.*s (%s) starts on %s", VF_GRANT_ID_LEN, g->id.c, g->job, when);
    }
    return VF_OK;
}

/* The policy that the grant was made under must be one that we know, and no fork of it. */
enum vf_err vf_grant_policy_known(const struct vf_grant *g, const struct vf_policy_chain *chain, struct vf_why *why)
{
    if (chain->ruling == 0)
        return vf_fail(why, VF_E_UNSIGNED, "no policy of this force is in force yet");
    if (memcmp(&g->vault, &chain->policy.vault, sizeof(g->vault)) != 0)
        return vf_fail(why, VF_E_REFUSED, "grant %.*s is of another force (\"%s\", not \"%s\")", VF_GRANT_ID_LEN, g->id.c,
                       g->force_name, chain->policy.force_name);
    if (g->policy_version > chain->nhashes)
        return vf_fail(why, VF_E_STALE,
                       "the grant names policy version %u, %zu is the newest known here: receive the newer policy first",
                       (unsigned)g->policy_version, chain->nhashes);
    if (memcmp(&chain->hashes[g->policy_version - 1], &g->policy_hash, VF_HASH_LEN) != 0)
        return vf_fail(why, VF_E_FORGED, "the grant names a policy version %u that is not the one known here",
                       (unsigned)g->policy_version);
    return VF_OK;
}

/* "alice, bob": the admins who could still sign. */
static void list_missing(const struct vf_note_key *keys, size_t n, const bool *signed_by, char *out, size_t size)
{
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (signed_by[i])
            continue;
        int put = snprintf(out + at, size - at, "%s%s", at > 0 ? ", " : "", keys[i].name);
        if (put < 0 || (size_t)put >= size - at) {
            out[at] = '\0';
            return;
        }
        at += (size_t)put;
    }
}

enum vf_err vf_grant_agreed(const struct vf_policy_chain *chain, const struct vf_note *note, bool *ret, size_t *ret_count,
                            struct vf_why *why)
{
    struct vf_note_key keys[VF_ADMINS_MAX];
    bool signed_by[VF_ADMINS_MAX] = {false};
    size_t nkeys = vf_policy_admin_keys(&chain->policy, keys);

    *ret_count = 0;
    VF_TRY(vf_note_verify(note, keys, nkeys, signed_by, ret_count, why));
    *ret = chain->ruling != 0 && *ret_count >= chain->policy.threshold;
    return VF_OK;
}

enum vf_err vf_grant_verify(const struct vf_grant_file *file, const struct vf_policy_chain *chain, struct vf_why *why)
{
    struct vf_note_key keys[VF_ADMINS_MAX];
    bool signed_by[VF_ADMINS_MAX] = {false};
    size_t count = 0;

    VF_TRY(vf_grant_policy_known(&file->grant, chain, why));
    size_t nkeys = vf_policy_admin_keys(&chain->policy, keys);
    VF_TRY(vf_note_verify(&file->note, keys, nkeys, signed_by, &count, why));
    if (count < chain->policy.threshold) {
        char missing[256];
        list_missing(keys, nkeys, signed_by, missing, sizeof(missing));
        return vf_fail(why, VF_E_UNSIGNED, "grant %.*s has %zu of %u signatures; missing: one of %s", VF_GRANT_ID_LEN,
                       file->grant.id.c, count, chain->policy.threshold, missing);
    }
    return VF_OK;
}
