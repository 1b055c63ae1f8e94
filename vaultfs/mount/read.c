/* SPDX-License-Identifier: MIT */
/*
 * OPEN decides everything. In order:
 *   1 the gate of the job (closed: the end has come)
 *   2 may: window, revocation, clock
 *   3 share: online jobs alone. Where it is not here the desk is asked, outside the gate and on another thread (waits.c)
 *   4 budget of distinct records
 *   5 the entry goes to the log's queue (unless one of this second covers it, which is durable); of a picture the disk works on it while
 *   6 the value is looked up, its hash compared with what was signed, decrypted; anything else waits for 7 first
 *   7 wait until the entry is durable, and look once more at 2, and whether the share's lease still runs
 *   8 NOTIFY_STORE puts the plaintext into the page cache, so that no READ is needed; and it is looked once more at both
 *   9 leave the gate, reply
 * Any failure: no byte, an errno, a deny entry. A READ (a page that was evicted, cards.csv) passes 1, 2, 3 and 6 again.
 *
 * Where an earlier open has put the pages there, and nobody has dropped them (files.c), 6 and 8 are left out: what would be checked is not what is
 * served. An inode stands for one manifest, so the pages are of the value that this grant names. If the kernel has let some go since, they
 * come by READ, and what is wrong with the stored value is found there.
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

/* To be told in the log? Not when the mount is going away, nor when there is no such file, or it has grown. */
static bool is_refusal(int err)
{
    return err && err != ENODEV && err != ENOENT && err != ESTALE;
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

/*
 * A disk that hangs, or a thread that is kept from running, must not make a grant outlive its end, nor a share its lease. The end waits for those
 * inside the gate, so it cannot have forgotten the keys of one of them: it is looked for here.
 */
static enum vf_err still_here(struct vf_session *s, struct vf_job *job, const struct vf_node *node)
{
    VF_TRY(vf_job_may(s->station, job, NULL));
    if (atomic_load(&node->slot->state) != VF_SLOT_LIVE || vf_job_forgotten(job))
        return VF_E_EXPIRED;
    return vf_share_here(job, node) ? VF_OK : VF_E_NO_SHARE;
}

/*
 * The pages, unless the lease ran out meanwhile: this thread may have been kept from running for so long that whoever drops the pages of lapsed shares has
 * been here and gone. No READ of the file is outstanding: dropping them waits for nobody.
 */
static enum vf_err store_here(struct vf_session *s, const struct vf_handle *h, struct vf_job *job, uint64_t ino,
                              const uint8_t *data, size_t len, bool *ret_stored)
{
    *ret_stored = store_content(s, ino, data, len);
    enum vf_err err = still_here(s, job, &h->node);
    if (!err)
        return VF_OK;
    fuse_lowlevel_notify_inval_inode(s->fuse, ino, 0, 0); /* what was stored in part, too */
    *ret_stored = false;
    return err;
}

/* Step 7, and 6 unless the pages are there. The reader's scratch has the value afterwards. */
static enum vf_err get_and_wait(struct vf_session *s, const struct vf_handle *h, struct vf_access *access, bool there,
                                struct vf_value_reader **reader, const uint8_t **ret_data, size_t *ret_len)
{
    struct vf_job *job = access->job;
    if (there) {
        vf_job_share_used(job, h->node.index, vf_node_part(&h->node)); /* as looking the value up would have said */
        return vf_access_wait(s, access, NULL);
    }
    /* Readers are few, since their memory is locked. In a crowd those without one wait for the disk first, all for the same flush; so does a text field. */
    bool waited = *reader == NULL;
    enum vf_err durable = waited ? vf_access_wait(s, access, NULL) : VF_OK;
    if (waited)
        *reader = vf_reader_take(s);
    enum vf_err err = get_content(*reader, &h->node, job, ret_data, ret_len, NULL);
    /* Wait in any case: the entry stands, and what is waited for cannot be left behind. */
    if (!waited)
        durable = vf_access_wait(s, access, NULL);
    return durable ? durable : err;
}

/* Steps 4 to 8, inside the gate. */
static int open_value(struct vf_session *s, struct vf_handle *h, struct vf_job *job, const struct vf_caller *caller,
                      uint64_t ino, enum vf_pages pages, bool *ret_stored)
{
    bool there = pages == VF_PAGES_THERE;
    /* To look up and decrypt a text field takes less than to wake another thread and be woken by it. */
    bool at_once = there || !vf_field_is_image(field_of(&h->node));
    bool alone = false;
    struct vf_value_reader *reader = at_once ? NULL : vf_reader_try(s, &alone);
    if (reader && alone)
        vf_value_reader_look_ahead(reader, s->ahead);
    const uint8_t *data = NULL;
    size_t len = 0;
    struct vf_access access;

    enum vf_err err =
        vf_job_budget_take(s->station, job, h->node.index, (enum vf_part)vf_field_part(field_of(&h->node)), NULL);
    if (!err)
        err = vf_access_open(s, &h->node, job, caller, at_once, &access, NULL);
    if (!err) {
        err = get_and_wait(s, h, &access, there, &reader, &data, &len);
        err = err ? err : still_here(s, job, &h->node);
        if (!err && pages == VF_PAGES_STORE)
            err = store_here(s, h, job, ino, data, len, ret_stored);
        vf_access_done(s, &access, err == VF_OK);
    }
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
        err = vf_access_open(s, &h->node, job, caller, true, &access, NULL);
    if (!err) {
        err = vf_access_wait(s, &access, NULL);
        vf_access_done(s, &access, err == VF_OK);
    }
    return err ? program_errno(err) : 0;
}

int vf_gate_errno(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job)
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
static int open_granted(struct vf_session *s, const struct vf_request_op *op)
{
    struct vf_handle *h = op->handle;
    struct vf_job *job = op->job;
    struct vf_slot_job *slot = h->node.slot;
    int err = vf_slot_may(s, slot, job, NULL);

    if (!err && !vf_end_gate_enter(&slot->gate)) {
        err = vf_gate_errno(s, slot, job);
    } else if (!err) {
        bool stored = false;
        enum vf_pages pages = VF_PAGES_READ;
        struct vf_open_file *file = vf_files_open(&slot->files, op->ino, &pages);
        if (!file)
            err = ENOMEM;
        else if (is_cards(&h->node))
            err = open_cards(s, h, job, &op->caller);
        else
            err = open_value(s, h, job, &op->caller, op->ino, pages, &stored);
        if (file && vf_files_opened(&slot->files, file, stored, err != 0))
            drop_closed(s, slot, op->ino);
        vf_end_gate_leave(&slot->gate);
    }
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

static void finish_open(struct vf_session *s, struct vf_request_op *op, int err)
{
    struct vf_handle *h = op->handle;
    struct vf_slot_job *slot = op->node.slot;
    if (!err)
        err = open_granted(s, op);
    if (is_refusal(err))
        vf_access_deny(s, &op->node, op->job, &op->caller, err);
    if (err) {
        handle_unref(h);
        fuse_reply_err(op->req, err);
        return;
    }
    op->fi.fh = (uint64_t)(uintptr_t)h;
    op->fi.keep_cache = 1;
    if (fuse_reply_open(op->req, &op->fi) == -ENOENT) {
        /* The opener was interrupted: no RELEASE will come. */
        if (vf_files_close(&slot->files, op->ino))
            drop_closed(s, slot, op->ino);
        handle_unref(h);
    }
}

/* Without its share it waits for the desk, unless it would be refused anyway. */
static bool must_wait(struct vf_session *s, struct vf_request_op *op)
{
    return !vf_share_here(op->job, &op->node) && vf_slot_may(s, op->node.slot, op->job, NULL) == 0 &&
           vf_node_exists(&op->node, op->job) == 0;
}

static void start_op(struct vf_session *s, struct vf_request_op *op)
{
    bool online = vf_job_online(op->job);
    if (online && !op->read)
        vf_share_opened(op);
    if (!online || !must_wait(s, op)) {
        vf_request_finish(s, op, 0);
        return;
    }
    op->deadline_boot_us = vf_clock_boot_us() + VF_DESK_WAIT_US;
    int err = vf_waits_add(s, op);
    if (err)
        vf_request_finish(s, op, err);
}

/* GRANT.txt and markers. */
static void open_plain(struct vf_session *s, fuse_req_t req, struct fuse_file_info *fi, struct vf_handle *h)
{
    struct vf_job *job = h->node.slot ? vf_slot_job_ref(h->node.slot) : NULL;
    int err = open_text(s, h, job);
    if (job)
        vf_job_unref(job);
    if (err) {
        handle_unref(h);
        fuse_reply_err(req, err);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1;
    if (fuse_reply_open(req, fi) == -ENOENT)
        handle_unref(h);
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
    if (node.kind == VF_NODE_GRANT_TXT || node.kind == VF_NODE_MARKER) {
        open_plain(s, req, fi, h);
        return;
    }
    struct vf_job *job = node.slot ? vf_slot_job_ref(node.slot) : NULL;
    int err = vf_node_is_dir(&node) ? EISDIR : vf_node_exists(&node, job);
    if (err) {
        if (job)
            vf_job_unref(job);
        handle_unref(h);
        fuse_reply_err(req, err);
        return;
    }
    struct vf_request_op op = {.req = req, .ino = ino, .fi = *fi, .node = node, .handle = h, .job = job};
    vf_caller_of(fuse_req_ctx(req), &op.caller);
    start_op(s, &op);
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
    err = err ? err : still_here(s, job, &h->node);
    if (!err)
        reply_slice(req, (const char *)data, len, size, off);
    vf_reader_give(s, reader);
    return err ? program_errno(err) : 0;
}

/*
 * Values have arrived since it was opened. All handles share the kernel's pages, so rows must not be given at their old places any more: they would be taken
 * for the new table's, by who opens it now.
 */
static bool has_grown(const struct vf_handle *h)
{
    bool excel = h->node.kind == VF_NODE_CARDS_EXCEL;
    struct vf_cards *now = vf_slot_cards_ref(h->node.slot);
    bool grown = !now || vf_cards_size(now, excel) != vf_cards_size(h->cards, excel);
    vf_cards_unref(now);
    return grown;
}

static int read_cards(struct vf_session *s, fuse_req_t req, const struct vf_handle *h, struct vf_job *job, size_t size,
                      off_t off)
{
    if (has_grown(h))
        return ESTALE;
    /* In the reader's own memory: a crowd waits for a reader instead of being refused. */
    struct vf_value_reader *reader = vf_reader_take(s);
    uint8_t *out = vf_value_reader_room(reader, size ? size : 1);
    size_t len = 0;
    enum vf_err err = out ? vf_cards_read(s, job, h->cards, reader, h->node.kind == VF_NODE_CARDS_EXCEL, (uint64_t)off, out,
                                          size, &len, NULL)
                          : VF_E_LOCKED_MEMORY;
    err = err ? err : still_here(s, job, &h->node);
    if (!err)
        fuse_reply_buf(req, (const char *)out, len);
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
    struct vf_request_op op = {.req = req, .ino = ino, .node = h->node, .handle = h, .read = true, .size = size, .off = off};
    op.job = vf_slot_job_ref(h->node.slot);
    start_op(s, &op);
}

static void finish_read(struct vf_session *s, struct vf_request_op *op, int err)
{
    const struct vf_handle *h = op->handle;
    struct vf_slot_job *slot = op->node.slot;
    if (!err)
        err = vf_slot_may(s, slot, op->job, NULL);
    if (!err && !vf_end_gate_enter(&slot->gate)) {
        err = vf_gate_errno(s, slot, op->job);
    } else if (!err) {
        err = h->cards ? read_cards(s, op->req, h, op->job, op->size, op->off)
                       : read_value(s, op->req, h, op->job, op->size, op->off);
        /* Pages have come, perhaps behind whoever dropped those of the lease before: should this one end, it has to begin anew. */
        if (!err && vf_job_online(op->job))
            (void)vf_files_lapsed(&slot->files, op->ino, false);
        vf_end_gate_leave(&slot->gate);
    }
    if (is_refusal(err)) {
        vf_caller_of(fuse_req_ctx(op->req), &op->caller);
        vf_access_deny(s, &op->node, op->job, &op->caller, err);
    }
    if (err)
        fuse_reply_err(op->req, err);
}

void vf_request_finish(struct vf_session *s, struct vf_request_op *op, int err)
{
    if (op->read)
        finish_read(s, op, err);
    else
        finish_open(s, op, err);
    vf_job_unref(op->job);
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
