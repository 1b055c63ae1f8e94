/* SPDX-License-Identifier: MIT */
/* The copies of the stations' logs: kept open while they are used, and extended by hand as well. */
#include "desk_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAIL_MAX ((size_t)256 * 1024) /* ten of the longest lines */

/* ---------------------------------------------------------------------------------------------------------------------- copies */

static enum vf_err make_dir(const char *path, struct vf_why *why)
{
    enum vf_err err = vf_dir_make(path, why);

    return err == VF_E_EXISTS ? VF_OK : err;
}

enum vf_err vf_desk_copy_path(const struct vf_desk *d, const struct vf_hash *enrolment, char **ret, struct vf_why *why)
{
    char name[16 + 2 * VF_HASH_LEN + 8] = "devices/", hex[2 * VF_HASH_LEN + 1];

    vf_hex(enrolment->b, sizeof(enrolment->b), hex);
    (void)snprintf(name, sizeof(name), "devices/%s/log", hex);
    *ret = vf_path_join(d->path, name);
    return *ret != NULL ? VF_OK : vf_fail(why, VF_E_NOMEM, "%s: out of memory", d->path);
}

/* The folder that the copy's is made in. */
static enum vf_err make_place(const struct vf_desk *d, const struct vf_hash *enrolment, char **ret, struct vf_why *why)
{
    VF_FREE char *path = NULL;

    VF_TRY(vf_desk_copy_path(d, enrolment, &path, why));
    VF_FREE char *parent = vf_path_parent(path);
    if (parent == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", d->path);
    VF_TRY(make_dir(parent, why));
    *ret = path;
    path = NULL;
    return VF_OK;
}

/*
 * One that is damaged is read to its end before that is known, which may take many seconds of all processors: not once for each request, which
 * anybody who has recorded one can send.
 */
static bool known_bad(const struct vf_desk_device *dev, int64_t boot_us)
{
    return dev->copy_bad != VF_OK && boot_us - dev->copy_bad_us < VF_DESK_COPY_AGAIN_US;
}

enum vf_err vf_desk_copy_open(struct vf_desk *d, struct vf_desk_device *dev, struct vf_why *why)
{
    const struct vf_slice origin = {(const uint8_t *)dev->enrol.origin, dev->enrol.origin_len};
    const int64_t boot_us = vf_clock_boot_us();
    struct vf_note_key key;
    VF_FREE char *path = NULL;

    pthread_mutex_lock(&dev->small);
    dev->copy_used_us = boot_us;
    pthread_mutex_unlock(&dev->small);
    if (dev->copy != NULL)
        return VF_OK;
    if (known_bad(dev, boot_us))
        return vf_fail(why, dev->copy_bad, "the copy of the log of %s is damaged: hand in the whole log", dev->enrol.name);
    VF_TRY(make_place(d, &dev->enrol.id, &path, why));
    vf_note_key_of(&dev->enrol.device, &key);
    enum vf_err err = vf_log_copy_open(path, origin, &key, 1, &dev->copy, why);
    dev->copy_bad = err == VF_E_FORGED || err == VF_E_DAMAGED ? err : VF_OK;
    dev->copy_bad_us = vf_clock_boot_us();
    VF_TRY(err);
    vf_desk_copy_note(dev);
    return VF_OK;
}

void vf_desk_copy_close(struct vf_desk_device *dev)
{
    vf_log_copy_close(dev->copy);
    dev->copy = NULL;
}

void vf_desk_copy_note(struct vf_desk_device *dev)
{
    VF_FREE struct vf_log_copy_state *s = calloc(1, sizeof(*s));

    if (s == NULL || dev->copy == NULL)
        return;
    vf_log_copy_state_get(dev->copy, s);
    pthread_mutex_lock(&dev->small);
    dev->log_size = s->size;
    dev->log_us = s->last_us;
    pthread_mutex_unlock(&dev->small);
}

/* Whatever the answer is, the station learns from where to send its log. 0 also when the copy cannot be used, or is in use. */
uint64_t vf_desk_copy_size(struct vf_desk *d, struct vf_desk_device *dev)
{
    pthread_mutex_lock(&dev->small);
    uint64_t size = dev->log_size;
    pthread_mutex_unlock(&dev->small);
    if (size > 0)
        return size;
    if (pthread_mutex_trylock(&dev->lock) != 0)
        return 0;
    enum vf_err ignored = vf_desk_copy_open(d, dev, NULL);
    (void)ignored;
    pthread_mutex_unlock(&dev->lock);
    pthread_mutex_lock(&dev->small);
    size = dev->log_size;
    pthread_mutex_unlock(&dev->small);
    return size;
}

/* ----------------------------------------------------------------------------------------------------------------------- alarm */

void vf_desk_alarm(struct vf_desk *d, struct vf_desk_device *dev, const char *text)
{
    char object[256];
    const struct vf_entry e = {
        .event = VF_EVENT_REFUSE, .recipient = dev->enrol.name, .part = -1, .object = object, .result = "alarm"};
    uint64_t ticket = 0;

    (void)snprintf(object, sizeof(object), "log: %s", text);
    vf_text_one_line(object);
    pthread_mutex_lock(&dev->small);
    dev->alarm = true; /* whatever the disk says */
    pthread_mutex_unlock(&dev->small);
    /* Another attempt of the station to go on from there ends the same way, so a lost row is no way out. */
    enum vf_err saved = vf_desk_device_save(d, dev, true, NULL);
    enum vf_err told = vf_desk_tell(d, &e, &ticket, NULL);
    (void)saved;
    (void)told;
}

/* --------------------------------------------------------------------------------------------------------------------- by hand */

static struct vf_desk_device *device_of_log(struct vf_desk *d, const struct vf_hash *log_id)
{
    struct vf_desk_device *dev = NULL;

    pthread_rwlock_rdlock(&d->lock);
    for (size_t i = 0; i < d->ndevices && dev == NULL; i++)
        if (memcmp(&d->devices[i]->enrol.log_id, log_id, sizeof(*log_id)) == 0)
            dev = d->devices[i];
    pthread_rwlock_unlock(&d->lock);
    return dev;
}

static enum vf_err tell_handin(struct vf_desk *d, const struct vf_desk_device *dev, const struct vf_verdict *v,
                               const struct vf_handin_mend *mend, bool cleared, struct vf_why *why)
{
    char words[2 * VF_HASH_LEN + sizeof(mend->aside) + 80], hex[2 * VF_HASH_LEN + 1];
    struct vf_hash root;
    const struct vf_entry e = {.event = VF_EVENT_HANDIN,
                               .recipient = dev->enrol.name,
                               .part = -1,
                               .has_count = true,
                               .count = v->sealed,
                               .object = words,
                               .result = "ok"};

    vf_tree_root(&v->tree, &root);
    vf_hex(root.b, sizeof(root.b), hex);
    (void)snprintf(words, sizeof(words), "root %s%s%s%s", hex, cleared ? "; alarm ended" : "",
                   v->mended ? "; damaged copy put aside: " : "", mend->aside);
    return vf_desk_tell_now(d, &e, why);
}

/* device->lock is held. */
static enum vf_err store(struct vf_desk *d, struct vf_desk_device *dev, const char *file, struct vf_verdict *v,
                         struct vf_received *told, struct vf_why *why)
{
    struct vf_note_key key;
    const struct vf_verify_options opt = {.signers = &key, .nsigners = 1, .log_id = &dev->enrol.log_id};
    VF_FREE char *path = NULL;
    char until[64];

    vf_note_key_of(&dev->enrol.device, &key);
    VF_TRY(make_place(d, &dev->enrol.id, &path, why));
    /* One that cannot be used any more is what a whole log can mend: what it was as long as it could be used is remembered. */
    enum vf_err opened = vf_desk_copy_open(d, dev, why);
    if (opened != VF_OK && opened != VF_E_FORGED && opened != VF_E_DAMAGED)
        return opened;
    pthread_mutex_lock(&dev->small);
    uint64_t before = dev->log_size;
    pthread_mutex_unlock(&dev->small);
    struct vf_handin_mend mend = {.known = before};
    vf_desk_copy_close(dev); /* one at a time has the folder */
    VF_TRY(vf_handin_store_mend(file, path, &opt, &mend, v, NULL, why));
    dev->copy_bad = VF_OK;
    if (!v->good || !v->origin_checked)
        return vf_fail(why, VF_E_FORGED, "not the log of %s", dev->enrol.name);
    pthread_mutex_lock(&dev->small);
    bool alarm = dev->alarm;
    pthread_mutex_unlock(&dev->small);
    told->already = v->sealed == before && !alarm && !v->mended;
    if (!told->already)
        VF_TRY(tell_handin(d, dev, v, &mend, alarm, why));
    /* A person has got hold of the whole log, and it has in it all that is here: whatever came between was not this log. */
    if (alarm)
        VF_TRY(vf_desk_device_save(d, dev, false, why));
    VF_TRY(vf_desk_copy_open(d, dev, why));
    vf_time_format_person(v->sealed_until_us, until, sizeof(until));
    (void)snprintf(told->text, sizeof(told->text), "the log of %s: %llu entries, up to %s%s%s%s%s", dev->enrol.name,
                   (unsigned long long)v->sealed, until, alarm ? "; the alarm about it is ended" : "",
                   told->already ? " (here already)" : "",
                   v->mended ? "; the copy here was damaged, and is kept beside it as " : "", mend.aside);
    return VF_OK;
}

enum vf_err vf_desk_handin_take(struct vf_desk *d, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_CLEANUP(vf_log_peek_done) struct vf_log_peek peek = {0};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    char path[48];

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", told->name);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    VF_TRY(vf_fail_prefix(why, vf_log_peek(path, &peek, why), "%s", told->name));
    struct vf_desk_device *dev = device_of_log(d, &peek.id);
    if (dev == NULL)
        return vf_fail(why, VF_E_NOT_FOUND,
                       "%s: no device that this desk knows has this log; hand its enrolment to it first", told->name);
    pthread_mutex_lock(&dev->lock);
    enum vf_err err = vf_fail_prefix(why, store(d, dev, path, v, told, why), "%s", told->name);
    pthread_mutex_unlock(&dev->lock);
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------- for a look at it */

/* The newest segment's name. */
static bool newest_segment(const char *dir, char name[64])
{
    DIR *d = opendir(dir);

    name[0] = '\0';
    if (d == NULL)
        return false;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        size_t len = strlen(e->d_name);
        if (strncmp(e->d_name, "entries-", 8) == 0 && len > 6 && len < 64 && strcmp(e->d_name + len - 6, ".jsonl") == 0 &&
            strcmp(e->d_name, name) > 0)
            memcpy(name, e->d_name, len + 1);
    }
    (void)closedir(d);
    return name[0] != '\0';
}

/* Of the last entry below number `below` in the end of the newest segment: its time (0: none), and the entries up to it. */
static int64_t time_of_last(const char *text, size_t len, uint64_t below, uint64_t *ret_size)
{
    struct vf_entry_view view;
    int64_t us = 0;

    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        if (end == NULL)
            break;
        if (vf_entry_parse(text + at, (size_t)(end - text) - at, &view, NULL) == VF_OK && view.seq < below) {
            us = view.time_us;
            *ret_size = view.seq + 1;
        }
        at = (size_t)(end - text) + 1;
    }
    return us;
}

enum vf_err vf_desk_folder_peek(const char *dir, uint64_t *ret_size, int64_t *ret_us, struct vf_why *why)
{
    VF_CLEANUP(vf_log_peek_done) struct vf_log_peek peek = {0};
    char name[64];
    VF_BUF tail = {.max = TAIL_MAX};
    uint64_t size = 0;
    int fd = -1;

    VF_TRY(vf_log_peek(dir, &peek, why));
    *ret_size = peek.last_size;
    *ret_us = 0;
    if (!newest_segment(dir, name))
        return VF_OK;
    VF_FREE char *path = vf_path_join(dir, name);
    if (path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    VF_TRY(vf_file_open(path, &fd, &size, why));
    VF_FD owned = fd;
    size_t len = size < TAIL_MAX ? (size_t)size : TAIL_MAX;
    uint8_t *to = vf_buf_grow(&tail, len);
    VF_TRY(vf_buf_check(&tail, path, why));
    if (len > 0)
        VF_TRY(vf_fd_pread(owned, to, len, size - len, path, why));
    /* A copy counts up to its last checkpoint, a log of its own up to its end. */
    *ret_us = time_of_last((const char *)tail.data, tail.len, peek.copy ? peek.last_size : UINT64_MAX, &size);
    if (!peek.copy && *ret_us > 0)
        *ret_size = size;
    return VF_OK;
}
