/* SPDX-License-Identifier: MIT */
/* A backup read by somebody who has no key: rows and logs, without W. */
#include "backup.h"

#include <errno.h>
#include <unistd.h>

struct tell {
    const struct vf_backup_calls *calls;
    const char *what;
    int fd;
    struct vf_vault_id vault;
    int64_t created_us;
};

static enum vf_err on_head(void *user, const struct vf_backup_head *head, struct vf_why *why)
{
    struct tell *t = user;

    (void)why;
    t->vault = head->vault;
    t->created_us = head->created_us;
    return VF_OK;
}

static enum vf_err on_row(void *user, unsigned table, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    const struct tell *t = user;

    return t->calls->on_row(t->calls->user, (enum vf_vault_table)table, key, val, why);
}

static enum vf_err on_file(void *user, const char *path, uint64_t len, struct vf_why *why)
{
    const struct tell *t = user;

    return t->calls->on_file(t->calls->user, path, len, why);
}

static enum vf_err on_data(void *user, const uint8_t *data, size_t len, struct vf_why *why)
{
    const struct tell *t = user;

    return t->calls->on_data(t->calls->user, data, len, why);
}

static enum vf_err read_some(void *user, uint8_t *out, size_t len, size_t *ret_n, struct vf_why *why)
{
    const struct tell *t = user;
    ssize_t n = 0;

    do {
        n = read(t->fd, out, len);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return vf_fail_sys(why, "%s: cannot read it", t->what);
    *ret_n = (size_t)n;
    return VF_OK;
}

enum vf_err vf_backup_read(const char *file, const struct vf_backup_calls *calls, struct vf_vault_id *ret_vault,
                           int64_t *ret_created_us, struct vf_why *why)
{
    VF_FD fd = -1;
    struct tell t = {.calls = calls, .what = file};
    const struct vf_backup_source source = {.user = &t, .read = read_some};
    const struct vf_backup_sink sink = {
        .user = &t, .on_head = on_head, .on_row = on_row, .on_file = on_file, .on_data = on_data};

    VF_TRY(vf_file_open(file, &fd, NULL, why));
    t.fd = fd;
    VF_TRY(vf_backup_parse(&source, file, &sink, why));
    *ret_vault = t.vault;
    *ret_created_us = t.created_us;
    return VF_OK;
}
