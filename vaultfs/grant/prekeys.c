/* SPDX-License-Identifier: MIT */
/* X.prekeys: the public halves of a batch of a desk's one-time keys, signed by the desk. */
#include "lines.h"

#include <vaultfs/grant.h>

#include <stdlib.h>
#include <string.h>

#define KIND "prekeys"

static void put(const struct vf_prekey_batch *b, struct vf_buf *out)
{
    vf_lines_put_first(out, KIND);
    vf_lines_put(out, "desk", b->desk);
    vf_lines_put_hex(out, "store", b->store, sizeof(b->store));
    vf_lines_put_uint(out, "batch", b->batch);
    vf_lines_put_time(out, "made", b->made_us);
    vf_lines_put_time(out, "destroyed-by", b->last_us);
    vf_lines_put_uint(out, "count", b->count);
    for (uint32_t i = 0; i < b->count; i++)
        vf_lines_put_base64(out, "key", b->keys[i].b, sizeof(b->keys[i].b));
}

static enum vf_err get_keys(struct vf_lines *l, struct vf_prekey_batch *b, struct vf_why *why)
{
    b->keys = calloc(b->count, sizeof(*b->keys));
    if (b->keys == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", l->what);
    for (uint32_t i = 0; i < b->count && l->failed == NULL; i++) {
        vf_lines_base64(l, "key", b->keys[i].b, sizeof(b->keys[i].b));
        if (l->failed == NULL && !vf_prekey_pub_good(&b->keys[i]))
            vf_lines_refuse(l, "key");
    }
    return VF_OK;
}

static enum vf_err get(const struct vf_note *note, const char *what, struct vf_prekey_batch *b, struct vf_why *why)
{
    struct vf_lines l;
    VF_BUF again = {0};

    VF_TRY(vf_lines_start(&l, note->text, note->text_len, what, KIND, why));
    vf_lines_name(&l, "desk", b->desk);
    vf_lines_hex(&l, "store", b->store, sizeof(b->store));
    b->batch = (uint32_t)vf_lines_uint(&l, "batch", 1, VF_PREKEY_BATCH_MAX);
    vf_lines_time(&l, "made", &b->made_us);
    vf_lines_time(&l, "destroyed-by", &b->last_us);
    b->count = (uint32_t)vf_lines_uint(&l, "count", 1, VF_PREKEYS_MAX);
    if (l.failed == NULL && b->last_us <= b->made_us)
        vf_lines_refuse(&l, "destroyed-by");
    if (l.failed == NULL)
        VF_TRY(get_keys(&l, b, why));
    VF_TRY(vf_lines_end(&l, why));
    vf_buf_init(&again, VF_PREKEYS_FILE_MAX);
    put(b, &again);
    return vf_lines_same(&l, &again, why);
}

void vf_prekey_batch_done(struct vf_prekey_batch *b)
{
    free(b->keys);
    b->keys = NULL;
    b->count = 0;
}

enum vf_err vf_prekeys_make(const struct vf_prekey_batch *b, const struct vf_identity *desk, struct vf_buf *out,
                            struct vf_why *why)
{
    const struct vf_identity_pub *by = vf_identity_pub_get(desk);
    VF_CLEANUP(vf_prekey_batch_done) struct vf_prekey_batch again = {0};
    struct vf_note note;
    VF_BUF text = {0};
    VF_BUF signed_note = {0};

    if (by->role != VF_ROLE_DESK || strcmp(by->name, b->desk) != 0)
        return vf_fail(why, VF_E_REFUSED,
                       "%s is not the desk %s: prekeys are signed by the desk that has their other halves", by->name,
                       b->desk);
    vf_buf_init(&text, VF_PREKEYS_FILE_MAX);
    put(b, &text);
    VF_TRY(vf_buf_check(&text, "prekeys", why));
    vf_buf_init(&signed_note, VF_PREKEYS_FILE_MAX);
    VF_TRY(vf_note_sign((const char *)text.data, text.len, desk, &signed_note, why));
    VF_TRY(vf_buf_check(&signed_note, "prekeys", why));
    /* What others would refuse is not handed out. */
    VF_TRY(vf_note_parse(signed_note.data, signed_note.len, &note, why));
    VF_TRY(get(&note, "the new prekeys", &again, why));
    vf_buf_put(out, signed_note.data, signed_note.len);
    return vf_buf_check(out, "prekeys", why);
}

enum vf_err vf_prekeys_parse(const void *data, size_t len, const char *what, const struct vf_identity_pub *desk,
                             struct vf_prekey_batch *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_prekey_batch_done) struct vf_prekey_batch b = {0};
    struct vf_note note;
    struct vf_note_key key;
    bool by = false;
    size_t count = 0;

    if (len > VF_PREKEYS_FILE_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than a batch of prekeys can be", what);
    VF_TRY(vf_fail_prefix(why, vf_note_parse(data, len, &note, why), "%s", what));
    VF_TRY(get(&note, what, &b, why));
    vf_note_key_of(desk, &key);
    VF_TRY(vf_fail_prefix(why, vf_note_verify(&note, &key, 1, &by, &count, why), "%s", what));
    if (count != 1 || strcmp(b.desk, desk->name) != 0)
        return vf_fail(why, VF_E_UNSIGNED, "%s: not signed by %s, the desk of the policy in force", what, desk->name);
    *ret = b;
    b = (struct vf_prekey_batch){0};
    return VF_OK;
}
