/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <stdlib.h>

static size_t bucket_of(uint64_t ino)
{
    ino ^= ino >> 33;
    ino *= UINT64_C(0xff51afd7ed558ccd);
    ino ^= ino >> 33;
    return (size_t)(ino % VF_FILES_BUCKETS);
}

static struct vf_open_file *find(struct vf_files *f, uint64_t ino, struct vf_open_file ***ret_link)
{
    struct vf_open_file **link = &f->bucket[bucket_of(ino)];
    while (*link && (*link)->ino != ino)
        link = &(*link)->next;
    if (ret_link)
        *ret_link = link;
    return *link;
}

void vf_files_init(struct vf_files *f, bool keep)
{
    *f = (struct vf_files){.keep = keep};
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->idle, NULL);
}

void vf_files_done(struct vf_files *f)
{
    for (size_t i = 0; i < VF_FILES_BUCKETS; i++) {
        while (f->bucket[i]) {
            struct vf_open_file *file = f->bucket[i];
            f->bucket[i] = file->next;
            free(file);
        }
    }
    pthread_cond_destroy(&f->idle);
    pthread_mutex_destroy(&f->lock);
}

struct vf_open_file *vf_files_open(struct vf_files *f, uint64_t ino, enum vf_pages *ret_pages)
{
    struct vf_open_file **link;

    pthread_mutex_lock(&f->lock);
    struct vf_open_file *file;
    /* While another thread stores or drops this file's pages, wait: nobody may have a READ outstanding meanwhile. The entry may be
     * gone after each wait, so it is looked up anew. */
    while ((file = find(f, ino, &link)) && file->state == VF_FILE_BUSY)
        pthread_cond_wait(&f->idle, &f->lock);
    if (!file) {
        file = calloc(1, sizeof(*file));
        if (file) {
            file->ino = ino;
            *link = file;
        }
    }
    if (file) {
        *ret_pages = file->stored ? VF_PAGES_THERE : file->handles == 0 ? VF_PAGES_STORE : VF_PAGES_READ;
        file->handles++;
        if (*ret_pages == VF_PAGES_STORE)
            file->state = VF_FILE_BUSY;
    }
    pthread_mutex_unlock(&f->lock);
    return file;
}

bool vf_files_opened(struct vf_files *f, struct vf_open_file *file, bool stored, bool failed)
{
    struct vf_open_file **link;
    bool drop = false;

    pthread_mutex_lock(&f->lock);
    file->state = VF_FILE_IDLE;
    if (stored)
        file->stored = true;
    if (stored || !failed) {
        file->held = true;
        file->lapsed = 0; /* pages may come that were not there in the rounds of the last lapse */
    }
    if (failed && --file->handles == 0) {
        /* Others may have closed it meanwhile: then its pages are for us to drop. */
        drop = file->held && !f->keep;
        if (drop) {
            file->state = VF_FILE_BUSY;
        } else if (!file->held && find(f, file->ino, &link) == file) {
            *link = file->next;
            free(file);
        }
    }
    pthread_cond_broadcast(&f->idle);
    pthread_mutex_unlock(&f->lock);
    return drop;
}

bool vf_files_close(struct vf_files *f, uint64_t ino)
{
    pthread_mutex_lock(&f->lock);
    struct vf_open_file *file = find(f, ino, NULL);
    bool drop = false;
    if (file && file->handles > 0 && --file->handles == 0 && !f->keep) {
        file->state = VF_FILE_BUSY;
        drop = true;
    }
    pthread_mutex_unlock(&f->lock);
    return drop;
}

void vf_files_dropped(struct vf_files *f, uint64_t ino)
{
    struct vf_open_file **link;

    pthread_mutex_lock(&f->lock);
    struct vf_open_file *file = find(f, ino, &link);
    if (file) {
        *link = file->next;
        free(file);
    }
    pthread_cond_broadcast(&f->idle);
    pthread_mutex_unlock(&f->lock);
}

uint64_t *vf_files_list(struct vf_files *f, size_t *ret_n)
{
    size_t n = 0, cap = 0;
    uint64_t *list = NULL;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < VF_FILES_BUCKETS; i++)
        for (struct vf_open_file *file = f->bucket[i]; file; file = file->next)
            cap++;
    list = calloc(cap ? cap : 1, sizeof(*list));
    for (size_t i = 0; list && i < VF_FILES_BUCKETS; i++) {
        for (struct vf_open_file *file = f->bucket[i]; file; file = file->next) {
            list[n++] = file->ino;
            file->stored = false;
        }
    }
    pthread_mutex_unlock(&f->lock);
    *ret_n = n;
    return list;
}

struct vf_file_seen *vf_files_seen(struct vf_files *f, size_t *ret_n)
{
    size_t n = 0, cap = 0;
    struct vf_file_seen *list = NULL;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < VF_FILES_BUCKETS; i++)
        for (const struct vf_open_file *file = f->bucket[i]; file; file = file->next)
            cap++;
    list = cap ? calloc(cap, sizeof(*list)) : NULL;
    for (size_t i = 0; list && i < VF_FILES_BUCKETS; i++)
        for (const struct vf_open_file *file = f->bucket[i]; file; file = file->next)
            list[n++] = (struct vf_file_seen){.ino = file->ino, .handles = file->handles};
    pthread_mutex_unlock(&f->lock);
    *ret_n = n;
    return list;
}

unsigned vf_files_lapsed(struct vf_files *f, uint64_t ino, bool lapsed)
{
    unsigned rounds = 0;
    pthread_mutex_lock(&f->lock);
    struct vf_open_file *file = find(f, ino, NULL);
    if (file) {
        file->lapsed = lapsed ? file->lapsed + 1 : 0;
        if (lapsed)
            file->stored = false;
        rounds = file->lapsed;
    }
    pthread_mutex_unlock(&f->lock);
    return rounds;
}

bool vf_files_lapsing(struct vf_files *f, uint64_t ino)
{
    pthread_mutex_lock(&f->lock);
    const struct vf_open_file *file = find(f, ino, NULL);
    bool lapsing = file && file->lapsed > 0 && file->lapsed <= VF_DROP_ROUNDS;
    pthread_mutex_unlock(&f->lock);
    return lapsing;
}

uint64_t vf_files_handles(struct vf_files *f)
{
    uint64_t n = 0;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < VF_FILES_BUCKETS; i++)
        for (const struct vf_open_file *file = f->bucket[i]; file; file = file->next)
            n += file->handles;
    pthread_mutex_unlock(&f->lock);
    return n;
}
