/* SPDX-License-Identifier: MIT */
#include "image_disk.h"

#include <stdlib.h>
#include <string.h>

enum kind { KIND_FREE, KIND_MAIN, KIND_TABLE };

struct key {
    const uint8_t *data; /* NULL: no bound */
    size_t len;
};

struct walker {
    const struct vf_image *img;
    struct vf_image_tables *tables;
    struct vf_why *why;
    uint8_t *claimed; /* a bit a page: of a tree, of a long value, or free */
    size_t claims;
    size_t free_beyond; /* free pages that the file is too short for */

    /* The tree being walked. */
    enum kind kind;
    const char *name;
    const struct vf_image_tree *tree;
    struct vf_image_tree count;
    uint8_t *pages; /* one page a level */
    uint8_t slots[PAGE_MAX / 2 / 8];
};

static enum vf_err bad(const struct walker *w, size_t pgno, const char *says)
{
    return vf_image_damaged(w->img->what, w->why, w->name, pgno, says);
}

static bool claim(struct walker *w, size_t pgno)
{
    uint8_t bit = (uint8_t)(1u << (pgno % 8));

    if (pgno < METAS || pgno > w->img->last || (w->claimed[pgno / 8] & bit) != 0)
        return false;
    w->claimed[pgno / 8] |= bit;
    w->claims++;
    return true;
}

/* memcmp and then the length, as LMDB; the keys of the free list are native words. */
static int key_cmp(const struct walker *w, struct key a, struct key b)
{
    if (w->kind == KIND_FREE) {
        size_t x;
        size_t y;
        memcpy(&x, a.data, sizeof(x));
        memcpy(&y, b.data, sizeof(y));
        return (x > y) - (x < y);
    }
    int c = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static size_t node_value_len(const struct disk_node *n)
{
    return n->lo | (size_t)n->hi << 16;
}

static size_t node_child(const struct disk_node *n)
{
    size_t pgno = n->lo | (size_t)n->hi << 16;

#if SIZE_MAX > UINT32_MAX
    pgno |= (size_t)n->flags << 32;
#endif
    return pgno;
}

/* The pages of a long value: all there, ours alone, and enough for it. */
static enum vf_err check_long(struct walker *w, size_t pgno, size_t len)
{
    const struct vf_image *img = w->img;
    struct disk_page head;

    if (pgno < METAS || pgno > img->last || pgno >= img->file_pages)
        return bad(w, pgno, "a long value outside the file");
    VF_TRY(vf_image_read(img->fd, img->what, &head, sizeof(head), (uint64_t)pgno * img->page_size, w->why));
    if (head.pgno != pgno || head.flags != PAGE_OVERFLOW)
        return bad(w, pgno, "not the long value it should be");
    size_t need = (HEAD - 1 + len) / img->page_size + 1;
    if (head.u.pages < need || head.u.pages > img->file_pages - pgno)
        return bad(w, pgno, "length of a long value");
    for (size_t i = 0; i < head.u.pages; i++)
        if (!claim(w, pgno + i))
            return bad(w, pgno + i, "in use twice");
    w->count.overflows += head.u.pages;
    return VF_OK;
}

/* A record of the free list: a count and that many page numbers, falling. Room behind them may be left over. */
static enum vf_err check_free_list(struct walker *w, size_t pgno, const uint8_t *list, size_t len)
{
    size_t n = 0;
    size_t before = SIZE_MAX;

    if (len < sizeof(n) || len % sizeof(n) != 0)
        return bad(w, pgno, "length of a free list");
    memcpy(&n, list, sizeof(n));
    if (n > len / sizeof(n) - 1)
        return bad(w, pgno, "count of a free list");
    for (size_t i = 1; i <= n; i++) {
        size_t page;
        memcpy(&page, list + i * sizeof(page), sizeof(page));
        if (page >= before || !claim(w, page))
            return bad(w, pgno, "a free page that is in use, or free twice");
        before = page;
        if (page >= w->img->file_pages)
            w->free_beyond++;
    }
    return VF_OK;
}

static enum vf_err check_free_node(struct walker *w, size_t pgno, struct key key, const uint8_t *value, size_t len,
                                   size_t big)
{
    size_t txnid;

    memcpy(&txnid, key.data, sizeof(txnid));
    if (txnid == 0 || txnid > w->img->txnid)
        return bad(w, pgno, "transaction of a free list");
    if (big == 0)
        return check_free_list(w, pgno, value, len);
    /* check_long has seen that the file holds that much, so that the length can be believed. */
    VF_FREE uint8_t *list = malloc(len);
    if (list == NULL)
        return vf_fail(w->why, VF_E_NOMEM, "%s: out of memory while checking the database", w->img->what);
    VF_TRY(vf_image_read(w->img->fd, w->img->what, list, len, (uint64_t)big * w->img->page_size + HEAD, w->why));
    return check_free_list(w, pgno, list, len);
}

static enum vf_err check_table_node(struct walker *w, size_t pgno, struct key key, const uint8_t *value, size_t len)
{
    struct vf_image_tables *ts = w->tables;
    struct disk_tree d;

    if (len != sizeof(d) || key.len > VF_ENV_NAME_MAX || memchr(key.data, '\0', key.len) != NULL)
        return bad(w, pgno, "not a table");
    if (ts->n == VF_IMAGE_TABLES_MAX)
        return bad(w, pgno, "too many tables");
    struct vf_image_table *t = &ts->table[ts->n];
    memcpy(&d, value, sizeof(d));
    t->tree = vf_image_tree_of(&d);
    memcpy(t->name, key.data, key.len);
    t->name[key.len] = '\0';
    if (!vf_image_tree_plausible(&t->tree, 0, w->img->last))
        return bad(w, pgno, "root of a table");
    ts->n++;
    return VF_OK;
}

static enum vf_err check_leaf_node(struct walker *w, size_t pgno, const struct disk_node *n, struct key key,
                                   const uint8_t *value)
{
    uint16_t want = w->kind == KIND_MAIN ? NODE_TABLE : 0;
    size_t len = node_value_len(n);
    size_t big = 0;

    if ((n->flags & ~NODE_BIG) != want || (w->kind == KIND_MAIN && n->flags != want))
        return bad(w, pgno, "kind of a value");
    if (key.len == 0 || key.len > VF_ENV_KEY_MAX || (w->kind == KIND_FREE && key.len != sizeof(size_t)))
        return bad(w, pgno, "length of a key");
    w->count.entries++;
    if ((n->flags & NODE_BIG) != 0) {
        memcpy(&big, value, sizeof(big));
        VF_TRY(check_long(w, big, len));
    }
    if (w->kind == KIND_FREE)
        return check_free_node(w, pgno, key, value, len, big);
    if (w->kind == KIND_MAIN)
        return check_table_node(w, pgno, key, value, len);
    return VF_OK;
}

/*
 * The nodes of a page lie between `upper` and its end, without a gap and without touching each other. *ret: the node at
 * pointer i, whose key (and value, in a leaf) are within the page.
 */
static enum vf_err take_node(struct walker *w, const uint8_t *page, size_t pgno, bool leaf, size_t i, struct disk_node *ret,
                             struct key *ret_key, size_t *ret_used)
{
    const struct vf_image *img = w->img;
    struct disk_page head;
    uint16_t at;

    memcpy(&head, page, sizeof(head));
    memcpy(&at, page + HEAD + i * sizeof(at), sizeof(at));
    if (at % 2 != 0 || at < head.u.b.upper || at > img->page_size - NODE)
        return bad(w, pgno, "place of a node");
    memcpy(ret, page + at, sizeof(*ret));
    size_t size = NODE + ret->key_len;
    if (leaf)
        size += (ret->flags & NODE_BIG) != 0 ? sizeof(size_t) : node_value_len(ret);
    size += size % 2;
    if (size > img->page_size - at)
        return bad(w, pgno, "length of a node");
    for (size_t slot = at / 2; slot < (at + size) / 2; slot++) {
        uint8_t bit = (uint8_t)(1u << (slot % 8));
        if ((w->slots[slot / 8] & bit) != 0)
            return bad(w, pgno, "nodes overlap");
        w->slots[slot / 8] |= bit;
    }
    *ret_key = (struct key){.data = page + at + NODE, .len = ret->key_len};
    *ret_used += size;
    return VF_OK;
}

static enum vf_err read_page(struct walker *w, size_t pgno, bool leaf, uint8_t *page, size_t *ret_n)
{
    const struct vf_image *img = w->img;
    struct disk_page head;

    if (pgno >= img->file_pages || !claim(w, pgno))
        return bad(w, pgno, "outside the file, or in use twice");
    VF_TRY(vf_image_read(img->fd, img->what, page, img->page_size, (uint64_t)pgno * img->page_size, w->why));
    memcpy(&head, page, sizeof(head));
    if (head.pgno != pgno || head.flags != (leaf ? PAGE_LEAF : PAGE_BRANCH))
        return bad(w, pgno, "not the page it should be");
    uint16_t lower = head.u.b.lower;
    uint16_t upper = head.u.b.upper;
    if (lower < HEAD || lower % 2 != 0 || lower > upper || upper > img->page_size)
        return bad(w, pgno, "bounds");
    size_t n = (lower - HEAD) / sizeof(uint16_t);
    /* LMDB leaves a branch with one child in the free list at times, nowhere else. */
    if (n < (leaf || w->kind == KIND_FREE ? 1 : 2))
        return bad(w, pgno, "too few nodes");
    *ret_n = n;
    return VF_OK;
}

static enum vf_err walk_page(struct walker *w, size_t pgno, unsigned level, struct key from, struct key to);

/* The keys must rise; the first lies at or above `from`, the last below `to`. The first key of a branch stands for nothing. */
static enum vf_err walk_nodes(struct walker *w, const uint8_t *page, size_t pgno, size_t n, unsigned level, struct key from,
                              struct key to)
{
    bool leaf = level + 1 == w->tree->depth;
    struct key last = from;
    size_t used = 0;

    memset(w->slots, 0, sizeof(w->slots));
    for (size_t i = 0; i < n; i++) {
        struct disk_node node;
        struct key key = {0};
        VF_TRY(take_node(w, page, pgno, leaf, i, &node, &key, &used));
        if (!leaf && i == 0)
            continue;
        if (key.len == 0 || key.len > VF_ENV_KEY_MAX || (w->kind == KIND_FREE && key.len != sizeof(size_t)))
            return bad(w, pgno, "length of a key");
        int c = last.data == NULL ? 1 : key_cmp(w, key, last);
        if (c < 0 || (c == 0 && i > 0) || (to.data != NULL && key_cmp(w, key, to) >= 0))
            return bad(w, pgno, "order of the keys");
        last = key;
        if (leaf)
            VF_TRY(check_leaf_node(w, pgno, &node, key,
                                   key.data + key.len)); /* the value follows the key; take_node has seen that it fits */
    }
    uint16_t upper;
    memcpy(&upper, page + offsetof(struct disk_page, u.b.upper), sizeof(upper));
    if (used != w->img->page_size - upper)
        return bad(w, pgno, "a gap between nodes");
    return VF_OK;
}

static enum vf_err walk_children(struct walker *w, const uint8_t *page, size_t n, unsigned level, struct key from,
                                 struct key to)
{
    for (size_t i = 0; i < n; i++) {
        struct disk_node node;
        uint16_t at;
        struct key child_from = from;
        struct key child_to = to;
        memcpy(&at, page + HEAD + i * sizeof(at), sizeof(at));
        memcpy(&node, page + at, sizeof(node));
        if (i > 0)
            child_from = (struct key){.data = page + at + NODE, .len = node.key_len};
        if (i + 1 < n) {
            struct disk_node right;
            uint16_t right_at;
            memcpy(&right_at, page + HEAD + (i + 1) * sizeof(right_at), sizeof(right_at));
            memcpy(&right, page + right_at, sizeof(right));
            child_to = (struct key){.data = page + right_at + NODE, .len = right.key_len};
        }
        VF_TRY(walk_page(w, node_child(&node), level + 1, child_from, child_to));
    }
    return VF_OK;
}

/* `level` counts from 0 at the root; the tree's depth bounds the recursion, and no page is entered twice. */
static enum vf_err walk_page(struct walker *w, size_t pgno, unsigned level, struct key from, struct key to)
{
    uint8_t *page = w->pages + level * w->img->page_size;
    bool leaf = level + 1 == w->tree->depth;
    size_t n = 0;

    VF_TRY(read_page(w, pgno, leaf, page, &n));
    VF_TRY(walk_nodes(w, page, pgno, n, level, from, to));
    if (leaf) {
        w->count.leaves++;
        return VF_OK;
    }
    w->count.branches++;
    return walk_children(w, page, n, level, from, to);
}

static enum vf_err walk_tree(struct walker *w, enum kind kind, const char *name, const struct vf_image_tree *tree)
{
    w->kind = kind;
    w->name = name;
    w->tree = tree;
    w->count = (struct vf_image_tree){.flags = tree->flags, .depth = tree->depth, .root = tree->root};
    if (tree->root == VF_IMAGE_NONE)
        return VF_OK;
    VF_FREE uint8_t *pages = calloc(tree->depth, w->img->page_size);
    if (pages == NULL)
        return vf_fail(w->why, VF_E_NOMEM, "%s: out of memory while checking the database", w->img->what);
    w->pages = pages;
    VF_TRY(walk_page(w, tree->root, 0, (struct key){0}, (struct key){0}));
    if (w->count.branches != tree->branches || w->count.leaves != tree->leaves || w->count.overflows != tree->overflows ||
        w->count.entries != tree->entries)
        return bad(w, tree->root, "counts");
    return VF_OK;
}

enum vf_err vf_image_check(const struct vf_image *img, bool all, struct vf_image_tables *ret, struct vf_why *why)
{
    VF_FREE uint8_t *claimed = calloc(img->last / 8 + 1, 1);
    VF_FREE struct walker *w = calloc(1, sizeof(*w));

    if (claimed == NULL || w == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory while checking the database", img->what);
    memset(ret, 0, sizeof(*ret));
    w->img = img;
    w->tables = ret;
    w->why = why;
    w->claimed = claimed;
    VF_TRY(walk_tree(w, KIND_FREE, "free list", &img->free));
    /* All that the file is too short for must be free. */
    if (img->last >= img->file_pages && w->free_beyond != img->last - img->file_pages + 1)
        return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (cut short: %zu pages of %zu)", img->what,
                       img->file_pages, img->last + 1);
    VF_TRY(walk_tree(w, KIND_MAIN, "list of tables", &img->main));
    if (!all)
        return VF_OK;
    for (unsigned i = 0; i < ret->n; i++)
        VF_TRY(walk_tree(w, KIND_TABLE, ret->table[i].name, &ret->table[i].tree));
    ret->lost_pages = img->last + 1 - METAS - w->claims;
    return VF_OK;
}
