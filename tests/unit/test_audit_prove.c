/* SPDX-License-Identifier: MIT */
/* Proofs of single entries: of each entry of trees of all shapes, under the log's checkpoints and those held elsewhere. */
#include "audit_forge.h"

#include <stdio.h>

#include "cmocka_std.h"

static struct scratch dir;
static struct vf_verdict v;

static int fresh(void **state)
{
    (void)state;
    scratch_make(&dir);
    return 0;
}

static int away(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

/* Leaf hashes of the lines in `entries`. */
static size_t leaves_of(const struct vf_buf *entries, struct vf_hash out[128])
{
    const char *p = (const char *)entries->data;
    const char *end = p + entries->len;
    size_t n = 0;

    for (const char *nl; p < end && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL; p = nl + 1)
        vf_leaf_hash(p, (size_t)(nl - p), &out[n++]);
    return n;
}

static void check(const struct vf_proof *p, const struct vf_hash *leaves, uint64_t seq, uint64_t size)
{
    struct vf_hash want[64];
    struct vf_hash leaf;
    size_t n = vf_tree_inclusion(leaves, size, seq, want);

    assert_true(p->seq == seq && p->size == size && p->npath == n);
    assert_memory_equal(p->path, want, n * sizeof(*want));
    vf_leaf_hash(p->line.data, p->line.len, &leaf);
    assert_memory_equal(leaf.b, leaves[seq].b, sizeof(leaf.b));
}

/* Every entry of every log of up to 40 entries. */
static void test_all(void **state)
{
    static const struct vf_verify_options none;
    struct vf_hash leaves[128];

    (void)state;
    for (unsigned size = 1; size <= 40; size++) {
        struct forge f;
        char name[32];
        char path[400];
        (void)snprintf(name, sizeof(name), "log-%u", size);
        audit_path(path, dir.path, name);
        forge_begin(&f, path, 1 << 20);
        for (unsigned i = 0; i + 1 < size; i++)
            forge_add(&f, 1);
        forge_seal(&f);
        forge_add(&f, 1);
        assert_int_equal(leaves_of(&f.entries, leaves), size + 1);
        forge_write(&f);
        for (unsigned seq = 0; seq < size; seq++) {
            VF_CLEANUP(vf_proof_done) struct vf_proof p = {0};
            OK(vf_log_prove(path, &none, seq, &v, &p, WHY));
            check(&p, leaves, seq, size);
            assert_true(!p.held && p.key_by_origin && v.good);
        }
        struct vf_proof p = {0};
        assert_int_equal(vf_log_prove(path, &none, size, &v, &p, WHY), VF_E_NOT_FOUND);
        assert_non_null(strstr(audit_why.text, "not sealed yet"));
        assert_int_equal(vf_log_prove(path, &none, size + 1, &v, &p, WHY), VF_E_NOT_FOUND);
        assert_non_null(strstr(audit_why.text, "there is no entry"));
        forge_done(&f);
    }
}

/* Notes cut out of a checkpoints file. */
static size_t notes_of(const struct vf_buf *b, struct vf_note out[16])
{
    const char *p = (const char *)b->data;
    const char *end = p + b->len;
    size_t n = 0;

    while (p < end) {
        const char *text = memmem(p, (size_t)(end - p), "\n\n", 2);
        const char *stop = memmem(text + 2, (size_t)(end - text - 2), "\n\n", 2);
        OK(vf_note_parse(p, (size_t)(stop - p) + 1, &out[n++], WHY));
        p = stop + 2;
    }
    return n;
}

static void test_held(void **state)
{
    struct vf_hash leaves[128];
    struct vf_note notes[16];
    struct forge f;
    char path[400];
    VF_BUF kept = {0};

    (void)state;
    audit_path(path, dir.path, "log");
    forge_begin(&f, path, 1 << 20);
    for (unsigned k = 0; k < 6; k++) {
        for (unsigned i = 0; i < k + 3; i++)
            forge_add(&f, 1);
        forge_seal(&f);
    }
    (void)leaves_of(&f.entries, leaves);
    vf_buf_init(&kept, 1 << 16);
    vf_buf_put(&kept, f.checkpoints.data, f.checkpoints.len);
    size_t n = notes_of(&kept, notes);
    assert_int_equal(n, 6);
    forge_write(&f);
    /* Given the second and the fourth, in either order: the smallest that covers it. */
    struct vf_note given[2] = {notes[3], notes[1]};
    struct vf_verify_options opt = {.checkpoints = given, .ncheckpoints = 2};
    const uint64_t sizes[6] = {4, 9, 15, 22, 30, 39};
    for (uint64_t seq = 0; seq < 39; seq++) {
        VF_CLEANUP(vf_proof_done) struct vf_proof p = {0};
        enum vf_err err = vf_log_prove(path, &opt, seq, &v, &p, WHY);
        assert_int_equal(err, seq < sizes[3] ? VF_OK : VF_E_NOT_FOUND);
        if (err != VF_OK)
            continue;
        const struct vf_note *by = seq < sizes[1] ? &notes[1] : &notes[3];
        check(&p, leaves, seq, seq < sizes[1] ? sizes[1] : sizes[3]);
        assert_true(p.held && p.note.len == by->total_len && memcmp(p.note.data, by->text, by->total_len) == 0);
    }
    /* Without: the last, whose key the seal entry of the one before names. */
    struct vf_proof p = {0};
    opt = (struct vf_verify_options){0};
    OK(vf_log_prove(path, &opt, 1, &v, &p, WHY));
    check(&p, leaves, 1, 39);
    assert_true(!p.held && !p.key_by_origin && p.key_seq == sizes[4] - 1);
    vf_proof_done(&p);
    /* A log that is not good proves nothing. */
    size_t len = 0;
    char file[400];
    audit_path(file, path, "entries-00000000000000000000.jsonl");
    char *bytes = audit_read(file, &len);
    char *ref = strstr(bytes, "\"refs\":[\"") + 9;
    *ref = *ref == 'Q' ? 'R' : 'Q';
    audit_write(file, bytes, len);
    free(bytes);
    assert_int_equal(vf_log_prove(path, &opt, 20, &v, &p, WHY), VF_E_FORGED);
    assert_true(!v.good);
    forge_done(&f);
}

static void test_text(void **state)
{
    static const struct vf_verify_options none;
    struct vf_proof p = {0};
    struct forge f;
    char path[400];
    VF_BUF out = {0};
    VF_BUF want = {0};

    (void)state;
    audit_path(path, dir.path, "log");
    forge_begin(&f, path, 1 << 20);
    forge_add(&f, 3);
    forge_add(&f, 1);
    forge_seal(&f);
    forge_write(&f);
    OK(vf_log_prove(path, &none, 1, &v, &p, WHY));
    vf_buf_init(&out, 1 << 16);
    vf_buf_init(&want, 1 << 16);
    vf_proof_put(&p, &out);
    vf_buf_text(&want, "c2sp.org/tlog-proof@v1\nextra ");
    vf_base64_put(&want, p.line.data, p.line.len);
    vf_buf_text(&want, "\nindex 1\n");
    assert_int_equal(p.npath, 2);
    for (size_t i = 0; i < 2; i++) {
        vf_base64_put(&want, p.path[i].b, 32);
        vf_buf_text(&want, "\n");
    }
    vf_buf_text(&want, "\n");
    vf_buf_put(&want, p.note.data, p.note.len);
    assert_int_equal(out.len, want.len);
    assert_memory_equal(out.data, want.data, out.len);
    vf_proof_done(&p);
    forge_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all, fresh, away),
        cmocka_unit_test_setup_teardown(test_held, fresh, away),
        cmocka_unit_test_setup_teardown(test_text, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
