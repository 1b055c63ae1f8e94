/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool kt_quiet;

void kt_say(const char *fmt, ...)
{
    if (kt_quiet)
        return;
    va_list args;
    (void)fflush(stdout); /* results before remarks about them, in a file that gets both as well */
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

/* --------------------------------------------------------------------------------------------------------------- JSON */

enum vf_err kt_print_json(json_t *doc, struct vf_why *why)
{
    bool good = doc && json_dumpf(doc, stdout, JSON_INDENT(2)) == 0 && fputc('\n', stdout) != EOF;
    json_decref(doc);
    return good ? VF_OK : vf_fail(why, VF_E_SYSTEM, "the result could not be written to standard output");
}

json_t *kt_json_time(int64_t us)
{
    char text[VF_TIME_LEN + 1];
    vf_time_format(us, text);
    return json_string(text);
}

json_t *kt_json_hex(const void *data, size_t len)
{
    char text[129];
    if (len > 64)
        return NULL;
    vf_hex(data, len, text);
    return json_string(text);
}

json_t *kt_json_fields(vf_field_set fields)
{
    json_t *list = json_array();
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if (fields & VF_FIELD_BIT(f))
            (void)json_array_append_new(list, json_string(vf_field_info(f)->name));
    return list;
}

enum vf_err kt_stdout_done(struct vf_why *why)
{
    if (fflush(stdout) || ferror(stdout))
        return vf_fail_sys(why, "standard output");
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------- progress */

void kt_progress_show(void *progress, uint64_t done, uint64_t total)
{
    struct kt_progress *p = progress;
    int64_t now = vf_clock_boot_us();
    if (p->started_us == 0)
        p->started_us = now;
    int64_t spent = now - p->started_us;
    if (kt_quiet || spent < VF_SECOND_US || now - p->shown_us < VF_SECOND_US / 5 || !isatty(STDERR_FILENO))
        return;
    double rate = (double)done * (double)VF_SECOND_US / (double)spent;
    double left = rate > 0 && total > done ? (double)(total - done) / rate : 0;
    (void)fprintf(stderr, "\r\033[K%s: %llu of %llu %s, %.0f a second, %.0f s left", p->what, (unsigned long long)done,
                  (unsigned long long)total, p->unit, rate, left);
    (void)fflush(stderr);
    p->shown_us = now;
    p->shown = true;
}

void kt_progress_done(struct kt_progress *p)
{
    if (p->shown)
        (void)fprintf(stderr, "\r\033[K");
    p->shown = false;
}

/* ---------------------------------------------------------------------------------------------------------------- keys */

enum vf_err kt_key_open(const struct kt_args *a, struct vf_identity **ret, struct vf_why *why)
{
    const char *path = kt_get(a, KT_KEY);
    struct vf_identity_pub pub;
    struct stat st;
    bool locked = false;
    VF_BUF data = {0};
    VF_SECRET struct vf_passphrase *pass = NULL;

    VF_TRY(vf_file_read(path, VF_IDENTITY_FILE_MAX, &data, why));
    if (stat(path, &st) == 0 && st.st_mode & (S_IRGRP | S_IROTH))
        kt_say("warning: %s is secret, and others on this computer can read it: chmod 600 %s", path, path);
    enum vf_err err = vf_identity_peek(data.data, data.len, &pub, &locked, why);
    if (err)
        return vf_fail_prefix(why, err, "%s", path);
    if (locked) {
        const struct vf_passphrase_source source = {.file = kt_get(a, KT_PASSPHRASE_FILE),
                                                    .command = kt_get(a, KT_PASSPHRASE_COMMAND)};
        pass = vf_secret_new(sizeof(*pass));
        if (!pass)
            return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for a passphrase");
        VF_TRY(vf_passphrase_get(&source, path, false, pass, why));
    }
    err = vf_identity_decode(data.data, data.len, pass, ret, why);
    return err ? vf_fail_prefix(why, err, "%s", path) : VF_OK;
}

enum vf_err kt_new_passphrase(const struct kt_args *a, const char *what, struct vf_passphrase **ret, struct vf_why *why)
{
    *ret = NULL;
    if (kt_has(a, KT_NO_PASSPHRASE))
        return VF_OK;
    const struct vf_passphrase_source source = {.file = kt_has(a, KT_NEW_PASSPHRASE_FILE) ? kt_get(a, KT_NEW_PASSPHRASE_FILE)
                                                                                          : kt_get(a, KT_PASSPHRASE_FILE),
                                                .command = kt_get(a, KT_PASSPHRASE_COMMAND)};
    struct vf_passphrase *pass = vf_secret_new(sizeof(*pass));
    if (!pass)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for a passphrase");
    enum vf_err err = vf_passphrase_get(&source, what, true, pass, why);
    if (err) {
        vf_secret_free(pass);
        return err;
    }
    *ret = pass;
    return VF_OK;
}

enum vf_err kt_changed_passphrase(const struct kt_args *a, const char *what, struct vf_passphrase **ret, struct vf_why *why)
{
    struct kt_args fresh = *a;
    *ret = NULL;
    if (kt_has(a, KT_NO_PASSPHRASE) || kt_has(a, KT_NEW_PASSPHRASE_FILE))
        return kt_new_passphrase(a, what, ret, why);
    VF_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return vf_fail(why, VF_E_PASSPHRASE,
                       "%s: a new passphrase is needed and there is no terminal to ask on; use --new-passphrase-file", what);
    fresh.opt[KT_PASSPHRASE_FILE].n = fresh.opt[KT_PASSPHRASE_COMMAND].n = 0;
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    return kt_new_passphrase(&fresh, what, ret, why);
}

enum vf_err kt_vault_open(const struct kt_args *a, const char *path, enum vf_vault_mode mode, struct vf_identity **ret_id,
                          struct vf_vault **ret, struct vf_why *why)
{
    VF_TRY(kt_key_open(a, ret_id, why));
    return vf_vault_open(path, mode, *ret_id, ret, why);
}

enum vf_err kt_vault_close(struct vf_vault *v, enum vf_err err, struct vf_why *why)
{
    struct vf_why closing = {0};
    enum vf_err sealed = vf_vault_close(v, &closing);
    if (!err && sealed) {
        *why = closing;
        return sealed;
    }
    return err;
}

/* ------------------------------------------------------------------------------------------------------------ arguments */

/* Is this the file that `why` is about, and of a kind we know? Then that is added. */
static bool name_kind_of(const char *path, struct vf_why *why)
{
    static const char wrong_kind[] = ": not a";
    size_t n = strlen(path), used = strlen(why->text);
    VF_FD fd = -1;
    uint8_t head[32];
    if (strncmp(why->text, path, n) != 0 || strncmp(why->text + n, wrong_kind, sizeof(wrong_kind) - 1) != 0)
        return false;
    if (vf_file_open(path, &fd, NULL, NULL))
        return true;
    ssize_t got = read(fd, head, sizeof(head));
    enum vf_artefact kind = got > 0 ? vf_artefact_of(head, (size_t)got) : VF_ARTEFACT_UNKNOWN;
    if (kind != VF_ARTEFACT_UNKNOWN)
        (void)snprintf(why->text + used, sizeof(why->text) - used, "; it looks like %s", vf_artefact_text(kind));
    return true;
}

void kt_name_kind(const struct kt_args *a, struct vf_why *why)
{
    for (int i = 0; i < a->argc; i++)
        if (name_kind_of(a->argv[i], why))
            return;
    for (size_t o = 0; o < KT_OPTION_COUNT; o++)
        for (size_t i = 0; i < a->opt[o].n; i++)
            if (a->opt[o].v[i] && name_kind_of(a->opt[o].v[i], why))
                return;
}

static enum vf_err say_force(enum vf_err err, const char *path, struct vf_why *why)
{
    return err == VF_E_EXISTS ? vf_fail(why, err, "%s: exists already; --force overwrites it", path) : err;
}

enum vf_err kt_output_write(const struct kt_args *a, const char *path, const struct vf_buf *data, mode_t mode,
                            struct vf_why *why)
{
    VF_TRY(vf_buf_check(data, path, why));
    return say_force(vf_file_write(path, data->data, data->len, mode, kt_has(a, KT_FORCE), why), path, why);
}

enum vf_err kt_output_open(const struct kt_args *a, const char *path, mode_t mode, struct vf_newfile *ret,
                           struct vf_why *why)
{
    return say_force(vf_newfile_open(ret, path, mode, kt_has(a, KT_FORCE), why), path, why);
}

enum vf_err kt_output_check(const struct kt_args *a, const char *path, struct vf_why *why)
{
    VF_NEWFILE f = {.fd = -1};
    return kt_output_open(a, path, 0600, &f, why);
}

enum vf_err kt_time_arg(const char *option, const char *text, int64_t *ret, struct vf_why *why)
{
    if (!vf_time_parse_arg(text, vf_clock_wall_us(), ret))
        return kt_usage(
            why, "--%s: \"%s\" is no time; write it in UTC, with Z, as 2026-11-21T17:00:00Z, or now, or +7d (s m h d w)",
            option, text);
    return VF_OK;
}

enum vf_err kt_number_arg(const char *option, const char *text, uint64_t max, uint64_t *ret, struct vf_why *why)
{
    if (!vf_uint_parse(text, strlen(text), max, ret))
        return kt_usage(why, "--%s: \"%s\" is no number up to %llu", option, text, (unsigned long long)max);
    return VF_OK;
}

bool kt_has_terminal(void)
{
    VF_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    return tty >= 0;
}

bool kt_confirm(const char *question)
{
    VF_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    char answer[16] = {0};
    if (tty < 0)
        return false;
    (void)dprintf(tty, "%s [y/N] ", question);
    ssize_t n = read(tty, answer, sizeof(answer) - 1);
    return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

enum vf_err kt_selection(const struct kt_args *a, bool for_grant, struct vf_selection *ret, struct vf_where *where,
                         struct vf_why *why)
{
    const struct kt_value *w = &a->opt[KT_WHERE];
    *ret = (struct vf_selection){.list_path = kt_get(a, KT_LIST),
                                 .where = where,
                                 .nwhere = w->n,
                                 .for_grant = for_grant,
                                 .include_protected = kt_has(a, KT_INCLUDE_PROTECTED)};
    for (size_t i = 0; i < w->n; i++) {
        const char *equals = strchr(w->v[i], '=');
        enum vf_field field = equals ? vf_field_by_name(w->v[i], (size_t)(equals - w->v[i])) : VF_FIELD_NONE;
        if (field == VF_FIELD_NONE || vf_field_is_image((unsigned)field))
            return kt_usage(why, "--where: \"%s\" is not FIELD=VALUE with a text field", w->v[i]);
        where[i] = (struct vf_where){.field = field, .value = equals + 1};
    }
    const char *records = kt_get(a, KT_RECORDS);
    if (records && strcmp(records, "all") != 0)
        return kt_usage(why, "--records takes only \"all\"; for some of them use --list or --where");
    ret->all = records != NULL || (!for_grant && !ret->list_path && w->n == 0);
    if ((ret->all && for_grant) + (ret->list_path != NULL) + (w->n > 0) > 1)
        return kt_usage(why, "choose one of --records all, --list and --where");
    if (!ret->all && !ret->list_path && w->n == 0)
        return kt_usage(why, "say which records: --records all, --list FILE or --where FIELD=VALUE");
    return VF_OK;
}

enum vf_err kt_grant_read(const char *path, struct vf_buf *bytes, struct vf_grant_file *ret, struct vf_why *why)
{
    VF_TRY(vf_file_read(path, VF_GRANT_FILE_MAX, bytes, why));
    return vf_grant_file_parse(bytes->data, bytes->len, path, ret, why);
}

enum vf_err kt_policy_read(const char *path, struct vf_policy_chain *ret, struct vf_why *why)
{
    VF_BUF bytes = {0};
    VF_TRY(vf_file_read(path, VF_POLICY_MAX, &bytes, why));
    return vf_policy_chain_parse(bytes.data, bytes.len, path, ret, why);
}

enum vf_err kt_grants_add(struct kt_grants *g, const void *item, struct vf_why *why)
{
    char *more = reallocarray(g->items, g->n + 1, g->size);
    if (!more)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    g->items = more;
    memcpy(g->items + g->n++ * g->size, item, g->size);
    return VF_OK;
}

static int newest_first(const void *a, const void *b)
{
    const struct vf_grant *x = a, *y = b;
    if (x->issued_us != y->issued_us)
        return x->issued_us > y->issued_us ? -1 : 1;
    if (x->until_us != y->until_us)
        return x->until_us > y->until_us ? -1 : 1;
    return memcmp(x->id.c, y->id.c, VF_GRANT_ID_LEN);
}

void kt_grants_sort(struct kt_grants *g)
{
    if (g->n > 1)
        qsort(g->items, g->n, g->size, newest_first);
}

void kt_grants_done(struct kt_grants *g)
{
    free(g->items);
}
