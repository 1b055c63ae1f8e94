/* SPDX-License-Identifier: MIT */
/* RFC 6962 trees: known roots, and every proof of every tree of up to 130 leaves against the RFC's own recursive definition. */
#include "crypto_test.h"

#include <stdio.h>

#define MOST 130

static struct vf_hash leaves[1000];

static int set_up(void **state)
{
    for (unsigned i = 0; i < 1000; i++) {
        char text[16];
        int n = snprintf(text, sizeof(text), "%u", i);
        vf_leaf_hash(text, (size_t)n, &leaves[i]);
    }
    return with_crypto(state);
}

/* The leaves and roots of the Certificate Transparency project's reference tests. */
static void certificate_transparency_reference(void **state)
{
    static const char *const data[8] = {
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    };
    static const char *const roots[8] = {
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    };
    struct vf_tree t;
    struct vf_hash h;
    struct vf_hash ct[8];
    struct vf_hash proof[64];

    (void)state;
    vf_tree_init(&t);
    vf_tree_root(&t, &h);
    assert_hex(h.b, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < 8; i++) {
        size_t len = 0;
        VF_FREE uint8_t *leaf = from_hex(data[i], &len);
        vf_leaf_hash(leaf, len, &ct[i]);
        uint8_t room[40] = {'\n'};
        memcpy(room + 1, leaf, len);
        vf_leaf_hash_in_place(room + 1, len, &h);
        assert_memory_equal(h.b, ct[i].b, sizeof(h.b));
        assert_int_equal(room[0], '\n');
        assert_memory_equal(room + 1, leaf, len);
        vf_tree_add(&t, &ct[i]);
        assert_int_equal(t.size, i + 1);
        vf_tree_root(&t, &h);
        assert_hex(h.b, 32, roots[i]);
    }
    /* RFC 6962's proofs of this very tree, as the same tests have them. */
    assert_int_equal(vf_tree_inclusion(ct, 8, 5, proof), 3);
    assert_hex(proof[0].b, 32, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
    assert_hex(proof[1].b, 32, "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
    assert_hex(proof[2].b, 32, roots[3]);
    assert_int_equal(vf_tree_consistency(ct, 8, 6, proof), 3);
    assert_hex(proof[0].b, 32, "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
    assert_hex(proof[1].b, 32, "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
    assert_hex(proof[2].b, 32, roots[3]);
    assert_int_equal(vf_tree_consistency(ct, 5, 2, proof), 2);
    assert_hex(proof[0].b, 32, "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e");
    assert_hex(proof[1].b, 32, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
}

static void roots_of_the_second_implementation(void **state)
{
    static const struct {
        unsigned n;
        const char *root;
    } want[] = {{1, V_ROOT_1},   {2, V_ROOT_2},     {3, V_ROOT_3},      {7, V_ROOT_7},
                {64, V_ROOT_64}, {100, V_ROOT_100}, {1000, V_ROOT_1000}};
    struct vf_tree t;
    struct vf_hash h;
    size_t k = 0;

    (void)state;
    vf_tree_init(&t);
    for (unsigned i = 0; i < 1000; i++) {
        vf_tree_add(&t, &leaves[i]);
        if (k < sizeof(want) / sizeof(want[0]) && want[k].n == i + 1) {
            vf_tree_root(&t, &h);
            assert_hex(h.b, 32, want[k++].root);
        }
    }
    assert_int_equal(k, sizeof(want) / sizeof(want[0]));
}

/* --------------------------------------------------------------------------------------------- the RFC's definitions, as is */

static unsigned below(unsigned n)
{
    unsigned k = 1;

    while (2 * k < n)
        k *= 2;
    return k;
}

/* Remembered, for the sake of slow machines: memo[first leaf][n]. */
static struct {
    bool there;
    struct vf_hash root;
} memo[MOST + 1][MOST + 1];

static void mth(const struct vf_hash *d, unsigned n, struct vf_hash *ret)
{
    size_t first = (size_t)(d - leaves);
    struct vf_hash left;
    struct vf_hash right;

    if (n == 1) {
        *ret = d[0];
        return;
    }
    if (!memo[first][n].there) {
        mth(d, below(n), &left);
        mth(d + below(n), n - below(n), &right);
        vf_node_hash(&left, &right, &memo[first][n].root);
        memo[first][n].there = true;
    }
    *ret = memo[first][n].root;
}

static size_t path(unsigned m, const struct vf_hash *d, unsigned n, struct vf_hash *out)
{
    if (n == 1)
        return 0;
    unsigned k = below(n);
    size_t len = m < k ? path(m, d, k, out) : path(m - k, d + k, n - k, out);
    if (m < k)
        mth(d + k, n - k, &out[len]);
    else
        mth(d, k, &out[len]);
    return len + 1;
}

static size_t subproof(unsigned m, const struct vf_hash *d, unsigned n, bool known, struct vf_hash *out)
{
    size_t len = 0;

    if (m == n) {
        if (!known)
            mth(d, n, &out[len++]);
        return len;
    }
    unsigned k = below(n);
    if (m <= k) {
        len = subproof(m, d, k, known, out);
        mth(d + k, n - k, &out[len]);
    } else {
        len = subproof(m - k, d + k, n - k, false, out);
        mth(d, k, &out[len]);
    }
    return len + 1;
}

/* ----------------------------------------------------------------------------------------------------------------- all of it */

static void refuse_inclusion(const struct vf_hash *leaf, unsigned i, unsigned n, struct vf_hash *proof, size_t len,
                             const struct vf_hash *root)
{
    struct vf_hash wrong = *root;

    wrong.b[31] ^= 1;
    assert_false(vf_tree_check_inclusion(leaf, i, n, proof, len, &wrong));
    assert_false(vf_tree_check_inclusion(&wrong, i, n, proof, len, root));
    assert_false(vf_tree_check_inclusion(leaf, n, n, proof, len, root));
    assert_false(vf_tree_check_inclusion(leaf, UINT64_MAX, n, proof, len, root));
    if (n > 1)
        assert_false(vf_tree_check_inclusion(leaf, i ^ 1u, n, proof, len, root));
    proof[len] = wrong;
    assert_false(vf_tree_check_inclusion(leaf, i, n, proof, len + 1, root));
    for (size_t k = 0; k < len; k++) {
        proof[k].b[k] ^= 0x20;
        assert_false(vf_tree_check_inclusion(leaf, i, n, proof, len, root));
        proof[k].b[k] ^= 0x20;
    }
    if (len > 0) {
        assert_false(vf_tree_check_inclusion(leaf, i, n, proof, len - 1, root));
        assert_false(vf_tree_check_inclusion(leaf, i, n, proof + 1, len - 1, root));
    }
}

static void every_inclusion_proof(void **state)
{
    struct vf_hash want[64];
    struct vf_hash got[65];
    struct vf_hash root;

    (void)state;
    for (unsigned n = 1; n <= MOST; n++) {
        mth(leaves, n, &root);
        for (unsigned i = 0; i < n; i++) {
            size_t want_len = path(i, leaves, n, want);
            size_t len = vf_tree_inclusion(leaves, n, i, got);
            assert_int_equal(len, want_len);
            assert_memory_equal(got, want, len * sizeof(got[0]));
            assert_true(vf_tree_check_inclusion(&leaves[i], i, n, got, len, &root));
            if (n <= 35 || (n + i) % 7 == 0)
                refuse_inclusion(&leaves[i], i, n, got, len, &root);
        }
        assert_int_equal(vf_tree_inclusion(leaves, n, n, got), 0);
    }
    assert_false(vf_tree_check_inclusion(&leaves[0], 0, 0, NULL, 0, &leaves[0]));
    assert_true(vf_tree_check_inclusion(&leaves[0], 0, 1, NULL, 0, &leaves[0]));
}

static void refuse_consistency(unsigned m, const struct vf_hash *old, unsigned n, const struct vf_hash *root,
                               struct vf_hash *proof, size_t len)
{
    struct vf_hash wrong = *old;

    wrong.b[0] ^= 0x80;
    assert_false(vf_tree_check_consistency(m, &wrong, n, root, proof, len));
    wrong = *root;
    wrong.b[0] ^= 0x80;
    assert_false(vf_tree_check_consistency(m, old, n, &wrong, proof, len));
    assert_false(vf_tree_check_consistency(n, root, m, old, proof, len));
    proof[len] = wrong;
    assert_false(vf_tree_check_consistency(m, old, n, root, proof, len + 1));
    for (size_t k = 0; k < len; k++) {
        proof[k].b[k] ^= 0x20;
        assert_false(vf_tree_check_consistency(m, old, n, root, proof, len));
        proof[k].b[k] ^= 0x20;
    }
    assert_false(vf_tree_check_consistency(m, old, n, root, proof, len - 1));
    assert_false(vf_tree_check_consistency(m, old, n, root, proof + 1, len - 1));
    assert_false(vf_tree_check_consistency(m, old, n, root, NULL, 0));
    assert_false(vf_tree_check_consistency(0, old, n, root, proof, len));
}

static void every_consistency_proof(void **state)
{
    struct vf_hash want[64];
    struct vf_hash got[65];
    struct vf_hash roots[MOST + 1];

    (void)state;
    for (unsigned n = 1; n <= MOST; n++) {
        mth(leaves, n, &roots[n]);
        for (unsigned m = 1; m < n; m++) {
            size_t want_len = subproof(m, leaves, n, true, want);
            size_t len = vf_tree_consistency(leaves, n, m, got);
            assert_int_equal(len, want_len);
            assert_memory_equal(got, want, len * sizeof(got[0]));
            assert_true(vf_tree_check_consistency(m, &roots[m], n, &roots[n], got, len));
            if (n <= 35 || (n + m) % 7 == 0)
                refuse_consistency(m, &roots[m], n, &roots[n], got, len);
        }
        assert_int_equal(vf_tree_consistency(leaves, n, 0, got), 0);
        assert_int_equal(vf_tree_consistency(leaves, n, n, got), 0);
        assert_int_equal(vf_tree_consistency(leaves, n, n + 1, got), 0);
        assert_true(vf_tree_check_consistency(n, &roots[n], n, &roots[n], NULL, 0));
        assert_false(vf_tree_check_consistency(n, &roots[n], n, &leaves[999], NULL, 0));
        assert_false(vf_tree_check_consistency(n, &roots[n], n, &roots[n], got, 1));
    }
}

static void from_the_empty_tree(void **state)
{
    struct vf_hash empty;
    struct vf_hash root;

    (void)state;
    vf_sha256("", 0, &empty);
    mth(leaves, 9, &root);
    assert_true(vf_tree_check_consistency(0, &empty, 9, &root, NULL, 0));
    assert_true(vf_tree_check_consistency(0, &empty, 0, &empty, NULL, 0));
    assert_false(vf_tree_check_consistency(0, &root, 9, &root, NULL, 0));
    assert_false(vf_tree_check_consistency(0, &empty, 0, &root, NULL, 0));
    assert_false(vf_tree_check_consistency(0, &empty, 9, &root, &empty, 1));
}

/* A proof that leads to the root from the wrong height is none: an inner node is no leaf, and nothing lies above the root. */
static void from_the_wrong_height(void **state)
{
    struct vf_hash node;
    struct vf_hash root;
    struct vf_hash proof[2];

    (void)state;
    for (unsigned n = 2; n <= MOST; n++) {
        mth(leaves, n, &root);
        assert_false(vf_tree_check_inclusion(&root, 0, n, NULL, 0, &root));
        assert_false(vf_tree_check_inclusion(&root, n - 1, n, NULL, 0, &root));
    }
    mth(leaves, 2, &node);
    mth(leaves + 2, 2, &proof[0]);
    mth(leaves + 4, 4, &proof[1]);
    mth(leaves, 8, &root);
    assert_false(vf_tree_check_inclusion(&node, 0, 8, proof, 2, &root));
    assert_true(vf_tree_check_inclusion(&node, 0, 4, proof, 2, &root)); /* which is why the size is part of what is signed */
    vf_node_hash(&leaves[1], &leaves[0], &root);
    assert_false(vf_tree_check_inclusion(&leaves[0], 0, 1, &leaves[1], 1, &root));
    vf_node_hash(&leaves[0], &leaves[1], &root);
    assert_false(vf_tree_check_inclusion(&leaves[0], 0, 1, &leaves[1], 1, &root));
    assert_false(vf_tree_check_consistency(1, &leaves[0], 4, &root, &leaves[1], 1));
}

/* Sizes near the top of 64 bits: no shift is undefined, nothing loops. */
static void huge_sizes(void **state)
{
    struct vf_hash proof[70];

    (void)state;
    memset(proof, 0x33, sizeof(proof));
    for (size_t n = 0; n <= 70; n += 7) {
        assert_false(vf_tree_check_inclusion(&leaves[0], UINT64_MAX - 1, UINT64_MAX, proof, n, &leaves[1]));
        assert_false(vf_tree_check_inclusion(&leaves[0], 0, UINT64_MAX, proof, n, &leaves[1]));
        assert_false(vf_tree_check_consistency(UINT64_MAX - 1, &leaves[0], UINT64_MAX, &leaves[1], proof, n));
        assert_false(vf_tree_check_consistency(UINT64_C(1) << 63, &leaves[0], UINT64_MAX, &leaves[1], proof, n));
        assert_false(vf_tree_check_consistency(1, &leaves[0], UINT64_MAX, &leaves[1], proof, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate_transparency_reference),
        cmocka_unit_test(roots_of_the_second_implementation),
        cmocka_unit_test(every_inclusion_proof),
        cmocka_unit_test(every_consistency_proof),
        cmocka_unit_test(from_the_empty_tree),
        cmocka_unit_test(from_the_wrong_height),
        cmocka_unit_test(huge_sizes),
    };

    return cmocka_run_group_tests_name("crypto merkle", tests, set_up, without_crypto);
}
