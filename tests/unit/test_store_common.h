/* SPDX-License-Identifier: MIT */
/* What the tests of the store share: a folder with a store of two tables, and rows made from numbers. */
#ifndef VAULTFS_TESTS_STORE_COMMON_H
#define VAULTFS_TESTS_STORE_COMMON_H

#include "scratch.h"
#include "vaultfs/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

enum { T_ROWS, T_VALUES, TABLES };
static const char *const store_tables[TABLES] = {"rows", "values"};
#define WHAT "the store under test"

/* The reason of the last failure. */
static _Thread_local struct vf_why why;

struct place {
    struct scratch dir;
};

static inline int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return -1;
    scratch_make(&p->dir);
    *state = p;
    return 0;
}

static inline int place_teardown(void **state)
{
    struct place *p = *state;

    scratch_remove(&p->dir);
    free(p);
    return 0;
}

static inline enum vf_err store_open_at(const char *dir, enum vf_store_mode mode, struct vf_store **ret)
{
    return vf_store_open(dir, mode, store_tables, TABLES, WHAT, ret, &why);
}

static inline enum vf_err store_walk_at(const char *dir)
{
    return vf_store_walk(dir, store_tables, TABLES, 60, WHAT, &why);
}

/* The expression may hand `&why` to what it calls. */
#define assert_ok(expr)                                                 \
    do {                                                                \
        enum vf_err err_ = (expr);                                      \
        if (err_ != VF_OK)                                              \
            fail_msg("%s: %s: %s", #expr, vf_err_text(err_), why.text); \
    } while (0)

static inline struct vf_store *store_must_open(const char *dir, enum vf_store_mode mode)
{
    struct vf_store *s = NULL;

    if (store_open_at(dir, mode, &s) != VF_OK)
        fail_msg("%s", why.text);
    return s;
}

/* splitmix64: the same rows everywhere. */
static inline uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Bytes that only this seed makes. */
static inline void pattern(uint8_t *out, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = mix(&seed);
        memcpy(out + i, &word, len - i < 8 ? len - i : 8);
    }
}

static inline bool pattern_is(const uint8_t *data, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = mix(&seed);
        if (memcmp(data + i, &word, len - i < 8 ? len - i : 8) != 0)
            return false;
    }
    return true;
}

/* For vf_store_update: rows `from` up to `to` of T_VALUES, each `len` bytes of its pattern. */
struct fill {
    uint32_t from;
    uint32_t to;
    size_t len;
    uint64_t salt;
    unsigned runs;
};

static inline enum vf_err fill_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    struct fill *f = user;

    (void)reason;
    f->runs++;
    for (uint32_t i = f->from; i < f->to; i++) {
        uint8_t key[4];
        vf_put_be32(key, i);
        uint8_t *at = vf_txn_reserve(txn, T_VALUES, key, sizeof(key), f->len);
        if (at != NULL)
            pattern(at, f->len, i + f->salt);
    }
    return VF_OK;
}

static inline bool fill_is_there(struct vf_txn *txn, const struct fill *f)
{
    for (uint32_t i = f->from; i < f->to; i++) {
        uint8_t key[4];
        struct vf_slice val = {0};
        vf_put_be32(key, i);
        if (!vf_txn_get(txn, T_VALUES, key, sizeof(key), &val) || val.len != f->len ||
            !pattern_is(val.data, val.len, i + f->salt))
            return false;
    }
    return true;
}

/* The row "total" and the rows of T_VALUES are changed together; a reader must see them agree. */
struct counter {
    unsigned id;
    uint32_t n;
    size_t len;
};

static inline enum vf_err count_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    struct counter *c = user;
    struct vf_slice val = {0};
    uint8_t total[8] = {0};
    uint8_t key[8];

    (void)reason;
    if (vf_txn_get(txn, T_ROWS, "total", 5, &val) && val.len == sizeof(total))
        memcpy(total, val.data, sizeof(total));
    vf_put_be64(total, vf_get_be64(total) + 1);
    vf_txn_put(txn, T_ROWS, "total", 5, total, sizeof(total));
    vf_put_be32(key, c->id);
    vf_put_be32(key + 4, c->n);
    uint8_t *at = vf_txn_reserve(txn, T_VALUES, key, sizeof(key), c->len);
    if (at != NULL)
        pattern(at, c->len, vf_get_be64(key));
    return VF_OK;
}

static inline bool check_each(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    uint64_t *good = user;

    (void)cur;
    if (key.len == 8 && pattern_is(val.data, val.len, vf_get_be64(key.data)))
        (*good)++;
    return true;
}

static inline bool totals_agree(struct vf_txn *txn, uint64_t *ret_total)
{
    struct vf_slice val = {0};
    uint64_t total = 0;
    uint64_t good = 0;

    if (vf_txn_get(txn, T_ROWS, "total", 5, &val))
        total = vf_get_be64(val.data);
    vf_txn_foreach(txn, T_VALUES, NULL, 0, check_each, &good);
    *ret_total = total;
    return vf_txn_error(txn) == VF_OK && good == total && vf_txn_count(txn, T_VALUES) == total;
}

#endif
