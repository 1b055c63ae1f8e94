/* SPDX-License-Identifier: MIT */
/*
 * What a desk pays to follow a station's log: grow-copy FOLDER [ENTRIES]. FOLDER must not be there; it is left behind. A log of that many
 * entries is taken over in pieces of 32 MiB, then in small pieces of three entries and their seal; and the copy is opened anew.
 */
#include "vaultfs/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 1000

static struct vf_why why;

static void ok(enum vf_err err)
{
    if (err == VF_OK)
        return;
    (void)fprintf(stderr, "grow-copy: %s\n", why.text);
    exit(1);
}

static void add(struct vf_log *log, uint64_t n)
{
    static const struct vf_grant_id grant = {"ABCDEFGHIJKLMNOP"};
    uint8_t bytes[5] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    struct vf_ref ref;
    uint64_t seq = 0;

    vf_ref_from_bytes(bytes, &ref);
    const struct vf_entry e = {.event = VF_EVENT_OPEN,
                               .grant = &grant,
                               .job = "warrant-cards-2026",
                               .recipient = "press-1",
                               .refs = &ref,
                               .nrefs = 1,
                               .part = VF_PART_IMAGE,
                               .fields = VF_FIELD_BIT(VF_FIELD_PHOTO),
                               .has_bytes = true,
                               .bytes = 81920,
                               .has_caller = true,
                               .uid = 1000,
                               .pid = 4242,
                               .exe = "/usr/bin/cardpress",
                               .result = "ok"};
    ok(vf_log_append(log, &e, &seq, &why));
}

/* Everything new; returns entries. */
static uint64_t follow(struct vf_log *log, struct vf_log_copy *c, size_t max, int64_t *ret_us)
{
    struct vf_log_copy_state s;
    VF_BUF cps = {0};
    VF_BUF lines = {0};
    uint64_t to = 0;

    vf_buf_init(&cps, (size_t)64 << 20);
    vf_buf_init(&lines, (size_t)64 << 20);
    vf_log_copy_state_get(c, &s);
    ok(vf_log_tail(log, s.size, max, &cps, &lines, &to, &why));
    if (to == s.size)
        return 0;
    int64_t at = vf_clock_boot_us();
    ok(vf_log_copy_extend(c, s.size, (struct vf_slice){cps.data, cps.len}, (struct vf_slice){lines.data, lines.len}, NULL,
                          NULL, &why));
    *ret_us += vf_clock_boot_us() - at;
    return to - s.size;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static char *in(const char *dir, const char *name)
{
    char *path = vf_path_join(dir, name);

    if (path == NULL)
        exit(1);
    return path;
}

static void measure(struct vf_log *log, const char *dir, struct vf_slice origin, const struct vf_note_key *key)
{
    static int64_t took[SMALL];
    struct vf_log_copy *c = NULL;
    int64_t us = 0;
    uint64_t n = 0;

    ok(vf_log_copy_open(dir, origin, key, 1, &c, &why));
    for (uint64_t got = 1; got > 0; n += got)
        got = follow(log, c, (size_t)32 << 20, &us);
    (void)printf("large pieces: %llu entries, %.0f entries/s\n", (unsigned long long)n, (double)n * 1e6 / (double)us);
    int64_t tail = 0;
    for (size_t i = 0; i < SMALL; i++) {
        for (uint64_t k = 0; k < 3; k++)
            add(log, 5000000 + i * 3 + k);
        ok(vf_log_seal(log, &why));
        int64_t at = vf_clock_boot_us();
        (void)follow(log, c, (size_t)32 << 20, &took[i]);
        tail += vf_clock_boot_us() - at - took[i];
    }
    qsort(took, SMALL, sizeof(took[0]), compare);
    (void)printf("small pieces (4 entries): p50 %lld us, p99 %lld us; vf_log_tail for it %lld us\n",
                 (long long)took[SMALL / 2], (long long)took[SMALL * 99 / 100], (long long)(tail / SMALL));
    vf_log_copy_close(c);
    int64_t at = vf_clock_boot_us();
    for (int i = 0; i < 100; i++) {
        ok(vf_log_copy_open(dir, origin, key, 1, &c, &why));
        vf_log_copy_close(c);
    }
    (void)printf("opening: %lld us\n", (long long)((vf_clock_boot_us() - at) / 100));
}

int main(int argc, char **argv)
{
    uint64_t entries = argc > 2 ? strtoull(argv[2], NULL, 10) : 500000;
    const struct vf_log_options batch = {.batch = true};
    struct vf_identity *device = NULL;
    struct vf_log *log = NULL;
    struct vf_note_key key;
    VF_BUF origin = {0};

    if (argc < 2)
        return 2;
    VF_FREE char *dir = in(argv[1], "log");
    VF_FREE char *seal = in(argv[1], "seal");
    VF_FREE char *copy = in(argv[1], "copy");
    VF_FREE char *note = in(dir, "origin");
    ok(vf_crypto_init(VF_ARENA_TOOL, &why));
    ok(vf_dir_make(argv[1], &why));
    ok(vf_identity_new(VF_ROLE_DEVICE, "press-1", &device, &why));
    vf_note_key_of(vf_identity_pub_get(device), &key);
    ok(vf_log_create(dir, seal, VF_LOG_STATION, device, NULL, NULL, &why));
    ok(vf_log_open(dir, seal, &batch, &log, &why));
    for (uint64_t n = 0; n < entries; n++)
        add(log, n);
    ok(vf_log_seal(log, &why));
    ok(vf_file_read(note, 8192, &origin, &why));
    measure(log, copy, (struct vf_slice){origin.data, origin.len}, &key);
    ok(vf_log_close(log, &why));
    vf_identity_free(device);
    return 0;
}
