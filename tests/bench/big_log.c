/* SPDX-License-Identifier: MIT */
/*
 * A log of any size, written by the real writer, for tests/bench/audit.py: big-log OUT ENTRIES [RECORDS] [DAYS]. OUT/log is the log of a station,
 * OUT/seal its slot file. Typical entries: photos and texts of RECORDS officers opened one by one, a job's cards.csv now and then, denials, repeats.
 */
#include "vaultfs/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define START_US (INT64_C(1767225600) * VF_SECOND_US) /* 2026-01-01 */

struct clock {
    int64_t at, step;
};

static int64_t now(void *user)
{
    struct clock *c = user;

    return c->at += c->step;
}

static void die(const struct vf_why *why)
{
    (void)fprintf(stderr, "big-log: %s\n", why->text);
    exit(1);
}

static void ref_of(uint64_t n, struct vf_ref *ret)
{
    /* Spread over all 40 bits, the same at each run. */
    uint64_t x = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    uint8_t bytes[5] = {(uint8_t)(x >> 56), (uint8_t)(x >> 48), (uint8_t)(x >> 40), (uint8_t)(x >> 32), (uint8_t)(x >> 24)};

    vf_ref_from_bytes(bytes, ret);
}

/* The nth entry. What it points to is static. */
static struct vf_entry entry_of(uint64_t n, uint64_t records)
{
    static const char *const exes[] = {"/usr/bin/glabels-batch", "/opt/CardExchange/bin/producer", "/usr/bin/inkscape",
                                       "/usr/bin/tracker-extract-3"};
    static const struct vf_grant_id grants[] = {{"ABCDEFGHIJKLMNOP"}, {"QRSTUVWXYZ234567"}};
    static struct vf_ref ref;
    static struct vf_hash manifest;
    uint64_t roll = (n * UINT64_C(0xbf58476d1ce4e5b9)) >> 40;
    struct vf_entry e = {.event = VF_EVENT_OPEN,
                         .grant = &grants[n >> 16 & 1],
                         .job = "warrant-cards-2026",
                         .recipient = "press-1",
                         .refs = &ref,
                         .nrefs = 1,
                         .part = VF_PART_IMAGE,
                         .fields = VF_FIELD_BIT(VF_FIELD_PHOTO),
                         .has_bytes = true,
                         .bytes = 98304 + (roll & 7) * 8192,
                         .has_caller = true,
                         .uid = 1000 + (uint32_t)(roll & 3),
                         .pid = 2000 + (int32_t)(n >> 12 & 0x3fff),
                         .exe = exes[roll >> 4 & 1],
                         .result = "ok"};

    ref_of(n % records, &ref);
    if (roll % 1000 == 0) {
        memset(manifest.b, (int)(n >> 16 & 1), sizeof(manifest.b));
        e.refs = NULL;
        e.nrefs = 0;
        e.all = &manifest;
        e.part = VF_PART_TEXT;
        e.fields = VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD) | VF_FIELD_BIT(VF_FIELD_RANK) | VF_FIELD_BIT(VF_FIELD_WARRANT_NO);
        e.has_count = true;
        e.count = records;
    } else if (roll % 100 == 1) {
        e.event = VF_EVENT_DENY;
        e.exe = exes[3];
        e.has_bytes = false;
        e.result = "EDQUOT";
    } else if (roll % 50 == 2) {
        e.event = VF_EVENT_REPEAT;
        e.has_count = true;
        e.count = 2 + (roll & 15);
    } else if (roll % 3 == 0) {
        e.part = VF_PART_TEXT;
        e.fields = VF_FIELD_BIT(VF_FIELD_RANK);
        e.bytes = 64;
    }
    return e;
}

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t n = 0;

    if (!vf_uint_parse(text, strlen(text), max, &n) || n == 0) {
        (void)fprintf(stderr, "big-log: \"%s\" is no number\n", text);
        exit(2);
    }
    return n;
}

static void write_log(const char *dir, const char *seal, uint64_t entries, uint64_t records, int64_t step)
{
    struct vf_why why = {0};
    struct clock clock = {.at = START_US, .step = step};
    struct vf_log_options opt = {.now_us = now, .user = &clock, .batch = true};
    struct vf_log *log = NULL;
    uint64_t last = 0;

    if (vf_log_open(dir, seal, &opt, &log, &why) != VF_OK)
        die(&why);
    for (uint64_t i = 0; i < entries; i++) {
        struct vf_entry e = entry_of(i, records);
        if (vf_log_append(log, &e, &last, &why) != VF_OK)
            die(&why);
    }
    if (vf_log_close(log, &why) != VF_OK)
        die(&why);
}

int main(int argc, char **argv)
{
    struct vf_why why = {0};
    VF_IDENTITY id = NULL;

    if (argc < 3 || argc > 5) {
        (void)fprintf(stderr, "Usage: big-log OUT ENTRIES [RECORDS] [DAYS]\n");
        return 2;
    }
    uint64_t entries = number(argv[2], UINT64_C(1) << 32);
    uint64_t records = argc > 3 ? number(argv[3], 1000000) : 47000;
    uint64_t days = argc > 4 ? number(argv[4], 3650) : 30;
    int64_t step = (int64_t)days * VF_DAY_US / (int64_t)entries;
    if (mkdir(argv[1], 0700) != 0) {
        perror(argv[1]);
        return 1;
    }
    VF_FREE char *dir = vf_path_join(argv[1], "log");
    VF_FREE char *seal = vf_path_join(argv[1], "seal");
    if (dir == NULL || seal == NULL)
        return 1;
    if (vf_crypto_init(VF_ARENA_TOOL, &why) != VF_OK || vf_identity_new(VF_ROLE_DEVICE, "press-1", &id, &why) != VF_OK ||
        vf_log_create(dir, seal, VF_LOG_STATION, id, NULL, NULL, &why) != VF_OK)
        die(&why);
    write_log(dir, seal, entries, records, step > 0 ? step : 1);
    vf_identity_free(id);
    id = NULL;
    vf_crypto_done();
    return 0;
}
