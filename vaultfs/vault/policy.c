/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <stdlib.h>
#include <string.h>

#define TITLE "vaultfs policy v1"

/* ------------------------------------------------------------------------------------------------------------------ encoder */

static void put_hex(struct vf_buf *out, const char *key, const uint8_t *bytes, size_t len)
{
    char hex[2 * VF_HASH_LEN + 1];

    vf_hex(bytes, len, hex);
    vf_buf_fmt(out, "%s: %s\n", key, hex);
}

static void put_identity(struct vf_buf *out, const char *key, const struct vf_identity_pub *pub)
{
    vf_buf_fmt(out, "%s: ", key);
    vf_identity_pub_put(pub, out);
    vf_buf_text(out, "\n");
}

void vf_policy_put(const struct vf_policy *policy, const struct vf_hash *previous, struct vf_buf *out)
{
    char created[VF_TIME_LEN + 1];

    vf_time_format(policy->created_us, created);
    vf_buf_text(out, TITLE "\n");
    put_hex(out, "vault", policy->vault.b, VF_VAULT_ID_LEN);
    vf_buf_fmt(out, "version: %u\n", (unsigned)policy->version);
    if (policy->version > 1)
        put_hex(out, "previous", previous->b, VF_HASH_LEN);
    vf_buf_fmt(out, "created: %s\n", created);
    vf_buf_fmt(out, "force: %s\n", policy->force_name);
    put_hex(out, "commitment", policy->commitment.b, VF_HASH_LEN);
    vf_buf_fmt(out, "threshold: %u\n", policy->threshold);
    for (size_t i = 0; i < policy->nadmins; i++)
        put_identity(out, "admin", &policy->admins[i]);
    if (policy->has_desk) {
        put_identity(out, "desk", &policy->desk);
        vf_buf_fmt(out, "desk-url: %s\n", policy->desk_url);
    }
}

/* ------------------------------------------------------------------------------------------------------------------ decoder */

struct lines {
    const char *next;
    size_t left;
};

struct line {
    const char *at;
    size_t len;
};

/* If the next line begins with `key` and ": ", take it and give what follows; else leave it. */
static bool take(struct lines *l, const char *key, struct line *ret)
{
    size_t key_len = strlen(key);
    const char *end = l->left > 0 ? memchr(l->next, '\n', l->left) : NULL;

    if (end == NULL || (size_t)(end - l->next) < key_len + 2 || memcmp(l->next, key, key_len) != 0 ||
        memcmp(l->next + key_len, ": ", 2) != 0)
        return false;
    ret->at = l->next + key_len + 2;
    ret->len = (size_t)(end - ret->at);
    l->left -= (size_t)(end + 1 - l->next);
    l->next = end + 1;
    return true;
}

static bool take_hex(struct lines *l, const char *key, uint8_t *ret, size_t ret_len)
{
    struct line line;

    return take(l, key, &line) && vf_unhex(line.at, line.len, ret, ret_len);
}

static bool take_uint(struct lines *l, const char *key, uint64_t max, uint64_t *ret)
{
    struct line line;

    return take(l, key, &line) && vf_uint_parse(line.at, line.len, max, ret);
}

static bool take_text(struct lines *l, const char *key, char *ret, size_t size)
{
    struct line line;

    if (!take(l, key, &line) || line.len >= size || memchr(line.at, '\0', line.len) != NULL)
        return false;
    memcpy(ret, line.at, line.len);
    ret[line.len] = '\0';
    return true;
}

static bool take_identity(struct lines *l, const char *key, struct vf_identity_pub *ret)
{
    struct line line;

    return take(l, key, &line) && vf_identity_pub_parse(line.at, line.len, ret, NULL) == VF_OK;
}

static bool parse_head(struct lines *l, struct vf_policy *p, struct vf_hash *previous)
{
    uint64_t version = 0;
    uint64_t threshold = 0;
    struct line created;

    if (!take_hex(l, "vault", p->vault.b, sizeof(p->vault.b)) ||
        !take_uint(l, "version", VF_POLICY_VERSIONS_MAX, &version) || version == 0)
        return false;
    if (version > 1 && !take_hex(l, "previous", previous->b, sizeof(previous->b)))
        return false;
    if (!take(l, "created", &created) || !vf_time_parse(created.at, created.len, &p->created_us) ||
        !take_text(l, "force", p->force_name, sizeof(p->force_name)) ||
        !take_hex(l, "commitment", p->commitment.b, sizeof(p->commitment.b)) ||
        !take_uint(l, "threshold", VF_ADMINS_MAX, &threshold))
        return false;
    p->version = (uint32_t)version;
    p->threshold = (unsigned)threshold;
    return true;
}

static bool parse_people(struct lines *l, struct vf_policy *p)
{
    while (p->nadmins < VF_ADMINS_MAX && take_identity(l, "admin", &p->admins[p->nadmins]))
        p->nadmins++;
    if (l->left == 0)
        return true;
    p->has_desk = true;
    return take_identity(l, "desk", &p->desk) && take_text(l, "desk-url", p->desk_url, sizeof(p->desk_url)) && l->left == 0;
}

enum vf_err vf_policy_parse(const char *text, size_t len, const char *what, struct vf_policy *ret,
                            struct vf_hash *ret_previous, struct vf_why *why)
{
    struct vf_policy p = {0};
    struct vf_hash previous = {{0}};
    VF_BUF again = {0};

    if (len < sizeof(TITLE) || memcmp(text, TITLE "\n", sizeof(TITLE)) != 0)
        return vf_fail(why, VF_E_VERSION, "%s: not a policy of a version known here", what);
    struct lines l = {text + sizeof(TITLE), len - sizeof(TITLE)};
    if (len > VF_POLICY_TEXT_MAX || !parse_head(&l, &p, &previous) || !parse_people(&l, &p) ||
        vf_policy_legal(&p, NULL) != VF_OK)
        return vf_fail(why, VF_E_FORMAT, "%s: a version of the policy is not well-formed", what);
    /* One policy, one text: whatever the readers above let pass in more than one spelling is refused here. */
    vf_buf_init(&again, VF_POLICY_TEXT_MAX);
    vf_policy_put(&p, &previous, &again);
    VF_TRY(vf_buf_check(&again, what, why));
    if (again.len != len || memcmp(again.data, text, len) != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: a version of the policy is not written in the one way it must be", what);
    vf_sha256(text, len, &p.text_hash);
    *ret = p;
    *ret_previous = previous;
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- legal ones */

static bool url_legal(const char *url)
{
    size_t len = strlen(url);

    for (size_t i = 0; i < len; i++)
        if (url[i] <= ' ' || url[i] > '~')
            return false;
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0 || strncmp(url, "unix:/", 6) == 0;
}

static bool admins_legal(const struct vf_policy *p)
{
    for (size_t i = 0; i < p->nadmins; i++) {
        const struct vf_identity_pub *a = &p->admins[i];
        if (a->role != VF_ROLE_ADMIN || (i > 0 && strcmp(p->admins[i - 1].name, a->name) >= 0))
            return false;
        for (size_t j = 0; j < i; j++)
            if (memcmp(p->admins[j].sign, a->sign, sizeof(a->sign)) == 0 ||
                memcmp(p->admins[j].box, a->box, sizeof(a->box)) == 0)
                return false;
    }
    return true;
}

enum vf_err vf_policy_legal(const struct vf_policy *p, struct vf_why *why)
{
    size_t len = strlen(p->force_name);

    if (len == 0 || !vf_text_printable(p->force_name, len) || vf_text_blank(p->force_name, len) || p->force_name[0] == ' ' ||
        p->force_name[len - 1] == ' ')
        return vf_fail(why, VF_E_INPUT, "the force's name is 1 to 120 bytes of printable text without outer spaces");
    if (p->nadmins == 0 || p->nadmins > VF_ADMINS_MAX)
        return vf_fail(why, VF_E_INPUT, "a policy has 1 to %d admins", VF_ADMINS_MAX);
    if (p->threshold == 0 || p->threshold > p->nadmins)
        return vf_fail(why, VF_E_INPUT, "the threshold is 1 to the number of admins (%zu)", p->nadmins);
    if (!admins_legal(p))
        return vf_fail(why, VF_E_INPUT, "the admins are identities of role admin, with different names and different keys");
    if (p->has_desk && p->desk.role != VF_ROLE_DESK)
        return vf_fail(why, VF_E_INPUT, "the desk is an identity of role desk");
    if (p->has_desk && !url_legal(p->desk_url))
        return vf_fail(why, VF_E_INPUT, "the desk's URL begins with https://, http:// or unix:/ and has no spaces");
    return VF_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct vf_identity_pub *x = a;
    const struct vf_identity_pub *y = b;

    return strcmp(x->name, y->name);
}

void vf_policy_sort(struct vf_policy *policy)
{
    qsort(policy->admins, policy->nadmins, sizeof(policy->admins[0]), by_name);
}

int vf_policy_admin_find(const struct vf_policy *policy, const struct vf_identity_pub *pub)
{
    for (size_t i = 0; i < policy->nadmins; i++)
        if (vf_identity_pub_equal(&policy->admins[i], pub))
            return (int)i;
    return -1;
}

size_t vf_policy_admin_keys(const struct vf_policy *policy, struct vf_note_key ret[VF_ADMINS_MAX])
{
    for (size_t i = 0; i < policy->nadmins; i++)
        vf_note_key_of(&policy->admins[i], &ret[i]);
    return policy->nadmins;
}
