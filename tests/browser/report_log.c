/* SPDX-License-Identifier: MIT */
/*
 * Writes a station's log with any program, user, job and time in it, through the real writer: report-log LOG-FOLDER SEAL-FILE, which are made or
 * gone on with; entries on standard input, one a line, thirteen columns with tabs between them, empty where there is nothing to say:
 *
 *   microseconds, event, grant, job, recipient, refs (with commas, or all:HASH), part, fields, uid, pid, program, count, result
 *
 * `step` as event: somebody sets the clock to that time. Only for tests: no station appends what it did not do.
 */
#include <vaultfs/audit.h>

#include "fakeclock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS   13
#define LINE_MAX_ 32768

enum { TIME, EVENT, GRANT, JOB, RECIPIENT, REFS, PART, FIELDS, UID, PID, PROGRAM, COUNT, RESULT };

struct line {
    char *word[COLUMNS];
    struct vf_grant_id grant;
    struct vf_ref refs[VF_ENTRY_REFS_MAX];
    struct vf_hash all;
    struct vf_entry e;
};

static _Noreturn void die(const char *what, const struct vf_why *why)
{
    (void)fprintf(stderr, "report-log: %s: %s\n", what, why != NULL ? why->text : "");
    exit(1);
}

static void need(bool good, const char *what)
{
    if (!good)
        die(what, NULL);
}

static void take_refs(struct line *l)
{
    char *text = l->word[REFS];

    if (strncmp(text, "all:", 4) == 0) {
        need(vf_unhex(text + 4, strlen(text + 4), l->all.b, VF_HASH_LEN), "not a hash");
        l->e.all = &l->all;
        return;
    }
    for (char *ref = strsep(&text, ","); ref != NULL && ref[0] != '\0'; ref = strsep(&text, ",")) {
        need(l->e.nrefs < VF_ENTRY_REFS_MAX && vf_ref_parse(ref, strlen(ref), &l->refs[l->e.nrefs]), "not a ref");
        l->e.nrefs++;
    }
    l->e.refs = l->refs;
}

static const char *some(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void take_entry(struct line *l)
{
    struct vf_why why = {0};
    char **w = l->word;

    l->e = (struct vf_entry){.part = -1, .job = some(w[JOB]), .recipient = some(w[RECIPIENT]), .exe = some(w[PROGRAM])};
    need(vf_event_parse(w[EVENT], strlen(w[EVENT]), &l->e.event), "not an event");
    if (some(w[GRANT])) {
        need(vf_grant_id_parse(w[GRANT], strlen(w[GRANT]), &l->grant), "not a grant");
        l->e.grant = &l->grant;
    }
    take_refs(l);
    if (some(w[PART]))
        l->e.part = strcmp(w[PART], "image") == 0 ? VF_PART_IMAGE : VF_PART_TEXT;
    if (some(w[FIELDS]))
        need(vf_field_set_parse(w[FIELDS], &l->e.fields, &why) == VF_OK, "not fields");
    l->e.has_caller = some(w[UID]) != NULL;
    l->e.uid = (uint32_t)strtoul(w[UID], NULL, 10);
    l->e.pid = (int32_t)strtol(w[PID], NULL, 10);
    l->e.has_count = some(w[COUNT]) != NULL;
    l->e.count = strtoull(w[COUNT], NULL, 10);
    l->e.result = some(w[RESULT]) ? w[RESULT] : "ok";
}

static struct vf_log *open_log(const char *folder, const char *seal)
{
    static const struct vf_log_options opt = {.batch = true};
    struct vf_identity *device = NULL;
    struct vf_log *log = NULL;
    struct vf_hash id;
    struct vf_why why = {0};

    if (access(folder, F_OK) != 0 && (vf_identity_new(VF_ROLE_DEVICE, "printer", &device, &why) != VF_OK ||
                                      vf_log_create(folder, seal, VF_LOG_STATION, device, NULL, &id, &why) != VF_OK))
        die("create", &why);
    vf_identity_free(device);
    if (vf_log_open(folder, seal, &opt, &log, &why) != VF_OK)
        die("open", &why);
    return log;
}

int main(int argc, char **argv)
{
    static struct line l;
    static char text[LINE_MAX_];
    struct vf_log *log = NULL;
    struct vf_why why = {0};
    int64_t last = 0;
    uint64_t seq;

    need(argc == 3, "report-log LOG-FOLDER SEAL-FILE");
    if (vf_crypto_init(VF_ARENA_TOOL, &why) != VF_OK)
        die("start", &why);
    while (fgets(text, sizeof(text), stdin) != NULL) {
        char *rest = text;
        text[strcspn(text, "\n")] = '\0';
        for (size_t i = 0; i < COLUMNS; i++)
            need((l.word[i] = strsep(&rest, "\t")) != NULL, "too few columns");
        int64_t now = strtoll(l.word[TIME], NULL, 10);
        if (log == NULL)
            fake_clock_set(now, INT64_C(3600) * VF_SECOND_US);
        else if (strcmp(l.word[EVENT], "step") == 0)
            fake_clock_step(now - last);
        else
            fake_clock_pass(now - last);
        last = now;
        if (log == NULL)
            log = open_log(argv[1], argv[2]);
        if (strcmp(l.word[EVENT], "step") == 0)
            continue;
        take_entry(&l);
        if (vf_log_append(log, &l.e, &seq, &why) != VF_OK)
            die("append", &why);
    }
    if (vf_log_close(log, &why) != VF_OK)
        die("close", &why);
    vf_crypto_done();
    return 0;
}
