/* SPDX-License-Identifier: MIT */
/*
 * A new store, and more prekeys for one that is there.
 *
 * The end of a grant is a slot that was overwritten in place. On a filesystem that writes what is changed somewhere else, the old bytes stay
 * on the disk until something else happens to need the room: so those are refused unless somebody says that he knows.
 */
#include "desk_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEFAULT_PREKEYS 1000
#define DEFAULT_DAYS    62
#define LAST_DAY_MAX    (400 * VF_DAY_US)

/* ------------------------------------------------------------------------------------------------------------- what it may be on */

/* Filesystems that never, or not always, overwrite in place. linux/magic.h does not have all of them. */
static const char *copies_on_write(uint32_t magic)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } those[] = {
        {0x9123683E, "btrfs"}, {0x2FC12FC1, "ZFS"},   {0xCA451A4E, "bcachefs"}, {0xF2F52010, "F2FS"},
        {0x3434, "NILFS2"},    {0x24051905, "UBIFS"}, {0x72B6, "JFFS2"},
    };

    for (size_t i = 0; i < sizeof(those) / sizeof(those[0]); i++)
        if (those[i].magic == magic)
            return those[i].name;
    return NULL;
}

enum vf_err vf_desk_place_check(const char *path, bool cow_ok, struct vf_why *why)
{
    VF_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;

    if (fd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder", path);
    VF_TRY(vf_dir_local(path, why));
    if (fstatfs(fd, &fs) != 0)
        return vf_fail_sys(why, "%s: cannot tell what filesystem it is on", path);
    const char *name = copies_on_write((uint32_t)fs.f_type);
    if (name != NULL && !cow_ok)
        return vf_fail(
            why, VF_E_UNSUPPORTED,
            "%s: on %s, which does not overwrite in place: one-time keys that were destroyed could stay on the disk. "
            "Use ext4 or XFS",
            path, name);
    return VF_OK;
}

enum vf_err vf_desk_batch_path(const char *path, uint32_t number, char **ret, struct vf_why *why)
{
    char name[VF_DESK_BATCH_NAME_MAX];

    (void)snprintf(name, sizeof(name), "prekeys/%u", number);
    *ret = vf_path_join(path, name);
    return *ret != NULL ? VF_OK : vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
}

/* -------------------------------------------------------------------------------------------------------------------- a batch */

static enum vf_err batch_of(const struct vf_identity *desk, const uint8_t store[VF_PREKEY_STORE_LEN], uint32_t number,
                            uint32_t count, int64_t last_us, struct vf_prekey_batch *ret, struct vf_why *why)
{
    struct vf_prekey_batch b = {.batch = number, .count = count > 0 ? count : DEFAULT_PREKEYS};
    char last[64];

    if (b.count > VF_PREKEYS_MAX)
        return vf_fail(why, VF_E_INPUT, "a batch has 1 to %d prekeys", VF_PREKEYS_MAX);
    if (number > VF_PREKEY_BATCH_MAX)
        return vf_fail(why, VF_E_LIMIT, "a desk makes at most %d batches of prekeys", VF_PREKEY_BATCH_MAX);
    b.made_us = vf_clock_wall_us() / VF_SECOND_US * VF_SECOND_US;
    b.last_us = (last_us > 0 ? last_us : b.made_us + DEFAULT_DAYS * VF_DAY_US) / VF_SECOND_US * VF_SECOND_US;
    vf_time_format_person(b.last_us, last, sizeof(last));
    if (b.last_us <= b.made_us)
        return vf_fail(why, VF_E_INPUT, "the prekeys' last day, %s, is over already", last);
    if (b.last_us > b.made_us + LAST_DAY_MAX)
        return vf_fail(why, VF_E_INPUT, "the prekeys' last day, %s, is more than 400 days away", last);
    (void)snprintf(b.desk, sizeof(b.desk), "%s", vf_identity_pub_get(desk)->name);
    memcpy(b.store, store, sizeof(b.store));
    b.keys = calloc(b.count, sizeof(*b.keys));
    if (b.keys == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %u prekeys", b.count);
    *ret = b;
    return VF_OK;
}

/* The slots' file at `path`'s place for it; the signed public halves, appended to `out`. */
static enum vf_err batch_make(const char *path, const struct vf_prekey_store_key *key, const struct vf_identity *desk,
                              const struct vf_prekey_batch *b, struct vf_buf *out, struct vf_why *why)
{
    VF_FREE char *file = NULL;

    VF_TRY(vf_desk_batch_path(path, b->batch, &file, why));
    VF_TRY(vf_prekeys_create(file, key, b, why));
    enum vf_err err = vf_prekeys_make(b, desk, out, why);
    if (err != VF_OK)
        (void)unlink(file); /* nobody has its public halves */
    return err;
}

static enum vf_err tell_batch(struct vf_log *log, const struct vf_prekey_batch *b, struct vf_why *why)
{
    char object[64], last[VF_TIME_LEN + 1];
    const struct vf_entry e = {
        .event = VF_EVENT_EXPORT, .part = -1, .has_count = true, .count = b->count, .object = object, .result = "ok"};

    vf_time_format(b->last_us, last);
    (void)snprintf(object, sizeof(object), "prekeys %u until %s", b->batch, last);
    return vf_log_commit(log, &e, why);
}

/* ------------------------------------------------------------------------------------------------------------------- the store */

struct create {
    const char *path; /* the temporary folder */
    const struct vf_identity *desk;
    const struct vf_desk_options *opt;
    struct vf_prekey_batch batch;
};

static enum vf_err make_dirs(const struct create *c, struct vf_why *why)
{
    static const char *const names[] = {"db", "prekeys", "devices"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        VF_FREE char *dir = vf_path_join(c->path, names[i]);
        if (dir == NULL)
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
        VF_TRY(vf_dir_make(dir, why));
    }
    return VF_OK;
}

static enum vf_err make_db(const struct create *c, struct vf_why *why)
{
    struct vf_desk_store *store = NULL;
    VF_FREE char *dir = vf_path_join(c->path, "db");
    VF_BUF line = {.max = 1024};
    uint8_t batches[4];
    const uint8_t cow = c->opt->cow_ok ? 1 : 0;

    if (dir == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    vf_identity_pub_put(vf_identity_pub_get(c->desk), &line);
    VF_TRY(vf_buf_check(&line, "the desk's identity", why));
    vf_put_be32(batches, c->batch.batch);
    const struct vf_desk_change rows[] = {
        {VF_DT_META, "store", 5, c->batch.store, sizeof(c->batch.store)},
        {VF_DT_META, "desk", 4, line.data, line.len},
        {VF_DT_META, "batches", 7, batches, sizeof(batches)},
        {VF_DT_META, "cow", 3, &cow, 1},
    };
    VF_TRY(vf_desk_store_lmdb(dir, true, "the new desk", &store, why));
    enum vf_err err = vf_desk_store_commit(store, rows, sizeof(rows) / sizeof(rows[0]), why);
    vf_desk_store_close(store);
    return err;
}

static enum vf_err make_log(const struct create *c, struct vf_why *why)
{
    const struct vf_log_options opt = {.batch = true};
    VF_FREE char *dir = vf_path_join(c->path, "log"), *seal = vf_path_join(c->path, "seal");
    struct vf_log *log = NULL;

    if (dir == NULL || seal == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    VF_TRY(vf_log_create(dir, seal, VF_LOG_DESK, c->desk, NULL, NULL, why));
    VF_TRY(vf_log_open(dir, seal, &opt, &log, why));
    enum vf_err err = tell_batch(log, &c->batch, why);
    enum vf_err closed = vf_log_close(log, err == VF_OK ? why : NULL);
    return err != VF_OK ? err : closed;
}

static enum vf_err create_in(const struct create *c, struct vf_buf *prekeys, struct vf_why *why)
{
    VF_SECRET struct vf_prekey_store_key *key = vf_secret_new(sizeof(*key));

    if (key == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the desk's key");
    vf_prekey_store_key_of(c->desk, c->batch.store, key);
    VF_TRY(make_dirs(c, why));
    VF_TRY(make_db(c, why));
    VF_TRY(make_log(c, why));
    VF_TRY(batch_make(c->path, key, c->desk, &c->batch, prekeys, why));
    return vf_dir_sync(c->path, why);
}

enum vf_err vf_desk_create(const char *path, const struct vf_identity *desk, const struct vf_desk_options *opt,
                           struct vf_buf *prekeys, struct vf_why *why)
{
    static const struct vf_desk_options defaults;
    const struct vf_identity_pub *pub = vf_identity_pub_get(desk);
    VF_CLEANUP(vf_prekey_batch_done) struct vf_prekey_batch batch = {0};
    uint8_t store[VF_PREKEY_STORE_LEN];
    VF_BUF made = {.max = VF_PREKEYS_FILE_MAX};
    VF_NEWDIR dir = {0};

    opt = opt != NULL ? opt : &defaults;
    if (pub->role != VF_ROLE_DESK)
        return vf_fail(why, VF_E_REFUSED, "%s is the identity of %s: a desk needs one of its own role", pub->name,
                       vf_role_text(pub->role));
    vf_random(store, sizeof(store));
    VF_TRY(batch_of(desk, store, 1, opt->prekeys, opt->last_us, &batch, why));
    VF_TRY(vf_newdir_open(&dir, path, false, why));
    VF_TRY(vf_desk_place_check(dir.tmp, opt->cow_ok, why));
    const struct create c = {.path = dir.tmp, .desk = desk, .opt = opt, .batch = batch};
    VF_TRY(create_in(&c, &made, why));
    VF_TRY(vf_newdir_commit(&dir, why));
    vf_buf_put(prekeys, made.data, made.len);
    return vf_buf_check(prekeys, "the desk's prekeys", why);
}

/* ----------------------------------------------------------------------------------------------------------------- more prekeys */

/* take_lock is held. The number is used up first: whatever fails behind that, it is never given to other keys. */
static enum vf_err add_locked(struct vf_desk *d, uint32_t count, int64_t last_us, struct vf_buf *out, struct vf_why *why)
{
    VF_CLEANUP(vf_prekey_batch_done) struct vf_prekey_batch batch = {0};
    struct vf_desk_batch *added = NULL;
    VF_BUF made = {.max = VF_PREKEYS_FILE_MAX};
    uint8_t number[4];

    VF_TRY(batch_of(d->id, d->store_id, d->last_batch + 1, count, last_us, &batch, why));
    vf_put_be32(number, batch.batch);
    const struct vf_desk_change row = {VF_DT_META, "batches", 7, number, sizeof(number)};
    VF_TRY(vf_desk_store_commit(d->store, &row, 1, why));
    d->last_batch = batch.batch;
    VF_TRY(batch_make(d->path, d->prekey_key, d->id, &batch, &made, why));
    VF_TRY(vf_desk_batch_open(d, batch.batch, &added, why));
    VF_TRY(vf_desk_batch_add(d, added, why));
    VF_TRY(vf_desk_place_keep(d, why));
    atomic_store(&d->ends_due, true);
    VF_TRY(tell_batch(d->log, &batch, why));
    vf_buf_put(out, made.data, made.len);
    return vf_buf_check(out, "the desk's prekeys", why);
}

enum vf_err vf_desk_prekeys_add(struct vf_desk *d, uint32_t count, int64_t last_us, struct vf_buf *out, struct vf_why *why)
{
    char text[256];
    int64_t now_us = 0;

    if (d->mode != VF_DESK_SERVE)
        return vf_fail(why, VF_E_USAGE, "%s: is open for looking only", d->path);
    if (count == 0)
        return vf_fail(why, VF_E_INPUT, "a batch has 1 to %d prekeys", VF_PREKEYS_MAX);
    if (!vf_desk_clock_now(d, &now_us, text)) /* their last day would be counted from a wrong one */
        return vf_fail(why, VF_E_CLOCK, "%s: %s", d->path, text);
    pthread_mutex_lock(&d->take_lock);
    enum vf_err err = add_locked(d, count, last_us, out, why);
    pthread_mutex_unlock(&d->take_lock);
    return err;
}
