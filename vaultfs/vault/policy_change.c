/* SPDX-License-Identifier: MIT */
/* The next version of the policy, as a file to be signed. Nothing in the vault changes until it is installed. */
#include "internal.h"
#include "policy.h"

#include <string.h>

static int find_name(const struct vf_policy *p, const char *name)
{
    for (size_t i = 0; i < p->nadmins; i++)
        if (strcmp(p->admins[i].name, name) == 0)
            return (int)i;
    return -1;
}

static enum vf_err change_admins(struct vf_policy *next, const struct vf_policy_change *change, struct vf_why *why)
{
    for (size_t i = 0; i < change->nremove; i++) {
        int at = find_name(next, change->remove[i]);
        if (at < 0)
            return vf_fail(why, VF_E_INPUT, "there is no admin of that name to remove");
        next->nadmins--;
        memmove(&next->admins[at], &next->admins[at + 1], (next->nadmins - (size_t)at) * sizeof(next->admins[0]));
    }
    for (size_t i = 0; i < change->nadd; i++) {
        if (change->add[i].role != VF_ROLE_ADMIN)
            return vf_fail(why, VF_E_INPUT, "%s: not an identity of role admin", change->add[i].name);
        if (find_name(next, change->add[i].name) >= 0)
            return vf_fail(why, VF_E_EXISTS, "%s: there is an admin of that name already", change->add[i].name);
        if (next->nadmins == VF_ADMINS_MAX)
            return vf_fail(why, VF_E_LIMIT, "a policy has at most %d admins", VF_ADMINS_MAX);
        next->admins[next->nadmins++] = change->add[i];
    }
    return VF_OK;
}

static enum vf_err change_desk(struct vf_policy *next, const struct vf_policy_change *change, struct vf_why *why)
{
    if (change->desk != NULL) {
        next->has_desk = true;
        next->desk = *change->desk;
    }
    if (change->desk_url != NULL) {
        if (!next->has_desk)
            return vf_fail(why, VF_E_INPUT, "a desk's URL without a desk");
        if (strlen(change->desk_url) >= sizeof(next->desk_url))
            return vf_fail(why, VF_E_INPUT, "the desk's URL has at most %zu bytes", sizeof(next->desk_url) - 1);
        (void)snprintf(next->desk_url, sizeof(next->desk_url), "%s", change->desk_url);
    } else if (next->has_desk && next->desk_url[0] == '\0') {
        return vf_fail(why, VF_E_INPUT, "a desk needs its URL");
    }
    return VF_OK;
}

enum vf_err vf_policy_change_make(struct vf_vault *v, const struct vf_policy_change *change, const struct vf_identity *admin,
                                  struct vf_buf *out, struct vf_why *why)
{
    const struct vf_identity_pub *pub = vf_identity_pub_get(admin);
    struct vf_policy next = v->chain.policy;

    if (v->chain.ruling == 0)
        return vf_fail(why, VF_E_UNSIGNED, "%s: its first policy is not in force yet; nothing can follow it", v->path);
    if (change->nadd == 0 && change->nremove == 0 && change->threshold == 0 && change->desk == NULL &&
        change->desk_url == NULL)
        return vf_fail(why, VF_E_USAGE, "nothing to change");
    VF_TRY(change_admins(&next, change, why));
    VF_TRY(change_desk(&next, change, why));
    if (change->threshold != 0)
        next.threshold = change->threshold;
    next.created_us = vf_clock_wall_us();
    if (vf_policy_admin_find(&v->chain.policy, pub) < 0 && vf_policy_admin_find(&next, pub) < 0)
        return vf_fail(why, VF_E_REFUSED, "%s is no admin of this vault", pub->name);
    return vf_policy_chain_extend(&v->chain, &next, admin, out, why);
}
