/* SPDX-License-Identifier: MIT */
/* In and out of a station: through the control socket while a mount runs, else by opening the station. */
#include "station.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 32 /* files that one request to a running mount takes */

static void show_progress(void *user, const char *name, uint64_t done, uint64_t total)
{
    struct kt_receiving *r = user;
    (void)name;
    kt_progress_show(&r->progress, done, total);
}

static enum vf_err through_mount(struct vf_control *c, const struct vf_receive_file *files, size_t n, struct kt_receiving *r,
                                 struct vf_why *why)
{
    for (size_t at = 0; at < n; at += AT_ONCE) {
        struct vf_why one = {0};
        size_t before = r->taken + r->refused, now = n - at < AT_ONCE ? n - at : AT_ONCE;
        enum vf_err err = vf_control_receive(c, files + at, now, kt_receive_told, r, &one);
        /* A mount that ended in the middle told only some of them. */
        if (err && r->taken + r->refused < before + now)
            return *why = one, err;
        VF_TRY(kt_receive_judge(err, r, before, &one, why));
    }
    return VF_OK;
}

static enum vf_err by_ourselves(const char *station, const struct vf_receive_file *files, size_t n, struct kt_receiving *r,
                                struct vf_why *why)
{
    struct vf_station *st = NULL;
    struct vf_why one = {0};
    VF_TRY(vf_station_open(station, VF_STATION_RECEIVE, NULL, &st, why));
    size_t before = r->taken + r->refused;
    enum vf_err err = vf_station_receive(st, files, n, kt_receive_told, show_progress, r, &one);
    err = kt_receive_judge(err, r, before, &one, why);
    enum vf_err closed = vf_station_close(st, err ? NULL : why);
    return err ? err : closed;
}

static enum vf_err give(const struct kt_args *a, const struct vf_receive_file *files, size_t n, struct kt_receiving *r,
                        struct vf_why *why)
{
    const char *station = a->argv[0];
    char mountpoint[4096];
    struct vf_control *c = NULL;
    if (vf_control_connect(station, &c, mountpoint, sizeof(mountpoint), NULL))
        return by_ourselves(station, files, n, r, why);
    enum vf_err err = through_mount(c, files, n, r, why);
    vf_control_close(c);
    if (!err && r->taken)
        kt_say("The mount on %s took them up.", mountpoint);
    return err;
}

enum vf_err kt_station_receive(const struct kt_args *a, struct vf_why *why)
{
    return kt_receive(a, give, why);
}

/* --------------------------------------------------------------------------------------------------------------- handin */

static enum vf_err seal(const char *station, bool *ret_sealed, struct vf_why *why)
{
    struct vf_control *c = NULL;
    VF_STATION st = NULL;
    struct vf_why sealing = {0};
    enum vf_err err;

    *ret_sealed = true;
    if (vf_control_connect(station, &c, NULL, 0, NULL) == VF_OK) {
        err = vf_control_seal(c, &sealing);
        vf_control_close(c);
    } else {
        VF_TRY(vf_station_open(station, VF_STATION_RECEIVE, NULL, &st, why));
        err = vf_log_seal_handin(vf_station_log(st), &sealing);
    }
    /* A log that cannot be written can still be handed in up to its last checkpoint. */
    if (err) {
        kt_say("The newest entries could not be sealed, and are not in the file: %s", sealing.text);
        *ret_sealed = false;
    }
    return VF_OK;
}

enum vf_err kt_station_handin(const struct kt_args *a, struct vf_why *why)
{
    const char *path = kt_get(a, KT_OUTPUT);
    VF_FREE char *dir = vf_path_join(a->argv[0], "log");
    VF_NEWFILE out = {.fd = -1};
    uint64_t size = 0;
    bool sealed;

    if (!dir)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(kt_output_open(a, path, 0600, &out, why));
    VF_TRY(seal(a->argv[0], &sealed, why));
    VF_TRY(vf_handin_write(dir, out.fd, &size, why));
    VF_TRY(vf_newfile_commit(&out, why));
    if (kt_has(a, KT_JSON))
        VF_TRY(kt_print_json(json_pack("{s:s,s:I,s:b}", "file", path, "entries", (json_int_t)size, "sealed", (int)sealed),
                             why));
    else
        (void)printf("%s: %llu entr%s\n", path, (unsigned long long)size, kt_ies(size));
    kt_say("Send it to the force (device handin); their receipt goes to station receive.");
    return sealed ? VF_OK : vf_fail(why, VF_E_PARTIAL, "%s: without the newest entries, which could not be sealed", path);
}
