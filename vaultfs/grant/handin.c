/* SPDX-License-Identifier: MIT */
/*
 * A log comes home. (1) Which device's it is follows from its origin; (2) it is verified under that device's enrolment and stored as a copy
 * that may only grow, and that is made anew if it was damaged here; (3) the force's own entry; (4) the device's row; (5) a receipt, which the station keeps.
 */
#include "rows.h"

#include <string.h>

struct by_log {
    struct vf_hash log_id;
    bool found;
    struct vf_enrol enrol;
    uint64_t size; /* handed in before */
};

static enum vf_err find_log(void *user, const struct vf_device_item *item, struct vf_why *why)
{
    struct by_log *b = user;

    (void)why;
    if (memcmp(&item->enrol.log_id, &b->log_id, VF_HASH_LEN) == 0) {
        b->found = true;
        b->enrol = item->enrol;
        b->size = item->handin_size;
    }
    return VF_OK;
}

/* A look at the file alone tells which log it says it is. */
static enum vf_err find_device(struct vf_vault *v, const char *file, struct vf_enrol *ret, uint64_t *ret_size,
                               struct vf_why *why)
{
    const struct vf_verify_options opt = {0};
    struct vf_verdict verdict;
    struct by_log b = {0};

    VF_TRY(vf_log_verify(file, &opt, &verdict, why));
    b.log_id = verdict.id;
    VF_TRY(vf_device_each(v, find_log, &b, why));
    if (!b.found)
        return vf_fail(why, VF_E_NOT_FOUND,
                       "%s: no device of this vault has this log; the device of a first grant is known from then on", file);
    *ret = b.enrol;
    *ret_size = b.size;
    return VF_OK;
}

/* What the force's own log says of the hand-in before: should the copy be damaged, that is what a new one must contain. */
struct told_before {
    const char *name;
    struct vf_handin_mend *mend;
    bool several; /* roots of so many entries under that name: of two devices, and which is whose is not said */
};

#define ROOT "; root "

static enum vf_err find_root(void *user, const struct vf_entry_view *e, struct vf_why *why)
{
    struct told_before *t = user;
    struct vf_hash root;
    const size_t tail = sizeof(ROOT) - 1 + (size_t)2 * VF_HASH_LEN;

    (void)why;
    if (e->event != VF_EVENT_HANDIN || !e->has_count || e->count != t->mend->known || e->recipient.len != strlen(t->name) ||
        memcmp(e->recipient.p, t->name, e->recipient.len) != 0)
        return VF_OK;
    for (size_t at = 0; at + tail <= e->object.len; at++) {
        if (memcmp(e->object.p + at, ROOT, sizeof(ROOT) - 1) != 0 ||
            !vf_unhex(e->object.p + at + sizeof(ROOT) - 1, (size_t)2 * VF_HASH_LEN, root.b, VF_HASH_LEN))
            continue;
        t->several = t->several || (t->mend->has_root && memcmp(root.b, t->mend->root.b, VF_HASH_LEN) != 0);
        t->mend->root = root;
        t->mend->has_root = true;
    }
    return VF_OK;
}

static enum vf_err remember(const struct vf_vault *v, const char *name, uint64_t size, struct vf_handin_mend *mend,
                            struct vf_why *why)
{
    struct told_before t = {.name = name, .mend = mend};
    const struct vf_search_options opt = {.needles = {"\"event\":\"handin\""}, .nneedles = 1, .each = find_root, .user = &t};
    VF_FREE char *log = vf_path_join(vf_vault_path(v), "log");

    if (log == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for a path");
    mend->known = size;
    if (size > 0)
        VF_TRY(vf_log_search(log, &opt, why));
    mend->has_root = mend->has_root && !t.several;
    return VF_OK;
}

static enum vf_err make_dir(const char *path, struct vf_why *why)
{
    enum vf_err err = vf_dir_make(path, why);

    return err == VF_E_EXISTS ? VF_OK : err;
}

/* VAULT/devices/FINGERPRINT/log; all but the last are made. */
static enum vf_err make_path(const struct vf_vault *v, const struct vf_hash *id, char **ret, struct vf_why *why)
{
    char hex[2 * VF_HASH_LEN + 1];

    vf_hex(id->b, sizeof(id->b), hex);
    VF_FREE char *devices = vf_path_join(vf_vault_path(v), "devices");
    VF_FREE char *device = devices != NULL ? vf_path_join(devices, hex) : NULL;
    char *log = device != NULL ? vf_path_join(device, "log") : NULL;
    enum vf_err err = log != NULL ? VF_OK : vf_fail(why, VF_E_NOMEM, "no memory for a path");
    if (err == VF_OK)
        err = make_dir(devices, why);
    if (err == VF_OK)
        err = make_dir(device, why);
    if (err != VF_OK)
        vf_free(&log);
    *ret = log;
    return err;
}

static enum vf_err log_handin(struct vf_vault *v, const struct vf_identity *admin, const struct vf_enrol *e,
                              const struct vf_verdict *verdict, const struct vf_handin_mend *mend, struct vf_why *why)
{
    char words[VF_NAME_MAX + 2 * VF_HASH_LEN + sizeof(mend->aside) + 48];
    char hex[2 * VF_HASH_LEN + 1];
    struct vf_hash root;
    const struct vf_entry entry = {.event = VF_EVENT_HANDIN,
                                   .recipient = e->name,
                                   .part = -1,
                                   .has_count = true,
                                   .count = verdict->sealed,
                                   .object = words,
                                   .result = "ok"};

    vf_tree_root(&verdict->tree, &root);
    vf_hex(root.b, sizeof(root.b), hex);
    (void)snprintf(words, sizeof(words), "by %s" ROOT "%s%s%s", vf_identity_pub_get(admin)->name, hex,
                   verdict->mended ? "; damaged copy put aside: " : "", mend->aside);
    return vf_vault_log(v, &entry, why);
}

struct handed_in {
    int64_t spoken_us; /* up to when the log speaks */
    uint64_t size;
};

/* What counts is up to when the log speaks, not when the file came: an old one can be handed in again every day. */
static void set_handin(struct vf_device_row *row, void *user)
{
    const struct handed_in *h = user;

    if (h->spoken_us > row->handin_us)
        row->handin_us = h->spoken_us;
    row->handin_size = h->size;
}

static enum vf_err store(struct vf_vault *v, const char *file, const struct vf_enrol *e, struct vf_handin_mend *mend,
                         struct vf_verdict *verdict, struct vf_buf *checkpoint, struct vf_why *why)
{
    struct vf_note_key key;
    const struct vf_verify_options opt = {.signers = &key, .nsigners = 1, .log_id = &e->log_id};
    VF_FREE char *dir = NULL;

    vf_note_key_of(&e->device, &key);
    VF_TRY(make_path(v, &e->id, &dir, why));
    VF_TRY(vf_handin_store_mend(file, dir, &opt, mend, verdict, checkpoint, why));
    if (!verdict->good || !verdict->origin_checked)
        return vf_fail(why, VF_E_FORGED, "%s: not the log of %s", file, e->name);
    return VF_OK;
}

enum vf_err vf_device_handin(struct vf_vault *v, const struct vf_identity *admin, const char *file, struct vf_buf *receipt,
                             struct vf_verdict *ret, struct vf_why *why)
{
    int64_t now_us = vf_clock_wall_us();
    struct handed_in h;
    struct vf_enrol e;
    struct vf_handin_mend mend = {.known = 0};
    struct vf_verdict verdict;
    uint64_t before = 0;
    struct vf_note note;
    VF_BUF checkpoint = {0};
    VF_BUF made = {0};

    VF_TRY(find_device(v, file, &e, &before, why));
    VF_TRY(remember(v, e.name, before, &mend, why));
    vf_buf_init(&checkpoint, VF_NOTE_MAX);
    VF_TRY(store(v, file, &e, &mend, &verdict, &checkpoint, why));
    VF_TRY(vf_buf_check(&checkpoint, "the checkpoint", why));
    VF_TRY(vf_note_parse(checkpoint.data, checkpoint.len, &note, why));
    vf_buf_init(&made, VF_NOTE_MAX);
    VF_TRY(vf_receipt_make(&note, admin, now_us, &made, why));
    h.size = verdict.sealed;
    h.spoken_us = verdict.sealed_until_us < now_us ? verdict.sealed_until_us : now_us;
    VF_TRY(log_handin(v, admin, &e, &verdict, &mend, why));
    VF_TRY(vf_device_change(v, &e.id, set_handin, &h, why));
    vf_buf_put(receipt, made.data, made.len);
    VF_TRY(vf_buf_check(receipt, "the receipt", why));
    *ret = verdict;
    return VF_OK;
}
