/* SPDX-License-Identifier: MIT */
#include "image_disk.h"

#include <sys/stat.h>
#include <time.h>

enum vf_err vf_image_damaged(const char *what, struct vf_why *why, const char *where, size_t pgno, const char *says)
{
    return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (%s, page %zu: %s)", what, where, pgno, says);
}

enum vf_err vf_image_read(int fd, const char *what, void *out, size_t len, uint64_t at, struct vf_why *why)
{
    enum vf_err err = vf_fd_pread(fd, out, len, at, what, why);

    if (err == VF_E_FORMAT)
        return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (it ends before byte %llu)", what,
                       (unsigned long long)(at + len));
    if (err == VF_E_SYSTEM)
        return vf_fail_prefix(why, VF_E_DAMAGED, "the database is damaged");
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------- meta pages */

struct vf_image_tree vf_image_tree_of(const struct disk_tree *d)
{
    return (struct vf_image_tree){.flags = d->flags,
                                  .depth = d->depth,
                                  .branches = d->branches,
                                  .leaves = d->leaves,
                                  .overflows = d->overflows,
                                  .entries = d->entries,
                                  .root = d->root};
}

bool vf_image_tree_plausible(const struct vf_image_tree *t, uint16_t flags, size_t last)
{
    if (t->flags != flags || t->depth > VF_IMAGE_DEPTH_MAX)
        return false;
    if (t->root == VF_IMAGE_NONE)
        return t->depth == 0 && t->entries == 0 && t->branches == 0 && t->leaves == 0 && t->overflows == 0;
    return t->depth > 0 && t->root >= METAS && t->root <= last;
}

static enum vf_err read_meta(int fd, const char *what, size_t pgno, size_t page_size, struct disk_meta *ret,
                             struct vf_why *why)
{
    struct {
        struct disk_page page;
        struct disk_meta meta;
    } d;

    VF_TRY(vf_image_read(fd, what, &d, sizeof(d), (uint64_t)pgno * page_size, why));
    if (d.page.flags != PAGE_META || d.page.pgno != pgno || d.meta.magic != META_MAGIC)
        return vf_image_damaged(what, why, "meta", pgno, "not a meta page");
    if (d.meta.version != META_VERSION)
        return vf_fail(why, VF_E_VERSION, "%s: the database has format %u; this program knows format %u", what,
                       d.meta.version, META_VERSION);
    uint32_t size = d.meta.tree[0].page_size;
    if (size < PAGE_MIN || size > PAGE_MAX || (size & (size - 1)) != 0 || (page_size != 0 && size != page_size))
        return vf_image_damaged(what, why, "meta", pgno, "page size");
    *ret = d.meta;
    return VF_OK;
}

/*
 * Transaction N writes meta page N mod 2, so the two always hold neighbours, or zero twice when nothing was ever written. That
 * also catches a newest page that lost its number: LMDB would take the older one and silently serve yesterday's data.
 */
static bool metas_agree(const struct disk_meta m[METAS])
{
    if (m[0].txnid == 0 && m[1].txnid == 0)
        return true;
    if (m[0].txnid % 2 != 0 || m[1].txnid % 2 != 1)
        return false;
    return m[0].txnid > m[1].txnid ? m[0].txnid - m[1].txnid == 1 : m[1].txnid - m[0].txnid == 1;
}

static enum vf_err fill(int fd, const char *what, const struct disk_meta *m, struct vf_image *ret, struct vf_why *why)
{
    struct vf_image img = {.fd = fd, .what = what, .page_size = m->tree[0].page_size, .last = m->last, .txnid = m->txnid};
    size_t at = m->txnid % 2;
    struct stat st;

    img.free = vf_image_tree_of(&m->tree[0]);
    img.main = vf_image_tree_of(&m->tree[1]);
    if (!vf_image_tree_plausible(&img.free, MDB_INTEGERKEY, img.last) || !vf_image_tree_plausible(&img.main, 0, img.last) ||
        img.last < METAS - 1)
        return vf_image_damaged(what, why, "meta", at, "roots");
    /* The size is asked after the meta page was read: a file only grows. */
    if (fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot read the size of the database", what);
    img.file_pages = (uint64_t)st.st_size / img.page_size;
    /*
     * Pages at the end that are free need not be there. But each takes a word in the list of free pages, so that the file's own
     * size bounds how many there can be; and how much memory this check needs.
     */
    if (img.last > SIZE_MAX / img.page_size - 1)
        return vf_image_damaged(what, why, "meta", at, "last page");
    if (img.last >= img.file_pages && img.last - img.file_pages >= img.file_pages * (img.page_size / sizeof(size_t)))
        return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (cut short: page %zu of %zu is the last)", what,
                       img.file_pages, img.last + 1);
    *ret = img;
    return VF_OK;
}

/*
 * A process that died, or met a full disk, while LMDB wrote the first two pages. Nothing is lost with it: rows are written by the
 * second transaction at the earliest, and that has overwritten this page.
 */
static bool stillborn(const struct disk_meta *first, uint64_t size)
{
    return size < METAS * (uint64_t)first->tree[0].page_size && first->txnid == 0 && first->last == METAS - 1 &&
           first->tree[0].root == VF_IMAGE_NONE && first->tree[1].root == VF_IMAGE_NONE;
}

static enum vf_err try_newest(int fd, const char *what, struct vf_image *ret, struct vf_why *why)
{
    struct disk_meta m[METAS];
    struct stat st;

    if (fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot read the size of the database", what);
    if (st.st_size == 0)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: nothing was stored in it yet", what);
    VF_TRY(read_meta(fd, what, 0, 0, &m[0], why));
    if (stillborn(&m[0], (uint64_t)st.st_size))
        return vf_fail(why, VF_E_NOT_FOUND, "%s: nothing was stored in it yet", what);
    VF_TRY(read_meta(fd, what, 1, m[0].tree[0].page_size, &m[1], why));
    size_t newest = m[1].txnid > m[0].txnid;
    if (!metas_agree(m))
        return vf_image_damaged(what, why, "meta", newest, "transaction numbers");
    return fill(fd, what, &m[newest], ret, why);
}

/*
 * pread and another process's pwrite are not atomic to each other: what looks damaged may be half old, half new. Damage stays;
 * the other is gone at the next look. So the verdict is only believed when it has come back each time, over 10 ms at least.
 */
static void short_sleep(void)
{
    struct timespec ts = {.tv_nsec = 1000000};

    (void)nanosleep(&ts, NULL);
}

enum vf_err vf_image_newest(int fd, const char *what, struct vf_image *ret, struct vf_why *why)
{
    enum vf_err err = VF_OK;

    for (unsigned i = 0; i < 10; i++) {
        err = try_newest(fd, what, ret, why);
        if (err != VF_E_DAMAGED && err != VF_E_VERSION)
            return err;
        short_sleep();
    }
    return err;
}

enum vf_err vf_image_of_txn(int fd, const char *what, size_t txnid, struct vf_image *ret, struct vf_why *why)
{
    struct vf_image img;
    struct disk_meta m;
    struct disk_meta first;
    enum vf_err err = VF_OK;

    for (unsigned i = 0; i < 10; i++) {
        err = read_meta(fd, what, 0, 0, &first, why);
        if (err == VF_OK)
            err = read_meta(fd, what, txnid % 2, first.tree[0].page_size, &m, why);
        if (err == VF_OK && m.txnid > txnid)
            return vf_fail(why, VF_E_STALE, "%s: the database was written meanwhile", what);
        if (err == VF_OK && m.txnid != txnid)
            err = vf_image_damaged(what, why, "meta", txnid % 2, "transaction numbers");
        if (err == VF_OK)
            err = fill(fd, what, &m, &img, why);
        if (err == VF_OK) {
            *ret = img;
            return VF_OK;
        }
        if (err != VF_E_DAMAGED && err != VF_E_VERSION)
            return err;
        short_sleep();
    }
    return err;
}
