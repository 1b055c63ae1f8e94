/* SPDX-License-Identifier: MIT */
/*
 * OPEN decides everything. In order:
 *   1 the gate of the job (closed: the end has come)
 *   2 may: window, revocation, clock
 *   3 budget of distinct records
 *   4 the entry goes to the log's queue (unless one of this second covers it, which is durable); the disk works on it while
 *   5 the value is looked up, its hash compared with what was signed, decrypted
 *   6 wait until the entry is durable
 *   7 NOTIFY_STORE puts the plaintext into the page cache, so that no READ is needed
 *   8 leave the gate, reply
 * Any failure: no byte, an errno, a deny entry. A READ (a page that was evicted, cards.csv) passes 1, 2 and 5 again.
 */
#include "mount.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct vf_handle { /* of one open file */
    /* The open file's, and that of an answer on its way: the program may close, and RELEASE come, before the write of the answer returns. */
    atomic_uint refs;
    struct vf_node node;
    struct vf_cards *cards; /* cards.csv as it was when opened */
    char *text;             /* GRANT.txt, markers */
    size_t text_len;
};

static struct vf_handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct vf_handle *)(uintptr_t)fi->fh;
}

static void handle_unref(struct vf_handle *h)
{
    if (atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    vf_cards_unref(h->cards);
    free(h->text);
    free(h);
}

static unsigned field_of(const struct vf_node *node)
{
    if (node->kind == VF_NODE_PHOTO)
        return VF_FIELD_PHOTO;
    if (node->kind == VF_NODE_SIGNATURE)
        return VF_FIELD_SIGNATURE;
    return node->kind - VF_NODE_TEXT;
}

static bool is_cards(const struct vf_node *node)
{
    return node->kind == VF_NODE_CARDS || node->kind == VF_NODE_CARDS_EXCEL;
}

/* To be told in the log? Not when the mount is going away, nor when there is no such file. */
static bool is_refusal(int err)
{
    return err && err != ENODEV && err != ENOENT;
}

/* The errno a program gets for an error of the rooms below. */
static int program_errno(enum vf_err err)
{
    return err == VF_E_NOT_FOUND ? EIO : vf_err_errno(err);
}

/* The file's bytes in the reader's scratch, valid until the reader is given back: the value, and for text its newline. */
static enum vf_err get_content(struct vf_value_reader *reader, const struct vf_node *node, struct vf_job *job,
                               const uint8_t **ret_data, size_t *ret_len, struct vf_why *why)
{
    unsigned field = field_of(node);
    const uint8_t *plain;
    size_t len;
    VF_TRY(vf_value_reader_get(reader, job, node->index, field, &plain, &len, why));
    if (!vf_field_is_image(field))
        ((uint8_t *)(uintptr_t)plain)[len++] = '\n'; /* the scratch has a byte to spare for it (station.h) */
    *ret_data = plain;
    *ret_len = len;
    return VF_OK;
}

static bool store_content(struct vf_session *s, uint64_t ino, const uint8_t *data, size_t len)
{
    struct fuse_bufvec v = FUSE_BUFVEC_INIT(len);
    v.buf[0].mem = (void *)(uintptr_t)data;
    return fuse_lowlevel_notify_store(s->fuse, ino, 0, &v, 0) == 0;
}

/* Steps 3 to 7, inside the gate. */
static int open_value(struct vf_session *s, struct vf_handle *h, struct vf_job *job, const struct vf_caller *caller,
                      uint64_t ino, bool store, bool *ret_stored)
{
    struct vf_value_reader *reader = vf_reader_try(s);
    const uint8_t *data = NULL;
    size_t len = 0;
    struct vf_access access;

    enum vf_err err =
        vf_job_budget_take(s->station, job, h->node.index, (enum vf_part)vf_field_part(field_of(&h->node)), NULL);
    if (!err)
        err = vf_access_open(s, &h->node, job, caller, &access, NULL);
    if (!err) {
        /* Readers are few, since their memory is locked. In a crowd those without one wait for the disk first, all for the same flush. */
        bool waited = reader == NULL;
        enum vf_err durable = waited ? vf_access_wait(s, &access, NULL) : VF_OK;
        if (waited)
            reader = vf_reader_take(s);
        err = get_content(reader, &h->node, job, &data, &len, NULL);
        /* Wait in any case: the entry stands, and what is waited for cannot be left behind. */
        if (!waited)
            durable = vf_access_wait(s, &access, NULL);
        if (durable)
            err = durable;
        vf_access_done(s, &access, err == VF_OK);
    }
    if (!err && store)
        *ret_stored = store_content(s, ino, data, len);
    if (reader)
        vf_reader_give(s, reader);
    return err ? program_errno(err) : 0;
}

static int open_cards(struct vf_session *s, struct vf_handle *h, struct vf_job *job, const struct vf_caller *caller)
{
    if (!vf_cards_exist(s, job))
        return ENOENT;
    h->cards = vf_slot_cards_ref(h->node.slot);
    if (!h->cards)
        return EIO;
    struct vf_access access;
    enum vf_err err = vf_job_budget_take_all(s->station, job, VF_PART_TEXT, NULL);
    if (!err)
        err = vf_access_open(s, &h->node, job, caller, &access, NULL);
    if (!err) {
        err = vf_access_wait(s, &access, NULL);
        vf_access_done(s, &access, err == VF_OK);
    }
    return err ? program_errno(err) : 0;
}

/* What a program gets at a gate that is shut. */
static int gate_errno(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job)
{
    if (atomic_load(&s->leaving))
        return ENODEV; /* the mount is going away, the grant is not */
    int err = vf_slot_may(s, slot, job, NULL);
    return err ? err : EKEYEXPIRED;
}

/* The last handle is gone: so are the pages. */
static void drop_closed(struct vf_session *s, struct vf_slot_job *slot, uint64_t ino)
{
    fuse_lowlevel_notify_inval_inode(s->fuse, ino, 0, 0);
    vf_files_dropped(&slot->files, ino);
}

/* Everything below a job that has contents of records. */
static int open_granted(struct vf_session *s, struct vf_handle *h, struct vf_job *job, const struct fuse_ctx *ctx,
                        uint64_t ino)
{
    struct vf_slot_job *slot = h->node.slot;
    struct vf_caller caller;
    int err = vf_slot_may(s, slot, job, NULL);

    vf_caller_of(ctx, &caller);
    if (!err && !vf_end_gate_enter(&slot->gate)) {
        err = gate_errno(s, slot, job);
    } else if (!err) {
        bool store = false, stored = false;
        struct vf_open_file *file = vf_files_open(&slot->files, ino, &store);
        if (!file)
            err = ENOMEM;
        else if (is_cards(&h->node))
            err = open_cards(s, h, job, &caller);
        else
            err = open_value(s, h, job, &caller, ino, store, &stored);
        if (file && vf_files_opened(&slot->files, file, stored, err != 0))
            drop_closed(s, slot, ino);
        vf_end_gate_leave(&slot->gate);
    }
    if (is_refusal(err))
        vf_access_deny(s, &h->node, job, &caller, err);
    return err;
}

static int open_text(struct vf_session *s, struct vf_handle *h, struct vf_job *job)
{
    VF_BUF text;
    vf_buf_init(&text, 65536);
    if (h->node.kind == VF_NODE_GRANT_TXT)
        vf_grant_txt(s, h->node.slot, job, &text);
    if (!vf_buf_ok(&text))
        return ENOMEM;
    h->text = malloc(text.len + 1);
    if (!h->text)
        return ENOMEM;
    if (text.len)
        memcpy(h->text, text.data, text.len);
    h->text_len = text.len;
    return 0;
}

void vf_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct vf_session *s = fuse_req_userdata(req);
    struct vf_node node;

    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if (!vf_node_of(s, ino, &node)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct vf_handle *h = calloc(1, sizeof(*h));
    if (!h) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    atomic_init(&h->refs, 1);
    h->node = node;
    struct vf_job *job = node.slot ? vf_slot_job_ref(node.slot) : NULL;
    bool plain = node.kind == VF_NODE_GRANT_TXT || node.kind == VF_NODE_MARKER;
    int err = vf_node_is_dir(&node) ? EISDIR : vf_node_exists(&node, job);
    if (!err)
        err = plain ? open_text(s, h, job) : open_granted(s, h, job, fuse_req_ctx(req), ino);
    if (job)
        vf_job_unref(job);
    if (err) {
        handle_unref(h);
        fuse_reply_err(req, err);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = plain;
    fi->keep_cache = !plain;
    if (fuse_reply_open(req, fi) == -ENOENT) {
        /* The opener was interrupted: no RELEASE will come. */
        if (!plain && vf_files_close(&node.slot->files, ino))
            drop_closed(s, node.slot, ino);
        handle_unref(h);
    }
}

static void reply_slice(fuse_req_t req, const char *data, size_t len, size_t size, off_t off)
{
    if ((uint64_t)off >= len)
        fuse_reply_buf(req, NULL, 0);
    else
        fuse_reply_buf(req, data + off, len - (size_t)off < size ? len - (size_t)off : size);
}

/* Inside the gate; replies. */
static int read_value(struct vf_session *s, fuse_req_t req, const struct vf_handle *h, struct vf_job *job, size_t size,
                      off_t off)
{
    struct vf_value_reader *reader = vf_reader_take(s);
    const uint8_t *data = NULL;
    size_t len = 0;
    enum vf_err err = get_content(reader, &h->node, job, &data, &len, NULL);
    if (!err)
        reply_slice(req, (const char *)data, len, size, off);
    vf_reader_give(s, reader);
    return err ? program_errno(err) : 0;
}

static int read_cards(struct vf_session *s, fuse_req_t req, const struct vf_handle *h, struct vf_job *job, size_t size,
                      off_t off)
{
    /* The reader first: as few buffers as there are readers, so that a crowd waits for memory instead of being refused. */
    struct vf_value_reader *reader = vf_reader_take(s);
    VF_SECRET uint8_t *out = vf_secret_new(size ? size : 1);
    size_t len = 0;
    enum vf_err err = out ? vf_cards_read(s, job, h->cards, reader, h->node.kind == VF_NODE_CARDS_EXCEL, (uint64_t)off, out,
                                          size, &len, NULL)
                          : VF_E_LOCKED_MEMORY;
    if (!err)
        fuse_reply_buf(req, (const char *)out, len);
    vf_secret_free(out);
    out = NULL;
    vf_reader_give(s, reader);
    return err ? program_errno(err) : 0;
}

void vf_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct vf_session *s = fuse_req_userdata(req);
    struct vf_handle *h = handle_of(fi);
    (void)ino;

    if (h->text) {
        (void)atomic_fetch_add(&h->refs, 1);
        reply_slice(req, h->text, h->text_len, size, off);
        handle_unref(h);
        return;
    }
    struct vf_slot_job *slot = h->node.slot;
    struct vf_job *job = vf_slot_job_ref(slot);
    int err = vf_slot_may(s, slot, job, NULL);
    if (!err && !vf_end_gate_enter(&slot->gate)) {
        err = gate_errno(s, slot, job);
    } else if (!err) {
        err = h->cards ? read_cards(s, req, h, job, size, off) : read_value(s, req, h, job, size, off);
        vf_end_gate_leave(&slot->gate);
    }
    if (is_refusal(err)) {
        struct vf_caller caller;
        vf_caller_of(fuse_req_ctx(req), &caller);
        vf_access_deny(s, &h->node, job, &caller, err);
    }
    vf_job_unref(job);
    if (err)
        fuse_reply_err(req, err);
}

void vf_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct vf_session *s = fuse_req_userdata(req);
    struct vf_handle *h = handle_of(fi);
    bool plain = h->text != NULL;
    struct vf_slot_job *slot = h->node.slot;

    fuse_reply_err(req, 0);
    handle_unref(h);
    if (!plain && vf_files_close(&slot->files, ino))
        drop_closed(s, slot, ino);
}
