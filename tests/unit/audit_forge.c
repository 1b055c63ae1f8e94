/* SPDX-License-Identifier: MIT */
#include "audit_forge.h"

#include "../../vaultfs/audit/checkpoint.h"
#include "../../vaultfs/audit/entry.h"
#include "../../vaultfs/audit/segment.h"

#include <stdio.h>
#include <sys/stat.h>

#define TIME_US INT64_C(1795262400000000)

void forge_begin(struct forge *f, const char *dir, size_t entries_max)
{
    char path[400];
    VF_BUF text = {0};
    VF_BUF note = {0};

    memset(f, 0, sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "%s", dir);
    (void)snprintf(f->origin, sizeof(f->origin), "vaultfs.log/00112233445566778899aabbccddeeff");
    vf_buf_init(&f->entries, entries_max);
    vf_buf_init(&f->checkpoints, 1 << 20);
    vf_tree_init(&f->tree);
    vf_seal_key_new(&f->key);
    if (mkdir(dir, 0700) != 0)
        abort();
    vf_buf_init(&text, 4096);
    vf_buf_init(&note, 8192);
    vf_origin_put(f->origin, VF_LOG_STATION, "press-1", TIME_US, f->key.pub, NULL, &text);
    OK(vf_note_sign((const char *)text.data, text.len, device, &note, WHY));
    audit_path(path, dir, "origin");
    audit_write(path, note.data, note.len);
}

void forge_done(struct forge *f)
{
    vf_buf_done(&f->entries);
    vf_buf_done(&f->checkpoints);
}

static void put(struct forge *f, const struct vf_entry *e, const uint8_t *key)
{
    VF_ENTRY_BODY body = {.split = 0};
    struct vf_entry_lines lines = {0};
    uint8_t nonce[16];
    struct vf_hash leaf;
    VF_BUF where = {0};

    vf_random(nonce, sizeof(nonce));
    vf_buf_init(&where, 8192);
    vf_entry_origin_put("forge", "00112233445566778899aabbccddeeff", &where);
    OK(vf_entry_body_make(e, key, &body, WHY));
    if (!vf_entry_lines_add(&lines, f->tree.size, TIME_US, &body, &where, nonce))
        abort();
    vf_buf_put(&f->entries, lines.data, lines.len);
    if (!vf_buf_ok(&f->entries))
        abort();
    vf_leaf_hash(lines.data, lines.len - 1, &leaf);
    vf_tree_add(&f->tree, &leaf);
    vf_entry_lines_done(&lines);
}

void forge_add(struct forge *f, unsigned nrefs)
{
    static struct vf_ref refs[VF_ENTRY_REFS_MAX];
    struct vf_ref one;
    struct vf_entry e = audit_entry(f->tree.size, &one);

    for (unsigned i = 0; i < nrefs; i++)
        refs[i] = one;
    e.refs = refs;
    e.nrefs = nrefs;
    put(f, &e, NULL);
}

void forge_seal(struct forge *f)
{
    struct vf_entry e = {.event = VF_EVENT_SEAL, .part = -1, .result = "ok"};
    struct vf_seal_key next;
    struct vf_hash root;

    vf_seal_key_new(&next);
    put(f, &e, next.pub);
    vf_tree_root(&f->tree, &root);
    OK(vf_checkpoint_record(f->origin, f->tree.size, &root, &f->key, &f->checkpoints, WHY));
    f->key = next;
}

static void append(const char *dir, const char *name, struct vf_buf *b)
{
    char path[400];

    audit_path(path, dir, name);
    FILE *to = fopen(path, "ae");
    if (to == NULL || (b->len > 0 && fwrite(b->data, 1, b->len, to) != b->len) || fclose(to) != 0)
        abort();
    vf_buf_reset(b);
}

void forge_write(struct forge *f)
{
    char name[VF_SEGMENT_NAME_LEN + 1];

    vf_segment_name(f->segment, name);
    append(f->dir, name, &f->entries);
    append(f->dir, "checkpoints", &f->checkpoints);
}
