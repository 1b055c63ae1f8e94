/* SPDX-License-Identifier: MIT */
/* Rows: one by one, many, wrong use; and a long random history against a model. */
#include "../../vaultfs/store/image.h"
#include "test_store_common.h"

#include <fcntl.h>
#include <unistd.h>

struct call {
    void (*body)(struct vf_txn *txn);
    enum vf_err ret;
};

static enum vf_err call_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    const struct call *c = user;

    (void)reason;
    c->body(txn);
    return c->ret;
}

static enum vf_err update(struct vf_store *s, void (*body)(struct vf_txn *txn))
{
    struct call c = {.body = body};

    why.text[0] = '\0';
    return vf_store_update(s, call_body, &c, &why);
}

static bool slice_is(struct vf_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* ------------------------------------------------------------------------------------------------------------------ one row */

static void body_rows(struct vf_txn *txn)
{
    struct vf_slice key = {0};
    struct vf_slice val = {0};

    vf_txn_put(txn, T_ROWS, "b", 1, "1", 1);
    vf_txn_put(txn, T_ROWS, "b", 1, "two", 3);
    vf_txn_put(txn, T_ROWS, "bb", 2, "", 0);
    vf_txn_put(txn, T_ROWS, "d\0e", 3, "x", 1);
    vf_txn_put(txn, T_VALUES, "b", 1, "other table", 11);
    assert_true(vf_txn_get(txn, T_ROWS, "b", 1, &val));
    assert_true(slice_is(val, "two"));
    assert_true(vf_txn_get(txn, T_ROWS, "bb", 2, &val));
    assert_int_equal(val.len, 0);
    assert_false(vf_txn_get(txn, T_ROWS, "d", 1, &val));
    assert_int_equal(vf_txn_count(txn, T_ROWS), 3);
    assert_int_equal(vf_txn_count(txn, T_VALUES), 1);

    assert_true(vf_txn_seek(txn, T_ROWS, NULL, 0, &key, &val));
    assert_true(slice_is(key, "b") && slice_is(val, "two"));
    assert_true(vf_txn_seek(txn, T_ROWS, "bb", 2, &key, &val));
    assert_true(slice_is(key, "bb"));
    assert_true(vf_txn_seek(txn, T_ROWS, "bba", 3, &key, &val));
    assert_int_equal(key.len, 3);
    assert_memory_equal(key.data, "d\0e", 3);
    assert_false(vf_txn_seek(txn, T_ROWS, "e", 1, &key, &val));

    assert_true(vf_txn_del(txn, T_ROWS, "bb", 2));
    assert_false(vf_txn_del(txn, T_ROWS, "bb", 2));
    assert_false(vf_txn_get(txn, T_ROWS, "bb", 2, &val));
    vf_txn_clear(txn, T_VALUES);
    assert_int_equal(vf_txn_count(txn, T_VALUES), 0);
    assert_false(vf_txn_seek(txn, T_VALUES, NULL, 0, &key, &val));
    assert_int_equal(vf_txn_error(txn), VF_OK);
}

static void test_rows(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    VF_TXN old = NULL;
    VF_TXN txn = NULL;
    struct vf_slice val = {0};

    assert_ok(vf_txn_read(s, &old, &why));
    assert_ok(update(s, body_rows));
    assert_ok(vf_txn_read(s, &txn, &why));
    assert_int_equal(vf_txn_count(txn, T_ROWS), 2);
    assert_true(vf_txn_get(txn, T_ROWS, "b", 1, &val));
    assert_true(slice_is(val, "two"));
    /* The older snapshot stands until it is renewed. */
    assert_int_equal(vf_txn_count(old, T_ROWS), 0);
    assert_false(vf_txn_get(old, T_ROWS, "b", 1, &val));
    assert_ok(vf_txn_renew(old, &why));
    assert_true(vf_txn_get(old, T_ROWS, "b", 1, &val));
    vf_txn_reset(old);
    vf_txn_reset(old);
    assert_ok(vf_txn_renew(old, &why));
    assert_int_equal(vf_txn_count(old, T_ROWS), 2);
}

static void body_reserve(struct vf_txn *txn)
{
    static const size_t sizes[] = {0, 1, 100, 2000, 4080, 4081, 8176, 100000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t key[4];
        vf_put_be32(key, (uint32_t)sizes[i]);
        uint8_t *at = vf_txn_reserve(txn, T_VALUES, key, 4, sizes[i]);
        assert_non_null(at);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(at[j], 0);
        memset(at, 0xa5, sizes[i] / 2);
    }
}

static void test_reserve(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    VF_TXN txn = NULL;
    struct vf_slice val = {0};
    uint8_t key[4];

    /* Twice, so that pages and heap come with old contents. */
    assert_ok(update(s, body_reserve));
    assert_ok(update(s, body_reserve));
    assert_ok(vf_txn_read(s, &txn, &why));
    vf_put_be32(key, 100000);
    assert_true(vf_txn_get(txn, T_VALUES, key, 4, &val));
    assert_int_equal(val.len, 100000);
    for (size_t j = 0; j < val.len; j++)
        assert_int_equal(val.data[j], j < 50000 ? 0xa5 : 0);
}

static void body_key_limits(struct vf_txn *txn)
{
    uint8_t key[511];
    struct vf_slice val = {0};

    memset(key, 'k', sizeof(key));
    vf_txn_put(txn, T_ROWS, key, sizeof(key), "long", 4);
    assert_true(vf_txn_get(txn, T_ROWS, key, sizeof(key), &val));
    assert_int_equal(vf_txn_error(txn), VF_OK);
}

/* ------------------------------------------------------------------------------------------------------------- sticky errors */

/* Each makes one mistake and then goes on; what follows must do nothing, and the mistake be what is reported. */
static void go_on(struct vf_txn *txn)
{
    struct vf_slice key = {0};
    struct vf_slice val = {0};

    vf_txn_put(txn, T_ROWS, "later", 5, "x", 1);
    assert_false(vf_txn_get(txn, T_ROWS, "there", 5, &val));
    assert_false(vf_txn_seek(txn, T_ROWS, NULL, 0, &key, &val));
    assert_false(vf_txn_del(txn, T_ROWS, "there", 5));
    assert_null(vf_txn_reserve(txn, T_ROWS, "later", 5, 1));
    vf_txn_clear(txn, T_ROWS);
    assert_int_equal(vf_txn_count(txn, T_ROWS), 0);
}

static void body_empty_key(struct vf_txn *txn)
{
    vf_txn_put(txn, T_ROWS, "", 0, "x", 1);
    go_on(txn);
}

static void body_long_key(struct vf_txn *txn)
{
    uint8_t key[512] = {0};
    struct vf_slice val = {0};

    assert_false(vf_txn_get(txn, T_ROWS, key, sizeof(key), &val));
    go_on(txn);
}

static void body_no_table(struct vf_txn *txn)
{
    (void)vf_txn_del(txn, TABLES, "x", 1);
    go_on(txn);
}

static bool put_in_each(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    (void)cur;
    (void)val;
    vf_txn_put(user, T_VALUES, key.data, key.len, "x", 1);
    return true;
}

static void body_write_in_foreach(struct vf_txn *txn)
{
    vf_txn_foreach(txn, T_ROWS, NULL, 0, put_in_each, txn);
    go_on(txn);
}

static void body_there(struct vf_txn *txn)
{
    vf_txn_put(txn, T_ROWS, "there", 5, "x", 1);
}

static void assert_untouched(struct vf_store *s)
{
    VF_TXN txn = NULL;
    struct vf_slice val = {0};

    assert_ok(vf_txn_read(s, &txn, &why));
    assert_int_equal(vf_txn_count(txn, T_ROWS), 1);
    assert_int_equal(vf_txn_count(txn, T_VALUES), 0);
    assert_true(vf_txn_get(txn, T_ROWS, "there", 5, &val));
}

static void test_errors_stick(void **state)
{
    static const struct {
        void (*body)(struct vf_txn *txn);
        enum vf_err err;
        const char *text;
    } wrong[] = {
        {body_empty_key, VF_E_LIMIT, WHAT ": looking into table rows: a key or a value of a size that cannot be stored"},
        {body_long_key, VF_E_LIMIT, WHAT ": looking into table rows: a key or a value of a size that cannot be stored"},
        {body_no_table, VF_E_USAGE, WHAT ": a table that was not declared"},
        {body_write_in_foreach, VF_E_USAGE, WHAT ": a write while rows are being visited"},
    };
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);

    assert_ok(update(s, body_there));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(update(s, wrong[i].body), wrong[i].err);
        assert_int_equal(why.err, wrong[i].err);
        assert_string_equal(why.text, wrong[i].text);
        assert_untouched(s);
    }
    assert_ok(update(s, body_key_limits));
}

static bool del_in_each(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    (void)key;
    (void)val;
    (void)user;
    vf_txn_del_current(cur);
    return true;
}

static void test_errors_of_readers(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    VF_TXN txn = NULL;
    struct vf_slice val = {0};

    assert_ok(update(s, body_there));
    assert_ok(vf_txn_read(s, &txn, &why));
    assert_int_equal(vf_txn_check(txn, &why), VF_OK);
    vf_txn_put(txn, T_ROWS, "a", 1, "b", 1);
    assert_int_equal(vf_txn_error(txn), VF_E_USAGE);
    assert_int_equal(vf_txn_check(txn, &why), VF_E_USAGE);
    assert_string_equal(why.text, WHAT ": a write in a transaction for reading");
    assert_false(vf_txn_get(txn, T_ROWS, "there", 5, &val));
    assert_ok(vf_txn_renew(txn, &why));
    assert_true(vf_txn_get(txn, T_ROWS, "there", 5, &val));
    vf_txn_foreach(txn, T_ROWS, NULL, 0, del_in_each, NULL);
    assert_int_equal(vf_txn_error(txn), VF_E_USAGE);
    vf_txn_reset(txn);
    assert_ok(vf_txn_renew(txn, &why));
    vf_txn_reset(txn);
    assert_false(vf_txn_get(txn, T_ROWS, "there", 5, &val));
    assert_int_equal(vf_txn_check(txn, &why), VF_E_USAGE);
    assert_string_equal(why.text, WHAT ": a transaction was used after its reset");
    assert_ok(vf_txn_renew(txn, &why));
    assert_true(vf_txn_get(txn, T_ROWS, "there", 5, &val));
    assert_untouched(s);
}

/* An error of body takes everything back; one of the transaction is the cause and goes before it. */
static void test_errors_of_body(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct call good = {.body = body_key_limits, .ret = VF_E_REVOKED};
    struct call bad = {.body = body_empty_key, .ret = VF_E_NOT_FOUND};

    assert_ok(update(s, body_there));
    assert_int_equal(vf_store_update(s, call_body, &good, &why), VF_E_REVOKED);
    assert_untouched(s);
    assert_int_equal(vf_store_update(s, call_body, &bad, &why), VF_E_LIMIT);
    assert_int_equal(vf_store_update(s, call_body, &bad, NULL), VF_E_LIMIT);
    assert_untouched(s);
}

struct nested {
    struct vf_store *s;
    enum vf_err got;
};

static enum vf_err nested_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    struct nested *n = user;
    struct call c = {.body = body_there};

    (void)txn;
    n->got = vf_store_update(n->s, call_body, &c, reason);
    return VF_OK;
}

static void test_update_in_update(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct nested n = {.s = s};

    assert_ok(vf_store_update(s, nested_body, &n, &why));
    assert_int_equal(n.got, VF_E_USAGE);
    assert_string_equal(why.text, WHAT ": an update inside an update");
    assert_ok(update(s, body_there));
}

/* ----------------------------------------------------------------------------------------------------------------- many rows */

struct visit {
    char seen[200];
    const char *stop_at;
    const char *del;
    struct vf_txn *txn;
};

static bool visit_each(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct visit *v = user;
    size_t used = strlen(v->seen);
    char name[16] = {0};
    struct vf_slice again = {0};

    memcpy(name, key.data, key.len);
    assert_true(slice_is(val, name));
    (void)snprintf(v->seen + used, sizeof(v->seen) - used, "%s ", name);
    assert_true(vf_txn_get(v->txn, T_ROWS, name, strlen(name), &again));
    if (v->del != NULL && strstr(v->del, name) != NULL) {
        vf_txn_del_current(cur);
        vf_txn_del_current(cur);
        assert_false(vf_txn_get(v->txn, T_ROWS, name, strlen(name), &again));
    }
    return v->stop_at == NULL || strcmp(name, v->stop_at) != 0;
}

static void assert_visit(struct vf_txn *txn, const char *prefix, const char *stop_at, const char *del, const char *expect)
{
    struct visit v = {.stop_at = stop_at, .del = del, .txn = txn};

    vf_txn_foreach(txn, T_ROWS, prefix, strlen(prefix), visit_each, &v);
    assert_int_equal(vf_txn_error(txn), VF_OK);
    assert_string_equal(v.seen, expect);
}

static void body_foreach(struct vf_txn *txn)
{
    static const char *const names[] = {"b1", "a2", "ab", "c", "b", "b22", "a1"};

    assert_visit(txn, "", NULL, NULL, "");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        vf_txn_put(txn, T_ROWS, names[i], strlen(names[i]), names[i], strlen(names[i]));
    assert_visit(txn, "", NULL, NULL, "a1 a2 ab b b1 b22 c ");
    assert_visit(txn, "b", NULL, NULL, "b b1 b22 ");
    assert_visit(txn, "b2", NULL, NULL, "b22 ");
    assert_visit(txn, "a3", NULL, NULL, "");
    assert_visit(txn, "d", NULL, NULL, "");
    assert_visit(txn, "", "ab", NULL, "a1 a2 ab ");
    assert_visit(txn, "b", NULL, "[b][b22]", "b b1 b22 ");
    assert_visit(txn, "", NULL, NULL, "a1 a2 ab b1 c ");
    assert_visit(txn, "", "a2", "[a1][a2]", "a1 a2 ");
    assert_visit(txn, "", NULL, "[ab][b1][c]", "ab b1 c ");
    assert_int_equal(vf_txn_count(txn, T_ROWS), 0);
}

static void test_foreach(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);

    assert_ok(update(s, body_foreach));
    assert_ok(store_walk_at(p->dir.path));
}

/* -------------------------------------------------------------------------------------------------------------- random history */

/* The model: every key there can be, and what it holds (0: nothing). A value is its length and seed. */
#define MODEL_KEYS 900

struct model {
    uint64_t seed[MODEL_KEYS];
    size_t len[MODEL_KEYS];
};

struct history {
    struct model now;
    struct model next;
    uint64_t rng;
    unsigned at;      /* of a foreach: the next key to come */
    unsigned visited; /* rows */
    struct vf_txn *txn;
    bool deleting;
};

/* In key order: the big-endian number first, then filling whose length depends on it. */
static size_t model_key(unsigned i, uint8_t out[511])
{
    size_t len = 2 + (i * 37) % 200 + (i % 50 == 0 ? 309 : 0);

    memset(out, (int)(i % 7), len);
    vf_put_be16(out, (uint16_t)i);
    return len;
}

static size_t random_len(uint64_t *rng)
{
    switch (mix(rng) % 8) {
    case 0:
        return mix(rng) % 60000;
    case 1:
        return mix(rng) % 6000;
    case 2:
        return 2000 + mix(rng) % 100;
    default:
        return mix(rng) % 200;
    }
}

static void history_put(struct history *h, struct vf_txn *txn)
{
    unsigned i = (unsigned)(mix(&h->rng) % MODEL_KEYS);
    uint8_t key[511];
    size_t key_len = model_key(i, key);
    uint64_t seed = mix(&h->rng) | 1;
    size_t len = random_len(&h->rng);
    uint8_t *at = NULL;
    bool reserve = mix(&h->rng) % 2 != 0;

    if (reserve)
        at = vf_txn_reserve(txn, T_VALUES, key, key_len, len);
    else
        at = malloc(len + 1);
    assert_non_null(at);
    pattern(at, len, seed);
    if (!reserve) {
        vf_txn_put(txn, T_VALUES, key, key_len, at, len);
        free(at);
    }
    h->next.seed[i] = seed;
    h->next.len[i] = len;
}

static void history_del(struct history *h, struct vf_txn *txn)
{
    unsigned i = (unsigned)(mix(&h->rng) % MODEL_KEYS);
    uint8_t key[511];

    assert_int_equal(vf_txn_del(txn, T_VALUES, key, model_key(i, key)), h->next.seed[i] != 0);
    h->next.seed[i] = 0;
}

static bool history_each(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct history *h = user;
    uint8_t expect[511];

    while (h->at < MODEL_KEYS && h->next.seed[h->at] == 0)
        h->at++;
    assert_true(h->at < MODEL_KEYS);
    assert_int_equal(key.len, model_key(h->at, expect));
    assert_memory_equal(key.data, expect, key.len);
    assert_int_equal(val.len, h->next.len[h->at]);
    assert_true(pattern_is(val.data, val.len, h->next.seed[h->at]));
    if (h->deleting && mix(&h->rng) % 3 == 0) {
        vf_txn_del_current(cur);
        h->next.seed[h->at] = 0;
    }
    h->at++;
    h->visited++;
    return true;
}

static void history_check(struct history *h, struct vf_txn *txn, bool deleting)
{
    unsigned rows = 0;

    for (unsigned i = 0; i < MODEL_KEYS; i++)
        rows += h->next.seed[i] != 0;
    assert_int_equal(vf_txn_count(txn, T_VALUES), rows);
    h->at = 0;
    h->visited = 0;
    h->deleting = deleting;
    vf_txn_foreach(txn, T_VALUES, NULL, 0, history_each, h);
    assert_int_equal(vf_txn_error(txn), VF_OK);
    assert_int_equal(h->visited, rows);
}

static enum vf_err history_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    struct history *h = user;
    unsigned n = (unsigned)(mix(&h->rng) % 200);

    (void)reason;
    h->next = h->now;
    h->txn = txn;
    if (mix(&h->rng) % 20 == 0) {
        vf_txn_clear(txn, T_VALUES);
        memset(&h->next, 0, sizeof(h->next));
    }
    bool growing = mix(&h->rng) % 2 != 0;
    for (unsigned i = 0; i < n; i++) {
        if (mix(&h->rng) % 4 != 0 ? growing : !growing)
            history_put(h, txn);
        else
            history_del(h, txn);
    }
    if (mix(&h->rng) % 4 == 0)
        history_check(h, txn, true);
    return mix(&h->rng) % 5 == 0 ? VF_E_REFUSED : VF_OK;
}

/* The strict reader finds nothing wrong in what LMDB writes, nor a page that is lost. */
static void assert_healthy(const char *dir)
{
    struct vf_image_tables tables;
    struct vf_image img;
    char path[320];

    (void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
    VF_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(vf_image_newest(fd, WHAT, &img, &why));
    assert_ok(vf_image_check(&img, true, &tables, &why));
    assert_int_equal(tables.n, TABLES);
    assert_int_equal(tables.lost_pages, 0);
}

static void test_random_history(void **state)
{
    const struct place *p = *state;
    struct vf_store *s = store_must_open(p->dir.path, VF_STORE_WRITE);
    VF_FREE struct history *h = calloc(1, sizeof(*h));
    struct vf_txn *old = NULL;

    assert_non_null(h);
    /* Other histories: VAULTFS_TEST_SEED=7 test_store_txn. */
    const char *seed = getenv("VAULTFS_TEST_SEED");
    h->rng = seed != NULL ? strtoull(seed, NULL, 10) : 42;
    for (unsigned round = 0; round < 150; round++) {
        /* An old snapshot now and then keeps pages from being used again. */
        if (old == NULL && mix(&h->rng) % 10 == 0)
            assert_ok(vf_txn_read(s, &old, &why));
        enum vf_err err = vf_store_update(s, history_body, h, &why);
        if (err == VF_OK)
            h->now = h->next;
        else
            assert_int_equal(err, VF_E_REFUSED);
        h->next = h->now;
        assert_healthy(p->dir.path);
        if (mix(&h->rng) % 8 == 0) {
            vf_txn_end(old);
            old = NULL;
        }
        if (mix(&h->rng) % 16 == 0) {
            vf_txn_end(old);
            old = NULL;
            vf_store_close(s);
            assert_ok(store_walk_at(p->dir.path));
            s = store_must_open(p->dir.path, VF_STORE_WRITE);
        }
        if (round % 5 == 0) {
            VF_TXN txn = NULL;
            assert_ok(vf_txn_read(s, &txn, &why));
            history_check(h, txn, false);
        }
    }
    vf_txn_end(old);
    vf_store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_reserve, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_errors_stick, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_errors_of_readers, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_errors_of_body, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_update_in_update, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_foreach, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_random_history, place_setup, place_teardown),
    };

    return cmocka_run_group_tests_name("store_txn", tests, NULL, NULL);
}
