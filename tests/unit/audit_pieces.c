/* SPDX-License-Identifier: MIT */
#include "audit_pieces.h"

#include "../../vaultfs/audit/source.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void append(char **to, size_t *len, const char *data, size_t n)
{
    *to = realloc(*to, *len + n + 1);
    if (*to == NULL)
        abort();
    memcpy(*to + *len, data, n);
    *len += n;
    (*to)[*len] = '\0';
}

/* Segment by segment, each up to the next one's first entry; `n` entries. */
static void load_lines(struct whole *w, const char *dir, uint64_t n)
{
    VF_SEGMENTS segs = {0};
    VF_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t seq = 0;
    size_t k = 0;

    OK(vf_segments_list(fd, dir, &segs, WHY));
    for (size_t i = 0; i < segs.n; i++) {
        char name[VF_SEGMENT_NAME_LEN + 1];
        char path[400];
        size_t len = 0;
        vf_segment_name(segs.first[i], name);
        audit_path(path, dir, name);
        VF_FREE char *data = audit_read(path, &len);
        for (const char *p = data; seq < vf_segments_limit(&segs, i) && seq < n; seq++) {
            const char *nl = strchr(p, '\n');
            if (nl == NULL)
                abort();
            append(&w->lines, &w->lines_len, p, (size_t)(nl + 1 - p));
            p = nl + 1;
            if (k < w->ncps && w->cp_size[k] == seq + 1)
                w->line_end[k++] = w->lines_len;
        }
    }
    if (seq != n)
        abort();
}

struct whole pieces_load(const char *dir)
{
    struct whole w = {.origin = NULL};
    char path[400];

    audit_path(path, dir, "origin");
    w.origin = audit_read(path, &w.origin_len);
    audit_path(path, dir, "checkpoints");
    w.cps = audit_read(path, &w.cps_len);
    for (char *p = w.cps; *p != '\0';) {
        struct vf_checkpoint c;
        struct vf_note note;
        char *end = strstr(strstr(p, "\n\n") + 2, "\n\n");
        OK(vf_note_parse(p, (size_t)(end + 1 - p), &note, WHY));
        OK(vf_checkpoint_parse(&note, &c, WHY));
        if (w.ncps == 512)
            abort();
        w.cp_size[w.ncps] = c.size;
        w.cp_end[w.ncps++] = (size_t)(end + 2 - w.cps);
        p = end + 2;
    }
    load_lines(&w, dir, w.cp_size[w.ncps - 1]);
    return w;
}

void pieces_free(struct whole *w)
{
    free(w->origin);
    free(w->cps);
    free(w->lines);
    *w = (struct whole){.origin = NULL};
}

struct piece pieces_of(const struct whole *w, size_t i, size_t j)
{
    size_t cp = i > 0 ? w->cp_end[i - 1] : 0;
    size_t line = i > 0 ? w->line_end[i - 1] : 0;

    return (struct piece){.cps = w->cps + cp,
                          .cps_len = w->cp_end[j - 1] - cp,
                          .lines = w->lines + line,
                          .lines_len = w->line_end[j - 1] - line,
                          .from = i > 0 ? w->cp_size[i - 1] : 0,
                          .to = w->cp_size[j - 1]};
}

void pieces_handin(const struct whole *w, size_t i, const struct piece *more, const char *path)
{
    const struct piece none = {.cps = w->cps, .lines = w->lines};
    struct piece base = i > 0 ? pieces_of(w, 0, i) : none;
    struct vf_handin_head head = {.origin_len = (uint32_t)w->origin_len, .checkpoints_len = base.cps_len + more->cps_len};
    uint8_t raw[VF_HANDIN_HEAD_LEN];
    char *all = NULL;
    size_t len = 0;

    head.entries = base.to;
    for (size_t n = 0; n < more->lines_len; n++)
        head.entries += more->lines[n] == '\n' ? 1 : 0;
    vf_handin_head_encode(&head, raw);
    append(&all, &len, (const char *)raw, sizeof(raw));
    append(&all, &len, w->origin, w->origin_len);
    append(&all, &len, base.cps, base.cps_len);
    append(&all, &len, more->cps, more->cps_len);
    append(&all, &len, base.lines, base.lines_len);
    append(&all, &len, more->lines, more->lines_len);
    audit_write(path, all, len);
    free(all);
}

/* A writer that dies with entries that nobody sealed, half a line among them: the next one says so. */
static void die_writing(const struct audit_place *p, unsigned n)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        OK(vf_crypto_init(VF_ARENA_TOOL, WHY));
        struct vf_log *log = audit_open(p, &(struct vf_log_options){.batch = true, .segment_max = 6000});
        for (unsigned i = 0; i < n; i++)
            audit_commit(log, 7000 + i);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        abort();
}

/* A disk that takes nothing for a moment: lost entries are counted by a gap entry. */
static void fill_disk(struct vf_log *log)
{
    struct vf_ref ref;
    struct vf_entry e = audit_entry(8000, &ref);

    faults_arm_lasting(FAULT_WRITE, 1, ENOSPC);
    enum vf_err err = vf_log_commit(log, &e, NULL);
    if (!faults_disarm() || err == VF_OK)
        abort();
    while (vf_log_commit(log, &e, NULL) != VF_OK)
        (void)usleep(20000);
}

void pieces_fill(const struct audit_place *p, unsigned seed, unsigned rounds)
{
    for (unsigned r = 0; r < rounds; r++) {
        struct vf_log *log = audit_open(p, &(struct vf_log_options){.batch = true, .segment_max = 6000});
        for (unsigned i = 0; i < 3 + (seed + r * 7) % 11; i++) {
            audit_commit(log, (uint64_t)seed * 1000 + r * 50 + i);
            if ((seed + r + i) % 3 == 0)
                audit_seal(log);
        }
        if ((seed + r) % 5 == 1)
            fill_disk(log);
        audit_close(log);
        if ((seed + r) % 4 == 2)
            die_writing(p, 1 + r % 3);
    }
}

enum vf_err pieces_open(const struct whole *w, const char *dir, struct vf_log_copy **ret)
{
    return vf_log_copy_open(dir, (struct vf_slice){(const uint8_t *)w->origin, w->origin_len}, &device_key, 1, ret, WHY);
}

enum vf_err pieces_extend(struct vf_log_copy *c, const struct piece *p)
{
    return vf_log_copy_extend(c, p->from, (struct vf_slice){(const uint8_t *)p->cps, p->cps_len},
                              (struct vf_slice){(const uint8_t *)p->lines, p->lines_len}, NULL, NULL, WHY);
}
