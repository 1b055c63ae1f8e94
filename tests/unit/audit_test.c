/* SPDX-License-Identifier: MIT */
#include "audit_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct vf_why audit_why;
struct vf_identity *device;
struct vf_note_key device_key;

static void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "%s: %s: ", what, path);
    perror(NULL);
    abort();
}

int audit_set_up(void **state)
{
    (void)state;
    /* They sync thousands of times, and none of them needs a disk that outlives the machine. */
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
    OK(vf_crypto_init(VF_ARENA_TOOL, WHY));
    OK(vf_identity_new(VF_ROLE_DEVICE, "press-1", &device, WHY));
    vf_note_key_of(vf_identity_pub_get(device), &device_key);
    return 0;
}

int audit_tear_down(void **state)
{
    (void)state;
    vf_identity_free(device);
    vf_crypto_done();
    return 0;
}

void audit_place_make(struct audit_place *p)
{
    scratch_make(&p->dir);
    (void)scratch_path(&p->dir, "log", p->log, sizeof(p->log));
    (void)scratch_path(&p->dir, "seal", p->seal, sizeof(p->seal));
    OK(vf_log_create(p->log, p->seal, VF_LOG_STATION, device, NULL, &p->id, WHY));
}

void audit_place_done(struct audit_place *p)
{
    scratch_remove(&p->dir);
}

struct vf_log *audit_open(const struct audit_place *p, const struct vf_log_options *opt)
{
    struct vf_log *log = NULL;

    OK(vf_log_open(p->log, p->seal, opt, &log, WHY));
    return log;
}

void audit_close(struct vf_log *log)
{
    OK(vf_log_close(log, WHY));
}

struct vf_entry audit_entry(uint64_t n, struct vf_ref *ref)
{
    static const struct vf_grant_id grant = {"ABCDEFGHIJKLMNOP"};
    uint8_t bytes[5] = {(uint8_t)(n >> 32), (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    vf_ref_from_bytes(bytes, ref);
    return (struct vf_entry){
        .event = VF_EVENT_OPEN,
        .grant = &grant,
        .job = "warrant-cards-2026",
        .recipient = "press-1",
        .refs = ref,
        .nrefs = 1,
        .part = VF_PART_IMAGE,
        .fields = VF_FIELD_BIT(VF_FIELD_PHOTO),
        .has_bytes = true,
        .bytes = 81920,
        .has_caller = true,
        .uid = 1000,
        .pid = 4242,
        .exe = "/usr/bin/cardpress",
        .result = "ok",
    };
}

void audit_commit(struct vf_log *log, uint64_t n)
{
    struct vf_ref ref;
    struct vf_entry e = audit_entry(n, &ref);

    OK(vf_log_commit(log, &e, WHY));
}

void audit_seal(struct vf_log *log)
{
    OK(vf_log_seal(log, WHY));
}

void audit_grow(const struct audit_place *p, unsigned entries)
{
    static const struct vf_log_options batch = {.batch = true, .segment_max = 2500};
    struct vf_log *log = audit_open(p, &batch);

    for (unsigned i = 0; i < entries; i++) {
        audit_commit(log, i);
        if (i % 3 == 2)
            audit_seal(log);
    }
    audit_close(log);
}

uint64_t audit_hand_in(const char *from, const char *to)
{
    uint64_t size = 0;
    VF_FD fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        OK(vf_fail_sys(WHY, "%s", to));
    OK(vf_handin_write(from, fd, &size, WHY));
    return size;
}

bool audit_verify(const struct audit_place *p, const char *path, struct vf_verdict *v)
{
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &p->id};

    OK(vf_log_verify(path, &opt, v, WHY));
    return v->good;
}

bool audit_found(const struct vf_verdict *v, const char *words)
{
    for (size_t i = 0; i < v->nfindings; i++)
        if (strstr(v->findings[i], words) != NULL)
            return true;
    return false;
}

bool audit_noted(const struct vf_verdict *v, const char *words)
{
    for (size_t i = 0; i < v->nnotes; i++)
        if (strstr(v->notes[i], words) != NULL)
            return true;
    return false;
}

void audit_print(const struct vf_verdict *v)
{
    (void)fprintf(stderr, "%s: %llu entries, %llu sealed, %llu checkpoints\n", v->good ? "good" : "BAD",
                  (unsigned long long)v->entries, (unsigned long long)v->sealed, (unsigned long long)v->checkpoints);
    for (size_t i = 0; i < v->nfindings; i++)
        (void)fprintf(stderr, "  finding: %s\n", v->findings[i]);
    for (size_t i = 0; i < v->nnotes; i++)
        (void)fprintf(stderr, "  note: %s\n", v->notes[i]);
}

/* ------------------------------------------------------------------------------------------------------------------ files */

char *audit_read(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        die("read", path);
    char *data = malloc((size_t)st.st_size + 1);
    if (data == NULL || pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
        die("read", path);
    data[st.st_size] = '\0';
    (void)close(fd);
    *ret_len = (size_t)st.st_size;
    return data;
}

void audit_write(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || (len > 0 && pwrite(fd, data, len, 0) != (ssize_t)len))
        die("write", path);
    (void)close(fd);
}

void audit_path(char out[400], const char *dir, const char *name)
{
    (void)snprintf(out, 400, "%.250s/%.120s", dir, name);
}

/* Files of one folder, and of folders in it. */
void audit_copy_tree(const char *from, const char *to)
{
    DIR *d = opendir(from);
    const struct dirent *e;

    if (d == NULL || mkdir(to, 0700) != 0)
        die("copy", from);
    while ((e = readdir(d)) != NULL) {
        char a[400];
        char b[400];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        audit_path(a, from, e->d_name);
        audit_path(b, to, e->d_name);
        if (stat(a, &st) != 0)
            die("copy", a);
        if (S_ISDIR(st.st_mode)) {
            audit_copy_tree(a, b);
            continue;
        }
        size_t len = 0;
        char *data = audit_read(a, &len);
        audit_write(b, data, len);
        free(data);
    }
    (void)closedir(d);
}
