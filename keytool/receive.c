/* SPDX-License-Identifier: MIT */
/* Files handed to a station or a desk: opened, ordered, given, and told of. */
#include "keytool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

void kt_receive_told(void *receiving, const struct vf_received *one)
{
    struct kt_receiving *r = receiving;
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

/* Order of taking (policies first), so that requests of a few files each do what one request of all would. */
static int rank_of(int fd)
{
    static const enum vf_artefact order[] = {VF_ARTEFACT_POLICY, VF_ARTEFACT_REVOCATION, VF_ARTEFACT_ENROL,
                                             VF_ARTEFACT_GRANT,  VF_ARTEFACT_BUNDLE,     VF_ARTEFACT_RECEIPT};
    uint8_t head[64];
    ssize_t got = pread(fd, head, sizeof(head), 0);
    enum vf_artefact kind = vf_artefact_of(head, got > 0 ? (size_t)got : 0);
    for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++)
        if (kind == order[i])
            return i;
    return (int)(sizeof(order) / sizeof(order[0]));
}

/* Every file that can be opened, in the order of taking; others are told as refused. */
static size_t open_files(const struct kt_args *a, struct vf_receive_file *files, struct kt_receiving *r)
{
    size_t n = 0;
    for (int i = 1; i < a->argc; i++) {
        struct vf_why why = {0};
        int fd = -1;
        enum vf_err err = vf_file_open(a->argv[i], &fd, NULL, &why);
        if (err) {
            struct vf_received one = {.name = a->argv[i], .err = err};
            (void)snprintf(one.text, sizeof(one.text), "%s", why.text);
            kt_receive_told(r, &one);
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
enum vf_err kt_receive_judge(enum vf_err err, const struct kt_receiving *r, size_t told_before, const struct vf_why *one,
                             struct vf_why *why)
{
    if (!err || r->taken + r->refused > told_before)
        return VF_OK;
    *why = *one;
    return err;
}

enum vf_err kt_receive(const struct kt_args *a,
                       enum vf_err (*give)(const struct kt_args *a, const struct vf_receive_file *files, size_t n,
                                           struct kt_receiving *r, struct vf_why *why),
                       struct vf_why *why)
{
    size_t given = (size_t)a->argc - 1;
    VF_FREE struct vf_receive_file *files = calloc(given, sizeof(*files));
    struct kt_receiving r = {.progress = {.what = "Receiving", .unit = "bytes"}, .n = given};
    if (!files)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    r.list = kt_has(a, KT_JSON) ? json_array() : NULL;
    size_t n = open_files(a, files, &r);
    enum vf_err err = n ? give(a, files, n, &r, why) : VF_OK;
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
