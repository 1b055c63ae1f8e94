/* SPDX-License-Identifier: MIT */
/*
 * Writes entries into the log of a station or a key desk, at times that it is told, through the real writer: log-writer LOG-FOLDER SEAL-FILE, commands on
 * standard input, one a line. Only for tests: no station appends what it did not do.
 *
 *   at US                                         the clocks stand at this time, microseconds since 1970
 *   EVENT GRANT REFS PART FIELDS RESULT [OBJECT]  an entry; REFS: refs with commas, all:HASH or -; PART: text, image or -; FIELDS with commas or -;
 *                                                 OBJECT: its underscores are spaces
 *   gap N                                         the disk takes nothing while N entries are tried
 *   step SECONDS                                  somebody sets the wall clock
 *   many N GRANT FILE                             N reads under the grant of the refs in FILE, one a line, a millisecond apart
 *   seal                                          a checkpoint, now
 *   die                                           ends without another checkpoint
 */
#include <vaultfs/audit.h>

#include "fakeclock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define REFS_MAX  1024
#define LINE_MAX_ 20000

static struct vf_log *log_;

static _Noreturn void die(const char *what, const struct vf_why *why)
{
    (void)fprintf(stderr, "log-writer: %s: %s\n", what, why != NULL ? why->text : "");
    exit(1);
}

static void need(bool good, const char *what)
{
    if (!good)
        die(what, NULL);
}

static void take_refs(char *text, struct vf_entry *e, struct vf_ref *refs, struct vf_hash *all)
{
    if (strcmp(text, "-") == 0)
        return;
    if (strncmp(text, "all:", 4) == 0) {
        need(vf_unhex(text + 4, strlen(text + 4), all->b, VF_HASH_LEN), "not a hash");
        e->all = all;
        return;
    }
    for (char *save = NULL, *ref = strtok_r(text, ",", &save); ref != NULL; ref = strtok_r(NULL, ",", &save)) {
        need(e->nrefs < REFS_MAX && vf_ref_parse(ref, strlen(ref), &refs[e->nrefs]), "not a ref");
        e->nrefs++;
    }
    e->refs = refs;
}

static void take_entry(char *words[7])
{
    static struct vf_ref refs[REFS_MAX];
    struct vf_entry e = {.part = -1, .has_caller = true, .uid = 1000, .pid = 4242, .exe = "/usr/bin/cardpress"};
    struct vf_why why = {0};
    struct vf_grant_id grant;
    struct vf_hash all;

    need(vf_event_parse(words[0], strlen(words[0]), &e.event), "not an event");
    if (strcmp(words[1], "-") != 0) {
        need(vf_grant_id_parse(words[1], strlen(words[1]), &grant), "not a grant");
        e.grant = &grant;
    }
    take_refs(words[2], &e, refs, &all);
    if (strcmp(words[3], "-") != 0)
        e.part = strcmp(words[3], "image") == 0 ? VF_PART_IMAGE : VF_PART_TEXT;
    if (strcmp(words[4], "-") != 0)
        need(vf_field_set_parse(words[4], &e.fields, &why) == VF_OK, "not fields");
    e.result = words[5];
    for (char *p = words[6]; p != NULL && *p != '\0'; p++)
        *p = *p == '_' ? ' ' : *p;
    e.object = words[6];
    if (vf_log_commit(log_, &e, &why) != VF_OK)
        die("append", &why);
}

/* A disk that is full: no file may grow. */
static void gap(unsigned n)
{
    struct rlimit before, none = {0};
    struct vf_why why = {0};
    const struct vf_entry e = {.event = VF_EVENT_DENY, .part = -1, .result = "ENOSPC"};

    need(getrlimit(RLIMIT_FSIZE, &before) == 0, "getrlimit");
    none.rlim_max = before.rlim_max;
    need(setrlimit(RLIMIT_FSIZE, &none) == 0, "setrlimit");
    for (unsigned i = 0; i < n; i++)
        need(vf_log_commit(log_, &e, &why) != VF_OK, "an entry was written to a disk that is full");
    need(setrlimit(RLIMIT_FSIZE, &before) == 0, "setrlimit");
    fake_clock_pass(2 * VF_SECOND_US);
    for (unsigned tries = 0; vf_log_commit(log_, &e, &why) != VF_OK; tries++) {
        need(tries < 100, "the log did not recover");
        fake_clock_pass(VF_SECOND_US);
        (void)usleep(20000);
    }
}

/* Nobody waits for each, as where many programs read at once. */
static void many(uint64_t n, const char *grant_text, const char *path)
{
    struct vf_ref *refs = NULL;
    size_t nrefs = 0;
    char line[64];
    struct vf_why why = {0};
    struct vf_grant_id grant;
    uint64_t seq = 0;
    FILE *f = fopen(path, "re");

    need(f != NULL && vf_grant_id_parse(grant_text, strlen(grant_text), &grant), "no file, or no grant");
    while (fgets(line, sizeof(line), f) != NULL) {
        refs = reallocarray(refs, nrefs + 1, sizeof(*refs));
        need(refs != NULL && vf_ref_parse(line, VF_REF_LEN, &refs[nrefs]), "not a ref");
        nrefs++;
    }
    (void)fclose(f);
    need(nrefs > 0, "no refs");
    for (uint64_t i = 0; i < n; i++) {
        bool image = i % 3 == 0;
        const struct vf_entry e = {.event = VF_EVENT_OPEN,
                                   .grant = &grant,
                                   .job = "cards",
                                   .recipient = "printer",
                                   .refs = &refs[i % nrefs],
                                   .nrefs = 1,
                                   .part = image ? VF_PART_IMAGE : VF_PART_TEXT,
                                   .fields = image ? VF_FIELD_BIT(VF_FIELD_PHOTO) : VF_FIELD_BIT(VF_FIELD_RANK),
                                   .has_caller = true,
                                   .uid = 1000,
                                   .pid = 4242,
                                   .exe = "/usr/bin/cardpress",
                                   .result = "ok"};
        if (vf_log_append(log_, &e, &seq, &why) != VF_OK)
            die("append", &why);
        fake_clock_pass(1000);
    }
    free(refs);
}

static void take_line(char *line)
{
    char *words[7] = {NULL};
    struct vf_why why = {0};
    size_t n = 0;

    for (char *save = NULL, *w = strtok_r(line, " \n", &save); w != NULL; w = strtok_r(NULL, " \n", &save)) {
        need(n < 7, "too many words");
        words[n++] = w;
    }
    if (n == 0)
        return;
    if (strcmp(words[0], "at") == 0 && n == 2) {
        int64_t us = strtoll(words[1], NULL, 10);
        fake_clock_set(us, us - INT64_C(1700000000) * VF_SECOND_US);
    } else if (strcmp(words[0], "gap") == 0 && n == 2) {
        gap((unsigned)strtoul(words[1], NULL, 10));
    } else if (strcmp(words[0], "step") == 0 && n == 2) {
        fake_clock_step(strtoll(words[1], NULL, 10) * VF_SECOND_US);
    } else if (strcmp(words[0], "many") == 0 && n == 4) {
        many(strtoull(words[1], NULL, 10), words[2], words[3]);
    } else if (strcmp(words[0], "seal") == 0) {
        if (vf_log_seal(log_, &why) != VF_OK)
            die("seal", &why);
    } else if (strcmp(words[0], "die") == 0) {
        _exit(0);
    } else {
        need(n >= 6, "not a command");
        take_entry(words);
    }
}

int main(int argc, char **argv)
{
    const struct vf_log_options opt = {.batch = true};
    struct vf_why why = {0};
    char line[LINE_MAX_];

    need(argc == 3, "log-writer LOG-FOLDER SEAL-FILE");
    need(signal(SIGXFSZ, SIG_IGN) != SIG_ERR, "signal");
    /* The first line is the time: the log looks at the clock when it is opened. */
    need(fgets(line, sizeof(line), stdin) != NULL && strncmp(line, "at ", 3) == 0, "the first line is: at US");
    take_line(line);
    if (vf_crypto_init(VF_ARENA_TOOL, &why) != VF_OK || vf_log_open(argv[1], argv[2], &opt, &log_, &why) != VF_OK)
        die("open", &why);
    while (fgets(line, sizeof(line), stdin) != NULL)
        take_line(line);
    if (vf_log_close(log_, &why) != VF_OK)
        die("close", &why);
    vf_crypto_done();
    return 0;
}
