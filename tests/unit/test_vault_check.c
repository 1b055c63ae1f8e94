/* SPDX-License-Identifier: MIT */
/* The check of a vault: every kind of damage is found and told. */
#include "../../vaultfs/vault/internal.h"
#include "vault_test.h"

static struct place p;
static char file[400];
static char second[400];

static int begin(void **state)
{
    (void)state;
    place_make(&p, 2, 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    put_photo(&p, "ph/2.jpg", 1);
    import_csv(v, &p, "warrant_no,surname,rank\n1,One,Constable\n2,Two,Constable\n3,Three,Constable\n", "ph", VF_OK, NULL);
    close_vault(v);
    (void)place_path(&p, "backup", file);
    (void)place_path(&p, "second", second);
    return 0;
}

static int end(void **state)
{
    (void)state;
    place_done(&p);
    return 0;
}

struct edit {
    unsigned table;
    struct vf_slice key, val;
    const char *prefix;
    unsigned skip;
    size_t at; /* flip a bit here; SIZE_MAX: delete the row */
    bool done;
};

static bool find_row(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct edit *e = user;

    (void)cur;
    if (e->skip-- > 0)
        return true;
    e->key = key;
    e->val = val;
    return false;
}

static enum vf_err edit_body(struct vf_txn *txn, void *user, struct vf_why *no)
{
    struct edit e = *(struct edit *)user;
    uint8_t key[64];
    VF_BUF val = {0};

    (void)no;
    vf_txn_foreach(txn, e.table, "", 0, find_row, &e);
    assert_non_null(e.key.data);
    memcpy(key, e.key.data, e.key.len);
    vf_buf_init(&val, 1 << 21);
    vf_buf_put(&val, e.val.data, e.val.len);
    if (e.at == SIZE_MAX) {
        (void)vf_txn_del(txn, e.table, key, e.key.len);
        return VF_OK;
    }
    assert_true(e.at < val.len);
    if (e.table == VF_VT_INDEX) /* another ref, and one that is well-formed: not every letter is */
        val.data[e.at] = val.data[e.at] == 'B' ? 'C' : 'B';
    else
        val.data[e.at] ^= 1;
    vf_txn_put(txn, e.table, key, e.key.len, val.data, val.len);
    return VF_OK;
}

static void store_edit(struct edit *e)
{
    VF_STORE store = NULL;
    char path[400];

    OK(vf_store_open(place_path(&p, "vault/db", path), VF_STORE_WRITE, vf_vault_tables, VF_VT_COUNT, "test", &store, why));
    OK(vf_store_update(store, edit_body, e, why));
}

struct lines {
    char text[4000];
    unsigned n;
};

static void take_line(void *user, const char *line)
{
    struct lines *l = user;
    size_t len = strlen(l->text);

    (void)snprintf(l->text + len, sizeof(l->text) - len, "%s\n", line);
    l->n++;
}

static void test_check(void **state)
{
    static const struct {
        unsigned table, skip;
        size_t at;
        const char *says;
        bool without_key; /* found without a key too */
    } damage[] = {
        {VF_VT_VALUE, 3, 80, "is not what its hash says", true},
        {VF_VT_VALUE, 3, 40, "is not what its hash says", true},
        {VF_VT_VALUE, 3, 10, "does not open", false},    /* s */
        {VF_VT_VALUE, 3, 3, "is not well-formed", true}, /* epoch 0 */
        {VF_VT_VALUE, 3, 2, "does not open", false},     /* epoch 257 */
        {VF_VT_VALUE, 3, SIZE_MAX, "is missing", false},
        {VF_VT_HEAD, 1, 100, "its keys or its head do not open", false},
        {VF_VT_HEAD, 1, SIZE_MAX, "its head is missing", true},
        {VF_VT_RECORD, 1, 30, "its keys or its head do not open", false},
        {VF_VT_RECORD, 1, 0, "the row of its keys is not well-formed", true},
        {VF_VT_RECORD, 1, SIZE_MAX, "a head without keys", true},
        {VF_VT_INDEX, 1, SIZE_MAX, "the index has 2 rows for 3 records", true},
        {VF_VT_INDEX, 1, 0, "the index names it, and it is not there", true},
    };
    (void)state;

    assert_int_equal(check_findings(&p, ALICE, false), 0);
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        struct edit e = {.table = damage[i].table, .skip = damage[i].skip, .at = damage[i].at};
        struct vf_vault_check_report report;
        struct lines lines = {.n = 0};
        (void)end(NULL);
        (void)begin(NULL);
        store_edit(&e);
        OK(vf_vault_check(p.vault, NULL, take_line, NULL, &lines, &report, why));
        assert_int_equal(report.findings, lines.n);
        assert_int_equal(strstr(lines.text, damage[i].says) != NULL, damage[i].without_key);
        lines = (struct lines){.n = 0};
        OK(vf_vault_check(p.vault, admin[ALICE], take_line, NULL, &lines, &report, why));
        assert_int_equal(report.findings, lines.n);
        if (strstr(lines.text, damage[i].says) == NULL)
            fail_msg("%zu: %s", i, lines.text);
        /* What is damaged does not become a backup that nobody can restore, or the restore says so. */
        enum vf_err err = vf_vault_backup(p.vault, file, true, NULL, NULL, why);
        if (err == VF_OK)
            err = vf_vault_restore(file, second, admin[ALICE], NULL, NULL, why);
        assert_int_equal(err, VF_E_DAMAGED);
    }
}

/* Any byte of data.mdb: an error, a finding, or nothing; no crash. */
static void test_check_file(void **state)
{
    unsigned quiet = 0, told = 0;
    size_t len = 0;
    char path[400];
    VF_FREE char *data = get_file(place_path(&p, "vault/db/data.mdb", path), &len);
    uint64_t rng = 12345;
    (void)state;

    for (unsigned i = 0; i < 100; i++) {
        struct vf_vault_check_report report = {0};
        struct vf_why no;
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(rng >> 20) % len;
        data[at] ^= (char)(1 << (i % 8));
        put_file(&p, "vault/db/data.mdb", data, len);
        enum vf_err err = vf_vault_check(p.vault, admin[ALICE], NULL, NULL, NULL, &report, &no);
        if (err == VF_OK && report.findings == 0)
            quiet++;
        else
            told++;
        assert_true(err == VF_OK || vf_err_exit(err) == 3);
        data[at] ^= (char)(1 << (i % 8));
    }
    assert_true(told > 10); /* many pages are free ones */
    assert_int_equal(told + quiet, 100);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_check),
        T(test_check_file),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
