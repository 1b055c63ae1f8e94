/* SPDX-License-Identifier: MIT */
/* The control socket's answers, and `vaultfs status` which asks for them. */
#include "mount.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *state_word(int err)
{
    switch (err) {
    case 0:
        return "live";
    case EKEYEXPIRED:
        return "ended";
    case EKEYREVOKED:
        return "revoked";
    case EKEYREJECTED:
        return "clock moved back";
    case ENOKEY:
        return "not started";
    default:
        return "not readable";
    }
}

static void put_key(struct vf_buf *out, const char *key, const char *value)
{
    vf_buf_fmt(out, ",\"%s\":", key);
    vf_buf_json(out, value, strlen(value));
}

static void put_moment(struct vf_session *s, struct vf_buf *out, const char *key, int64_t boot_us)
{
    char text[VF_TIME_LEN + 1];
    vf_time_format(vf_time_of_boot(s, boot_us), text);
    put_key(out, key, text);
}

/* What can be read now without asking the desk. */
static void put_shares(struct vf_session *s, struct vf_job *job, struct vf_buf *out)
{
    struct vf_shares_state shares;
    vf_job_shares_state_get(job, &shares);
    vf_buf_fmt(out, ",\"shares\":{\"text\":%u,\"image\":%u", shares.held[VF_PART_TEXT], shares.held[VF_PART_IMAGE]);
    if (shares.last_boot_us) {
        put_moment(s, out, "first_until", shares.first_boot_us);
        put_moment(s, out, "last_until", shares.last_boot_us);
    }
    vf_buf_text(out, "}");
}

static void put_desk(struct vf_session *s, struct vf_buf *out)
{
    struct vf_desk_client_status desk;
    vf_desk_client_status_get(s->desk, &desk);
    vf_buf_fmt(out, ",\"desk\":{\"by\":\"%s\",\"away\":%s,\"exchanges\":%llu,\"failures\":%llu",
               desk.by_files ? "files" : "http", desk.away ? "true" : "false", (unsigned long long)desk.exchanges,
               (unsigned long long)desk.failures);
    if (desk.reached_boot_us)
        put_moment(s, out, "reached", desk.reached_boot_us);
    put_key(out, "problem", desk.text);
    vf_buf_text(out, "}");
}

static void put_job(struct vf_session *s, struct vf_slot_job *slot, struct vf_buf *out)
{
    struct vf_job *job = vf_slot_job_ref(slot);
    const struct vf_grant *g = vf_job_grant(job);
    char from[VF_TIME_LEN + 1], until[VF_TIME_LEN + 1];
    uint32_t missing = 0;

    for (uint32_t i = 0; i < vf_job_count(job); i++) {
        struct vf_job_item item;
        vf_job_item_get(job, i, &item);
        missing += item.missing;
    }
    vf_time_format(g->from_us, from);
    vf_time_format(g->until_us, until);
    vf_buf_fmt(out, "{\"job\":\"%s\",\"grant\":\"%.16s\"", g->job, g->id.c);
    put_key(out, "state", state_word(vf_slot_may(s, slot, job, NULL)));
    put_key(out, "force", g->force_name);
    put_key(out, "from", from);
    put_key(out, "until", until);
    put_key(out, "ends", vf_grant_ends_text(g));
    put_key(out, "release", vf_job_online(job) ? "online" : "offline");
    if (vf_job_online(job))
        put_shares(s, job, out);
    vf_buf_fmt(out, ",\"records\":%u,\"incomplete\":%u", g->records, missing);
    if (g->budget)
        vf_buf_fmt(out, ",\"budget\":%llu,\"budget_left_text\":%llu,\"budget_left_image\":%llu",
                   (unsigned long long)g->budget, (unsigned long long)vf_job_budget_left(s->station, job, VF_PART_TEXT),
                   (unsigned long long)vf_job_budget_left(s->station, job, VF_PART_IMAGE));
    vf_buf_text(out, "}");
    vf_job_unref(job);
}

static enum vf_err control_status(void *user, struct vf_buf *out, struct vf_why *why)
{
    struct vf_session *s = user;
    struct vf_log_state log;
    bool first = true;
    uint64_t handles = 0;

    vf_log_state_get(s->log, &log);
    vf_buf_text(out, "{\"mountpoint\":");
    vf_buf_json(out, s->mountpoint, strlen(s->mountpoint));
    put_key(out, "station", s->opt->station);
    vf_buf_fmt(out, ",\"pid\":%d,\"cache\":\"%s\"", (int)getpid(), s->opt->cache_grant ? "grant" : "close");
    vf_buf_fmt(out, ",\"log\":{\"entries\":%llu,\"sealed\":%llu,\"writable\":%s},\"jobs\":[", (unsigned long long)log.size,
               (unsigned long long)log.sealed, log.writable ? "true" : "false");
    pthread_rwlock_rdlock(&s->jobs_lock);
    for (size_t i = 0; i < s->nslots; i++) {
        if (s->slots[i]->replaced)
            continue;
        if (!first)
            vf_buf_text(out, ",");
        put_job(s, s->slots[i], out);
        first = false;
    }
    for (size_t i = 0; i < s->nslots; i++)
        handles += vf_files_handles(&s->slots[i]->files);
    pthread_rwlock_unlock(&s->jobs_lock);
    vf_buf_fmt(out, "],\"open_files\":%llu", (unsigned long long)handles);
    put_desk(s, out);
    vf_buf_text(out, "}");
    return vf_buf_check(out, "the status", why);
}

static enum vf_err control_receive(void *user, const struct vf_receive_file *files, size_t n,
                                   void (*told)(void *, const struct vf_received *), void *told_user, struct vf_why *why)
{
    struct vf_session *s = user;
    enum vf_err err = vf_station_receive(s->station, files, n, told, NULL, told_user, why);
    vf_watch_wake(s);
    return err;
}

static enum vf_err control_seal(void *user, struct vf_why *why)
{
    struct vf_session *s = user;
    return vf_log_seal_handin(s->log, why);
}

const struct vf_control_ops vf_mount_control_ops = {
    .status = control_status,
    .receive = control_receive,
    .seal = control_seal,
};

/* ------------------------------------------------------------------------------------------------------ vaultfs status */

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "2026-11-22T01:45:00Z" as people write it. */
static const char *person(const char *time, char *out, size_t size)
{
    int64_t us;
    if (!vf_time_parse(time, strlen(time), &us))
        return time;
    vf_time_format_person(us, out, size);
    return out;
}

static void print_desk(const json_t *desk)
{
    char when[64];
    const char *reached = text_in(desk, "reached"), *problem = text_in(desk, "problem");
    if (*reached)
        (void)printf("  desk    last answered %s", person(reached, when, sizeof(when)));
    else
        (void)printf("  desk    has not answered yet");
    (void)printf("%s%s\n", *problem ? "; now: " : "", problem);
}

static void print_shares(const json_t *shares)
{
    char first[64], last[64];
    if (!*text_in(shares, "last_until")) {
        (void)printf("          nothing can be read without asking the key desk\n");
        return;
    }
    (void)printf("          texts of %lld records and images of %lld can be read until %s",
                 (long long)json_integer_value(json_object_get(shares, "text")),
                 (long long)json_integer_value(json_object_get(shares, "image")),
                 person(text_in(shares, "first_until"), first, sizeof(first)));
    if (strcmp(text_in(shares, "first_until"), text_in(shares, "last_until")) != 0)
        (void)printf(", some until %s", person(text_in(shares, "last_until"), last, sizeof(last)));
    (void)printf(", longer if the desk answers\n");
}

static void print_text(const json_t *doc)
{
    const char *text;
    size_t i;
    json_t *job;
    (void)printf("%s\n", json_string_value(json_object_get(doc, "mountpoint")));
    (void)printf("  station %s, pid %lld\n", json_string_value(json_object_get(doc, "station")),
                 (long long)json_integer_value(json_object_get(doc, "pid")));
    const json_t *log = json_object_get(doc, "log");
    (void)printf("  log     %lld entries, %lld sealed%s\n", (long long)json_integer_value(json_object_get(log, "entries")),
                 (long long)json_integer_value(json_object_get(log, "sealed")),
                 json_is_true(json_object_get(log, "writable")) ? "" : "; IT CANNOT BE WRITTEN: nothing opens until it can");
    bool online = false;
    json_array_foreach(json_object_get(doc, "jobs"), i, job) online =
        online || strcmp(text_in(job, "release"), "online") == 0;
    if (online)
        print_desk(json_object_get(doc, "desk"));
    json_array_foreach(json_object_get(doc, "jobs"), i, job)
    {
        (void)printf("  job     %-20s %s, %lld records, until %s", json_string_value(json_object_get(job, "job")),
                     json_string_value(json_object_get(job, "state")),
                     (long long)json_integer_value(json_object_get(job, "records")),
                     json_string_value(json_object_get(job, "until")));
        if (json_integer_value(json_object_get(job, "incomplete")) > 0)
            (void)printf(", %lld not arrived in full", (long long)json_integer_value(json_object_get(job, "incomplete")));
        (void)printf("\n");
        text = json_string_value(json_object_get(job, "ends"));
        if (text)
            (void)printf("          %s\n", text);
        if (strcmp(text_in(job, "release"), "online") == 0 && strcmp(text_in(job, "state"), "live") == 0)
            print_shares(json_object_get(job, "shares"));
    }
}

/* One mount's status; its JSON, or NULL after having said why. */
static json_t *ask(const char *mountpoint, int *ret_status)
{
    struct vf_why why = {0};
    struct vf_control *control = NULL;
    VF_BUF answer;
    vf_buf_init(&answer, 16u * 1024 * 1024);
    enum vf_err err = vf_control_connect_mount(mountpoint, &control, &why);
    if (!err)
        err = vf_control_status(control, &answer, &why);
    vf_control_close(control);
    json_error_t je;
    json_t *doc = err ? NULL : json_loadb((const char *)answer.data, answer.len, 0, &je);
    if (!doc) {
        (void)fprintf(stderr, "vaultfs: %s\n", err ? why.text : "the mount's answer could not be read");
        *ret_status = err ? vf_err_exit(err) : 1;
    }
    return doc;
}

static int show(char *const *mounts, size_t n, bool json, bool list)
{
    int status = 0;
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *doc = ask(mounts[i], &status);
        if (doc && !json)
            print_text(doc);
        if (doc)
            (void)json_array_append_new(all, doc);
    }
    if (json && (list || json_array_size(all) == 1)) {
        (void)json_dumpf(list ? all : json_array_get(all, 0), stdout, JSON_INDENT(2));
        (void)printf("\n");
    }
    if (!json && list && n == 0)
        (void)printf("Nothing is mounted.\n");
    json_decref(all);
    return status;
}

int vf_status_main(int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    bool all = false, json = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'h') {
            (void)printf("Usage: vaultfs status [--json] MOUNTPOINT | vaultfs status --all [--json]\n");
            return 0;
        }
        if (c == '?')
            return vf_err_exit(VF_E_USAGE);
        all = all || c == 'a';
        json = json || c == 'j';
    }
    if (argc - optind != (all ? 0 : 1)) {
        (void)fprintf(stderr, "vaultfs: status needs one MOUNTPOINT, or --all; see vaultfs status --help\n");
        return vf_err_exit(VF_E_USAGE);
    }
    if (!all)
        return show(&argv[optind], 1, json, false);
    struct vf_why why = {0};
    char **mounts = NULL;
    size_t n = 0;
    enum vf_err err = vf_control_list(&mounts, &n, &why);
    if (err) {
        (void)fprintf(stderr, "vaultfs: %s\n", why.text);
        return vf_err_exit(err);
    }
    int status = show(mounts, n, json, true);
    for (size_t i = 0; i < n; i++)
        free(mounts[i]);
    free(mounts);
    return status;
}
