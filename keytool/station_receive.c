/* SPDX-License-Identifier: MIT */
/* In and out of a station: through the control socket while a mount runs, else by opening the station. */
#include "station.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 32 /* files that one request to a running mount takes */

struct receiving {
    struct kt_progress progress; /* first: the callbacks share one user pointer */
    json_t *list;                /* NULL: printed */
    size_t n, taken, refused;
    struct vf_why last; /* of the last one refused */
};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void told(void *user, const struct vf_received *one)
{
    struct receiving *r = user;
    char name[256]; /* a file's name may hold anything: escape sequences, newlines */
    kt_progress_done(&r->progress);
    r->progress.started_us = 0;
    (void)snprintf(name, sizeof(name), "%s", one->name);
    vf_text_one_line(name);
    if (one->err) {
        r->refused++;
        r->last.err = one->err;
        if (starts_with(one->text, name))
            (void)snprintf(r->last.text, sizeof(r->last.text), "%s", one->text);
        else
            (void)snprintf(r->last.text, sizeof(r->last.text), "%s: %.220s", name, one->text);
        vf_text_one_line(r->last.text);
    } else {
        r->taken++;
    }
    if (r->list)
        (void)json_array_append_new(r->list,
                                    json_pack("{s:s,s:s,s:b,s:b,s:s,s:I,s:I,s:I}", "file",
                                              vf_utf8_valid(one->name, strlen(one->name)) ? one->name : name, "kind",
                                              vf_artefact_text(one->kind), "taken", one->err == VF_OK, "already",
                                              (int)one->already, "text", one->text, "values", (json_int_t)one->values,
                                              "bytes", (json_int_t)one->bytes, "not_needed", (json_int_t)one->not_needed));
    else if (!one->err)
        (void)printf("%s: %s\n", name, one->text);
    else if (r->n > 1) /* a single one is told by the error of the command */
        (void)fprintf(stderr, "%s\n", r->last.text);
}

static void show_progress(void *user, const char *name, uint64_t done, uint64_t total)
{
    struct receiving *r = user;
    (void)name;
    kt_progress_show(&r->progress, done, total);
}

/* Order of taking (policies first), so that requests of a few files each do what one request of all would. */
static int rank_of(int fd)
{
    static const enum vf_artefact order[] = {VF_ARTEFACT_POLICY, VF_ARTEFACT_REVOCATION, VF_ARTEFACT_GRANT,
                                             VF_ARTEFACT_BUNDLE, VF_ARTEFACT_RECEIPT};
    uint8_t head[64];
    ssize_t got = pread(fd, head, sizeof(head), 0);
    enum vf_artefact kind = vf_artefact_of(head, got > 0 ? (size_t)got : 0);
    for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++)
        if (kind == order[i])
            return i;
    return (int)(sizeof(order) / sizeof(order[0]));
}

/* Every file that can be opened, in the order of taking; others are told as refused. */
static size_t open_files(const struct kt_args *a, struct vf_receive_file *files, struct receiving *r)
{
    size_t n = 0;
    for (int i = 1; i < a->argc; i++) {
        struct vf_why why = {0};
        int fd = -1;
        enum vf_err err = vf_file_open(a->argv[i], &fd, NULL, &why);
        if (err) {
            struct vf_received one = {.name = a->argv[i], .err = err};
            (void)snprintf(one.text, sizeof(one.text), "%s", why.text);
            told(r, &one);
            continue;
        }
        int rank = rank_of(fd);
        size_t at = n++;
        for (; at > 0 && rank_of(files[at - 1].fd) > rank; at--)
            files[at] = files[at - 1];
        files[at] = (struct vf_receive_file){.fd = fd, .name = a->argv[i]};
    }
    return n;
}

/* An error that told no file: the station or the mount failed, not a file. */
static enum vf_err judge(enum vf_err err, const struct receiving *r, size_t told_before, const struct vf_why *one,
                         struct vf_why *why)
{
    if (!err || r->taken + r->refused > told_before)
        return VF_OK;
    *why = *one;
    return err;
}

static enum vf_err through_mount(struct vf_control *c, const struct vf_receive_file *files, size_t n, struct receiving *r,
                                 struct vf_why *why)
{
    for (size_t at = 0; at < n; at += AT_ONCE) {
        struct vf_why one = {0};
        size_t before = r->taken + r->refused, now = n - at < AT_ONCE ? n - at : AT_ONCE;
        enum vf_err err = vf_control_receive(c, files + at, now, told, r, &one);
        /* A mount that ended in the middle told only some of them. */
        if (err && r->taken + r->refused < before + now)
            return *why = one, err;
        VF_TRY(judge(err, r, before, &one, why));
    }
    return VF_OK;
}

static enum vf_err by_ourselves(const char *station, const struct vf_receive_file *files, size_t n, struct receiving *r,
                                struct vf_why *why)
{
    struct vf_station *st = NULL;
    struct vf_why one = {0};
    VF_TRY(vf_station_open(station, VF_STATION_RECEIVE, NULL, &st, why));
    size_t before = r->taken + r->refused;
    enum vf_err err = vf_station_receive(st, files, n, told, show_progress, r, &one);
    err = judge(err, r, before, &one, why);
    enum vf_err closed = vf_station_close(st, err ? NULL : why);
    return err ? err : closed;
}

static enum vf_err receive(const char *station, const struct vf_receive_file *files, size_t n, struct receiving *r,
                           struct vf_why *why)
{
    char mountpoint[4096];
    struct vf_control *c = NULL;
    if (n == 0)
        return VF_OK;
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
    size_t given = (size_t)a->argc - 1;
    VF_FREE struct vf_receive_file *files = calloc(given, sizeof(*files));
    struct receiving r = {.progress = {.what = "Receiving", .unit = "bytes"}, .n = given};
    if (!files)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    r.list = kt_has(a, KT_JSON) ? json_array() : NULL;
    size_t n = open_files(a, files, &r);
    enum vf_err err = receive(a->argv[0], files, n, &r, why);
    for (size_t i = 0; i < n; i++)
        close(files[i].fd);
    kt_progress_done(&r.progress);
    if (r.list && (!err || r.taken + r.refused > 0)) {
        enum vf_err printed = kt_print_json(r.list, err ? NULL : why);
        err = err ? err : printed;
    } else {
        json_decref(r.list);
    }
    if (err)
        return err;
    if (r.refused == 0)
        return VF_OK;
    if (r.taken > 0)
        return vf_fail(why, VF_E_PARTIAL, "%zu of %zu files %s not taken", r.refused, given,
                       r.refused == 1 ? "was" : "were");
    if (given == 1)
        return *why = r.last, r.last.err;
    return vf_fail(why, r.last.err, "none of the %zu files was taken", given);
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
