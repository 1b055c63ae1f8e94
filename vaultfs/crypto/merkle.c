/* SPDX-License-Identifier: MIT */
/* RFC 6962 section 2.1; the two checks are those of RFC 9162 sections 2.1.3.2 and 2.1.4.2. */
#include "crypto_internal.h"

#include <string.h>

void vf_tree_init(struct vf_tree *t)
{
    memset(t, 0, sizeof(*t));
}

void vf_leaf_hash(const void *data, size_t len, struct vf_hash *ret)
{
    static const uint8_t leaf = 0x00;
    struct vf_chunk chunks[2] = {{&leaf, 1}, {data, len}};

    vf_hash_chunks(chunks, 2, ret->b);
}

void vf_leaf_hash_in_place(uint8_t *data, size_t len, struct vf_hash *ret)
{
    uint8_t was = data[-1];
    struct vf_chunk chunk = {data - 1, len + 1};

    data[-1] = 0x00;
    vf_hash_chunks(&chunk, 1, ret->b);
    data[-1] = was;
}

void vf_node_hash(const struct vf_hash *left, const struct vf_hash *right, struct vf_hash *ret)
{
    uint8_t node[1 + 2 * VF_HASH_LEN] = {0x01};
    struct vf_chunk chunk = {node, sizeof(node)};

    memcpy(node + 1, left->b, VF_HASH_LEN);
    memcpy(node + 1 + VF_HASH_LEN, right->b, VF_HASH_LEN);
    vf_hash_chunks(&chunk, 1, ret->b);
}

void vf_tree_add(struct vf_tree *t, const struct vf_hash *leaf)
{
    struct vf_hash h = *leaf;
    unsigned i = 0;

    /* Like adding one to a binary number: each carry joins two complete subtrees of equal size. */
    for (; i < 63 && (t->size >> i & 1) != 0; i++)
        vf_node_hash(&t->edge[i], &h, &h);
    t->edge[i] = h;
    t->size++;
}

void vf_tree_root(const struct vf_tree *t, struct vf_hash *ret)
{
    struct vf_hash h;
    bool any = false;

    if (t->size == 0) {
        vf_sha256("", 0, ret);
        return;
    }
    for (unsigned i = 0; i < 64; i++) {
        if ((t->size >> i & 1) == 0)
            continue;
        if (any)
            vf_node_hash(&t->edge[i], &h, &h);
        else
            h = t->edge[i];
        any = true;
    }
    *ret = h;
}

/* Root of n >= 1 leaves in memory. */
static void root_of(const struct vf_hash *leaves, uint64_t n, struct vf_hash *ret)
{
    struct vf_tree t;

    vf_tree_init(&t);
    for (uint64_t i = 0; i < n; i++)
        vf_tree_add(&t, &leaves[i]);
    vf_tree_root(&t, ret);
}

/* The largest power of two below n; n >= 2. */
static uint64_t split_of(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* Proofs are found from the root down and written from the leaf up. */
static size_t turn(struct vf_hash *hashes, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        struct vf_hash h = hashes[i];
        hashes[i] = hashes[n - 1 - i];
        hashes[n - 1 - i] = h;
    }
    return n;
}

size_t vf_tree_inclusion(const struct vf_hash *leaves, uint64_t n, uint64_t index, struct vf_hash out[64])
{
    size_t count = 0;

    if (index >= n)
        return 0;
    while (n > 1) {
        uint64_t k = split_of(n);
        if (index < k) {
            root_of(leaves + k, n - k, &out[count++]);
            n = k;
        } else {
            root_of(leaves, k, &out[count++]);
            leaves += k;
            index -= k;
            n -= k;
        }
    }
    return turn(out, count);
}

size_t vf_tree_consistency(const struct vf_hash *leaves, uint64_t n, uint64_t old, struct vf_hash out[64])
{
    size_t count = 0;
    bool whole = true; /* what is left of the old tree is the old tree itself, whose root the other side knows */

    if (old == 0 || old >= n)
        return 0;
    while (old != n) {
        uint64_t k = split_of(n);
        if (old <= k) {
            root_of(leaves + k, n - k, &out[count++]);
            n = k;
        } else {
            root_of(leaves, k, &out[count++]);
            leaves += k;
            old -= k;
            n -= k;
            whole = false;
        }
    }
    if (!whole)
        root_of(leaves, n, &out[count++]);
    return turn(out, count);
}

bool vf_tree_check_inclusion(const struct vf_hash *leaf, uint64_t index, uint64_t size, const struct vf_hash *proof,
                             size_t n, const struct vf_hash *root)
{
    if (index >= size)
        return false;
    uint64_t fn = index;
    uint64_t sn = size - 1;
    struct vf_hash r = *leaf;
    for (size_t i = 0; i < n; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) != 0 || fn == sn) {
            vf_node_hash(&proof[i], &r, &r);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            vf_node_hash(&r, &proof[i], &r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(r.b, root->b, VF_HASH_LEN) == 0;
}

/* 0 < old_size < size. */
static bool check_growth(uint64_t old_size, const struct vf_hash *old_root, uint64_t size, const struct vf_hash *root,
                         const struct vf_hash *proof, size_t n)
{
    uint64_t fn = old_size - 1;
    uint64_t sn = size - 1;
    size_t i = 0;

    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    /* Where the old tree is one complete subtree, its root is the first hash and is left out of the proof. */
    bool complete = (old_size & (old_size - 1)) == 0;
    if (!complete && n == 0)
        return false;
    struct vf_hash fr = complete ? *old_root : proof[i++];
    struct vf_hash sr = fr;
    for (; i < n; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) != 0 || fn == sn) {
            vf_node_hash(&proof[i], &fr, &fr);
            vf_node_hash(&proof[i], &sr, &sr);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            vf_node_hash(&sr, &proof[i], &sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(fr.b, old_root->b, VF_HASH_LEN) == 0 && memcmp(sr.b, root->b, VF_HASH_LEN) == 0;
}

bool vf_tree_check_consistency(uint64_t old_size, const struct vf_hash *old_root, uint64_t size, const struct vf_hash *root,
                               const struct vf_hash *proof, size_t n)
{
    if (old_size > size)
        return false;
    if (old_size == 0) {
        struct vf_hash empty;
        vf_sha256("", 0, &empty);
        return n == 0 && memcmp(old_root->b, empty.b, VF_HASH_LEN) == 0 &&
               (size != 0 || memcmp(root->b, empty.b, VF_HASH_LEN) == 0);
    }
    if (old_size == size)
        return n == 0 && memcmp(old_root->b, root->b, VF_HASH_LEN) == 0;
    return check_growth(old_size, old_root, size, root, proof, n);
}
