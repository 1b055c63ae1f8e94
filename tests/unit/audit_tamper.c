/* SPDX-License-Identifier: MIT */
#include "audit_tamper.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_std.h"

struct audit_place place;
char entries_path[400], checkpoints_path[400], origin_path[400];
struct vf_verdict v;

struct file entries, checkpoints, origin;

struct file load(const char *path)
{
    struct file f;

    f.data = audit_read(path, &f.len);
    return f;
}

void restore(void)
{
    audit_write(entries_path, entries.data, entries.len);
    audit_write(checkpoints_path, checkpoints.data, checkpoints.len);
    audit_write(origin_path, origin.data, origin.len);
}

void paths(const struct audit_place *p)
{
    audit_path(entries_path, p->log, "entries-00000000000000000000.jsonl");
    audit_path(checkpoints_path, p->log, "checkpoints");
    audit_path(origin_path, p->log, "origin");
}

void fill(const struct audit_place *p, unsigned seals, unsigned per)
{
    struct vf_log *log = audit_open(p, &(struct vf_log_options){.batch = true});

    for (unsigned i = 0; i < seals * per; i++) {
        audit_commit(log, i);
        if (i % per == per - 1)
            audit_seal(log);
    }
    audit_close(log);
}

int tamper_set_up(void **state)
{
    (void)audit_set_up(state);
    audit_place_make(&place);
    fill(&place, SEALS, 7);
    paths(&place);
    entries = load(entries_path);
    checkpoints = load(checkpoints_path);
    origin = load(origin_path);
    return 0;
}

int tamper_tear_down(void **state)
{
    free(entries.data);
    free(checkpoints.data);
    free(origin.data);
    audit_place_done(&place);
    return audit_tear_down(state);
}

int tamper_again(void **state)
{
    (void)state;
    restore();
    return 0;
}

/* The log is bad, and one finding says this. */
void found(const char *words)
{
    bool good = audit_verify(&place, place.log, &v);

    if (good || !audit_found(&v, words)) {
        audit_print(&v);
        fail_msg("not found: %s", words);
    }
}

void found_fmt(const char *fmt, ...)
{
    char words[200];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(words, sizeof(words), fmt, ap);
    va_end(ap);
    found(words);
}

void is_good(void)
{
    if (!audit_verify(&place, place.log, &v)) {
        audit_print(&v);
        fail();
    }
}

/* Where line i begins; i == number of lines: the end. */
size_t line_at(const struct file *f, unsigned i)
{
    size_t at = 0;

    while (i-- > 0)
        at = (size_t)((const char *)memchr(f->data + at, '\n', f->len - at) - f->data) + 1;
    return at;
}

/* Checkpoint k (from 0) begins here. */
size_t record_at(const struct file *f, unsigned k)
{
    size_t at = 0;

    for (k *= 2; k > 0; k--)
        at = (size_t)((const char *)memmem(f->data + at, f->len - at, "\n\n", 2) - f->data) + 2;
    return at;
}

size_t checkpoint_at(unsigned k)
{
    return record_at(&checkpoints, k);
}

/* A file of pieces of another. */
void write_pieces(const char *path, const struct file *f, const size_t *ranges, size_t n)
{
    VF_BUF b = {0};

    vf_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < n; i++)
        vf_buf_put(&b, f->data + ranges[2 * i], ranges[2 * i + 1] - ranges[2 * i]);
    assert_true(vf_buf_ok(&b));
    audit_write(path, b.data, b.len);
}
