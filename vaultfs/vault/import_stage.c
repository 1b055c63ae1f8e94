/* SPDX-License-Identifier: MIT */
/*
 * The writer. Values come first, in transactions of bounded size, under numbers that no head names yet; one small transaction then stores
 * all heads, records and index rows, and so publishes them together. A mark in meta tells a later open that values may lie about. An import
 * that fits into one transaction is one.
 */
#include "import.h"

#include <stdlib.h>
#include <string.h>

static size_t stage_max = VF_STAGE_BYTES_MAX;

size_t vf_import_stage_max(size_t bytes)
{
    size_t old = stage_max;

    stage_max = bytes;
    return old;
}

void vf_import_blocks_free(struct vf_import_block *first)
{
    while (first != NULL) {
        struct vf_import_block *next = first->next;
        free(first);
        first = next;
    }
}

static void put_batch(struct vf_txn *txn, const struct vf_import_job *job)
{
    for (const struct vf_import_block *b = job->batch; b != NULL; b = b->next)
        for (unsigned i = 0; i < b->n; i++)
            vf_txn_put(txn, VF_VT_VALUE, b->row[i].key.b, VF_VALUE_KEY_LEN, b->row[i].data, b->row[i].len);
}

static void drop_batch(struct vf_import_job *job)
{
    vf_import_blocks_free(job->batch);
    job->batch = NULL;
    job->batch_last = &job->batch;
    job->batch_bytes = 0;
}

static enum vf_err stage_body(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct vf_import_job *job = user;

    (void)why;
    if (!job->staged)
        vf_meta_put_u64(txn, VF_META_STAGING, (uint64_t)job->now_us);
    put_batch(txn, job);
    return VF_OK;
}

enum vf_err vf_import_stage(struct vf_import_job *job, struct vf_import_block *block, struct vf_why *why)
{
    bool room = vf_import_room(&job->pubs, &job->pubs_room, job->npubs, 1, sizeof(*job->pubs));

    block->next = NULL;
    *job->batch_last = block;
    job->batch_last = &block->next;
    job->batch_bytes += block->bytes;
    if (!room)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->v->path);
    job->pubs[job->npubs++] = block->pub;
    if (job->batch_bytes < stage_max)
        return VF_OK;
    VF_TRY(vf_store_update(job->v->store, stage_body, job, why));
    job->staged = true;
    drop_batch(job);
    return VF_OK;
}

static enum vf_err publish_body(struct vf_txn *txn, void *user, struct vf_why *why)
{
    struct vf_import_job *job = user;

    (void)why;
    job->was_empty = vf_txn_count(txn, VF_VT_HEAD) == 0;
    put_batch(txn, job);
    for (size_t i = 0; i < job->npubs; i++) {
        const struct vf_import_publication *p = &job->pubs[i];
        vf_txn_put(txn, VF_VT_HEAD, p->ref.c, VF_REF_LEN, p->head, sizeof(p->head));
        if (!p->is_new)
            continue;
        vf_txn_put(txn, VF_VT_RECORD, p->ref.c, VF_REF_LEN, p->record, sizeof(p->record));
        vf_txn_put(txn, VF_VT_INDEX, p->index.b, VF_HASH_LEN, p->ref.c, VF_REF_LEN);
    }
    /*
     * Old generations are dropped after this; if that is interrupted, the next one goes on. Where there was no record before there are none: what lies
     * in the vault is what was staged, and the heads name all of that now.
     */
    if (job->was_empty)
        vf_meta_del(txn, VF_META_STAGING);
    else
        vf_meta_put_u64(txn, VF_META_STAGING, (uint64_t)job->now_us);
    return VF_OK;
}

enum vf_err vf_import_publish(struct vf_import_job *job, struct vf_why *why)
{
    if (job->npubs == 0)
        return VF_OK;
    VF_TRY(vf_store_update(job->v->store, publish_body, job, why));
    job->staged = true;
    drop_batch(job);
    return VF_OK;
}
