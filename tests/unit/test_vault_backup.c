/* SPDX-License-Identifier: MIT */
/* Backup and restore. */
#include "../../vaultfs/vault/backup.h"
#include "vault_test.h"

#include "fakeclock.h"
#include "record_images.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct place p;
static char file[400];
static char second[400];

static const char csv[] = "warrant_no,surname,rank\n1,One,Constable\n2,Two,Constable\n3,Three,Constable\n";

/* A vault of three records, one photo, a device's log, and a backup of it. */
static int begin(void **state)
{
    char path[400];
    (void)state;

    place_make(&p, 2, 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    put_photo(&p, "ph/2.jpg", 1);
    import_csv(v, &p, csv, "ph", VF_OK, NULL);
    close_vault(v);
    (void)snprintf(path, sizeof(path), "%s/devices/%064d", p.vault, 0);
    OK(vf_dir_make(path, why));
    (void)snprintf(path, sizeof(path), "%s/devices/%064d/log", p.vault, 0);
    OK(vf_dir_make(path, why));
    (void)snprintf(path, sizeof(path), "vault/devices/%064d/log/origin", 0);
    put_file(&p, path, "what a device said", 18);
    (void)place_path(&p, "backup", file);
    (void)place_path(&p, "second", second);
    OK(vf_vault_backup(p.vault, file, false, NULL, NULL, why));
    return 0;
}

static int end(void **state)
{
    (void)state;
    place_done(&p);
    return 0;
}

static void assert_same(const char *vault)
{
    static const char *const numbers[] = {"1", "2", "3"};
    static const char *const names[] = {"One", "Two", "Three"};
    struct vf_vault *v = NULL;
    VF_BUF photo = {0};

    OK(vf_vault_open(vault, VF_VAULT_READ, admin[BOB], &v, why));
    for (unsigned i = 0; i < 3; i++) {
        struct vf_ref ref = ref_of(v, numbers[i]);
        assert_string_equal(text_of(v, &ref, VF_FIELD_SURNAME), names[i]);
        if (i == 1) {
            VF_VIEW view = NULL;
            OK(vf_view_open(v, &view, why));
            OK(vf_view_value(view, &ref, VF_FIELD_PHOTO, 0, &photo, why));
            assert_true(photo.len > 1000);
            vf_view_close(view);
            view = NULL;
        }
    }
    assert_int_equal(count_rows(v, VF_VT_RECORD), 3);
    close_vault(v);
}

static void test_round_trip(void **state)
{
    struct vf_verify_options opt = {0};
    struct vf_verdict *verdict = calloc(1, sizeof(*verdict));
    struct stat st;
    char path[600], old[400];
    (void)state;

    assert_non_null(verdict);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    OK(vf_vault_restore(file, second, admin[BOB], NULL, NULL, why));
    assert_int_equal(stat(second, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_same(second);
    (void)snprintf(path, sizeof(path), "%s/devices/%064d/log/origin", second, 0);
    VF_FREE char *said = get_file(path, NULL);
    assert_string_equal(said, "what a device said");
    /* A new log, which names the old one; the old one is kept and verifies. */
    (void)snprintf(path, sizeof(path), "%s/log", second);
    OK(vf_log_verify(path, &opt, verdict, why));
    assert_true(verdict->good);
    assert_true(verdict->origin.restored);
    assert_string_equal(verdict->origin.owner, "bob");
    struct vf_hash new_id = verdict->id;
    OK(vf_log_verify(place_path(&p, "vault/log", old), &opt, verdict, why));
    assert_memory_not_equal(verdict->id.b, new_id.b, VF_HASH_LEN);
    char hex[33];
    vf_hex(verdict->id.b, 16, hex);
    (void)snprintf(path, sizeof(path), "%s/before/%s/log", second, hex);
    uint64_t entries = verdict->entries;
    OK(vf_log_verify(path, &opt, verdict, why));
    assert_true(verdict->good);
    assert_int_equal(verdict->entries, entries);
    (void)snprintf(path, sizeof(path), "%s/log/origin", second);
    VF_FREE char *origin = get_file(path, NULL);
    assert_non_null(strstr(origin, verdict->origin.line));
    /* It works, and so does a backup of it, with all the logs. */
    struct vf_vault *v = NULL;
    OK(vf_vault_open(second, VF_VAULT_WRITE, admin[ALICE], &v, why));
    struct vf_ref ref = ref_of(v, "3");
    OK(vf_record_erase(v, &ref, 1, VF_ERASE_OTHER, NULL, NULL, why));
    close_vault(v);
    char third[400], again[400];
    OK(vf_vault_backup(second, place_path(&p, "again", again), false, NULL, NULL, why));
    OK(vf_vault_restore(again, place_path(&p, "third", third), admin[ALICE], NULL, NULL, why));
    (void)snprintf(path, sizeof(path), "%s/before", third);
    assert_int_equal(scratch_count(path), 2);
    free(verdict);
}

static void test_refused(void **state)
{
    struct vf_why no;
    unsigned before = scratch_count(p.dir.path);
    char path[400];
    (void)state;

    assert_int_equal(vf_vault_backup(p.vault, file, false, NULL, NULL, &no), VF_E_EXISTS);
    OK(vf_vault_backup(p.vault, file, true, NULL, NULL, why));
    assert_int_equal(vf_vault_backup(place_path(&p, "none", path), second, false, NULL, NULL, &no), VF_E_NOT_FOUND);
    assert_int_equal(vf_vault_restore(file, p.vault, admin[ALICE], NULL, NULL, &no), VF_E_EXISTS);
    assert_int_equal(vf_vault_restore(file, second, admin[CAROL], NULL, NULL, &no), VF_E_DENIED);
    assert_int_equal(vf_vault_restore(path, second, admin[ALICE], NULL, NULL, &no), VF_E_NOT_FOUND);
    put_file(&p, "junk", "VFBACKU2", 8);
    assert_int_equal(vf_vault_restore(place_path(&p, "junk", path), second, admin[ALICE], NULL, NULL, &no), VF_E_VERSION);
    assert_int_equal(scratch_count(p.dir.path), before + 1);
    assert_int_equal(chmod(p.dir.path, 0700), 0);
}

/* A vault whose first policy still waits. */
static void test_pending(void **state)
{
    struct place q;
    struct vf_vault *v = NULL;
    (void)state;

    place_make(&q, 2, 2);
    char b[400];
    OK(vf_vault_backup(q.vault, place_path(&q, "b", b), false, NULL, NULL, why));
    OK(vf_vault_restore(b, second, admin[BOB], NULL, NULL, why));
    OK(vf_vault_open(second, VF_VAULT_PUBLIC, NULL, &v, why));
    assert_true(vf_vault_policy(v)->has_pending);
    close_vault(v);
    place_done(&q);
}

/* ------------------------------------------------------------------------------------------------------------------ the parser */

struct memory {
    const uint8_t *data;
    size_t left;
    size_t step; /* bytes a read, to meet every boundary */
};

static enum vf_err read_memory(void *user, uint8_t *out, size_t len, size_t *ret_n, struct vf_why *no)
{
    struct memory *m = user;

    (void)no;
    *ret_n = m->left < len ? m->left : len;
    if (m->step > 0 && *ret_n > m->step)
        *ret_n = m->step;
    if (*ret_n > 0)
        memcpy(out, m->data, *ret_n);
    m->data += *ret_n;
    m->left -= *ret_n;
    return VF_OK;
}

static enum vf_err no_head(void *user, const struct vf_backup_head *head, struct vf_why *no)
{
    (void)user;
    (void)head;
    (void)no;
    return VF_OK;
}

static enum vf_err no_row(void *user, unsigned table, struct vf_slice key, struct vf_slice val, struct vf_why *no)
{
    (void)table;
    (void)key;
    (void)val;
    (void)no;
    ++*(unsigned *)user;
    return VF_OK;
}

static enum vf_err no_file(void *user, const char *path, uint64_t len, struct vf_why *no)
{
    (void)user;
    (void)path;
    (void)len;
    (void)no;
    return VF_OK;
}

static enum vf_err no_data(void *user, const uint8_t *data, size_t len, struct vf_why *no)
{
    (void)user;
    (void)data;
    (void)len;
    (void)no;
    return VF_OK;
}

static enum vf_err parse(const void *data, size_t len, size_t step, unsigned *ret_rows)
{
    struct memory m = {data, len, step};
    const struct vf_backup_source source = {&m, read_memory};
    const struct vf_backup_sink sink = {ret_rows, no_head, no_row, no_file, no_data};
    struct vf_why no = {0};

    *ret_rows = 0;
    return vf_backup_parse(&source, "b", &sink, &no);
}

static void rehash(struct vf_buf *b)
{
    struct vf_hash hash;

    vf_sha256(b->data, b->len - VF_HASH_LEN, &hash);
    memcpy(b->data + b->len - VF_HASH_LEN, hash.b, VF_HASH_LEN);
}

static void put_end(struct vf_buf *b, uint64_t rows, uint64_t files)
{
    vf_buf_u8(b, 'E');
    vf_buf_u64(b, rows);
    vf_buf_u64(b, files);
    (void)vf_buf_grow(b, VF_HASH_LEN);
    rehash(b);
}

static void put_row(struct vf_buf *b, unsigned table, const void *key, size_t key_len, const void *val, size_t val_len)
{
    vf_buf_u8(b, 'R');
    vf_buf_u8(b, (uint8_t)table);
    vf_buf_u16(b, (uint16_t)key_len);
    vf_buf_u32(b, (uint32_t)val_len);
    vf_buf_put(b, key, key_len);
    vf_buf_put(b, val, val_len);
}

static void put_path(struct vf_buf *b, const char *path, const char *content)
{
    vf_buf_u8(b, 'F');
    vf_buf_str16(b, path, strlen(path));
    vf_buf_u64(b, strlen(content));
    vf_buf_text(b, content);
}

static void put_head(struct vf_buf *b)
{
    vf_buf_done(b);
    vf_buf_init(b, 100000);
    vf_buf_text(b, VF_BACKUP_MAGIC);
    (void)vf_buf_grow(b, VF_VAULT_ID_LEN + 8 + VF_KEY_LEN);
}

static void test_parser(void **state)
{
    static const uint8_t zeroes[1000];
    unsigned rows = 0;
    VF_BUF b = {0};
    (void)state;

    put_head(&b);
    put_row(&b, VF_VT_META, "epoch", 5, zeroes, 4);
    put_row(&b, VF_VT_META, "format", 6, zeroes, 4);
    put_row(&b, VF_VT_INDEX, zeroes, 32, "AAAAAAAA", 8);
    put_path(&b, "devices/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/log/origin", "hello");
    put_path(&b, "log/origin", "");
    put_end(&b, 3, 2);
    for (size_t step = 0; step < 70; step++) {
        assert_int_equal(parse(b.data, b.len, step, &rows), VF_OK);
        assert_int_equal(rows, 3);
    }
    vf_buf_u8(&b, 0);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
    put_head(&b);
    put_end(&b, 1, 0);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
    put_head(&b);
    put_end(&b, 0, 0);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_OK);
    b.data[b.len - 1] ^= 1;
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_DAMAGED);
    put_head(&b);
    vf_put_be64(b.data + 24, UINT64_MAX);
    put_end(&b, 0, 0);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
}

/* Rows that no vault has, or not in this place. */
static void test_parser_rows(void **state)
{
    static const uint8_t zeroes[1000];
    static const struct {
        unsigned table;
        const char *key;
        size_t key_len, val_len;
    } bad[] = {
        {VF_VT_META, "unknown", 7, 4},
        {VF_VT_META, "epoch", 5, 5},
        {VF_VT_META, "epoch", 4, 4},
        {VF_VT_VK, "short", 5, 80},
        {VF_VT_RECORD, "AAAAAAAA", 8, 78},
        {VF_VT_RECORD, "aaaaaaaa", 8, 77},
        {VF_VT_HEAD, "AAAAAAAA", 8, 794},
        {VF_VT_HEAD, "AAAAAAA", 7, 795},
        {VF_VT_VALUE, "AAAAAAAA\1\0\0\0\1", 13, 70},
        {VF_VT_GRANT, "AAAAAAAAAAAAAAAA", 16, 80},
        {VF_VT_MANIFEST, "12345678901234567890123456789012", 32, 50},
        {VF_VT_DEVICE, "12345678901234567890123456789012", 32, 0},
        {VF_VT_TIMES, "12345678901234567890123456789012", 32, 7},
        {VF_VT_COUNT, "x", 1, 1},
        {255, "x", 1, 1},
        {VF_VT_META, "", 0, 1},
    };
    unsigned rows = 0;
    VF_BUF b = {0};
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_head(&b);
        put_row(&b, bad[i].table, bad[i].key, bad[i].key_len, zeroes, bad[i].val_len);
        put_end(&b, 1, 0);
        assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
        assert_int_equal(rows, 0);
    }
    static const char *const orders[][2] = {{"format", "epoch"}, {"epoch", "epoch"}};
    for (size_t i = 0; i < 2; i++) {
        put_head(&b);
        for (size_t j = 0; j < 2; j++)
            put_row(&b, VF_VT_META, orders[i][j], strlen(orders[i][j]), zeroes, 4);
        put_end(&b, 2, 0);
        assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
    }
    put_head(&b);
    put_row(&b, VF_VT_INDEX, zeroes, 32, "AAAAAAAA", 8);
    put_row(&b, VF_VT_META, "epoch", 5, zeroes, 4);
    put_end(&b, 2, 0);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
    put_head(&b);
    put_path(&b, "log/origin", "");
    put_row(&b, VF_VT_META, "epoch", 5, zeroes, 4);
    put_end(&b, 1, 1);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
    /* A length that promises more than there is costs no memory. */
    put_head(&b);
    vf_buf_put(&b, "R\7\0\40\77\377\377\377", 8);
    vf_buf_put(&b, zeroes, 100);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
}

static void test_parser_paths(void **state)
{
    static const char fp[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char *const bad[] = {
        "",
        "log",
        "log/",
        "/log/x",
        "log//x",
        "log/..",
        "log/.hidden",
        "log/a/b",
        "Log/x",
        "log/X",
        "log/x ",
        "w",
        "seal",
        "db/data.mdb",
        "devices/x/log/y",
        "devices/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg/log/x",
        "devices/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/x",
        "before/0123456789abcdef0123456789abcde/log/x",
        "before/0123456789abcdef0123456789abcdef/x/y",
        "log/x\n",
        "log/x\\y",
    };
    char path[200];
    unsigned rows = 0;
    VF_BUF b = {0};
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(vf_backup_path_valid(bad[i], strlen(bad[i])));
        put_head(&b);
        put_path(&b, bad[i], "x");
        put_end(&b, 0, 1);
        assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
    }
    (void)snprintf(path, sizeof(path), "devices/%s/log/entries-00000000000000000000.jsonl", fp);
    assert_true(vf_backup_path_valid(path, strlen(path)));
    assert_true(vf_backup_path_valid("before/0123456789abcdef0123456789abcdef/log/checkpoints", 56 - 1));
    assert_false(vf_backup_path_valid("log/x\0y", 7));
    put_head(&b);
    put_path(&b, "log/b", "x");
    put_path(&b, "log/a", "x");
    put_end(&b, 0, 2);
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_E_FORMAT);
}

/* Every byte of a small backup, and every length. */
static void test_mutation(void **state)
{
    struct place q;
    unsigned rows = 0;
    VF_BUF b = {0};
    char path[400];
    (void)state;

    place_make(&q, 1, 1);
    struct vf_vault *v = open_as(&q, VF_VAULT_WRITE, ALICE);
    import_csv(v, &q, "warrant_no\n1\n", NULL, VF_OK, NULL);
    close_vault(v);
    OK(vf_vault_backup(q.vault, place_path(&q, "b", path), false, NULL, NULL, why));
    OK(vf_file_read(path, 1 << 24, &b, why));
    assert_int_equal(parse(b.data, b.len, 0, &rows), VF_OK);
    size_t n = b.len;
    for (size_t i = 0; i < n; i++) {
        b.data[i] ^= 0x10;
        enum vf_err err = parse(b.data, n, 0, &rows);
        assert_true(err == VF_E_FORMAT || err == VF_E_DAMAGED || (i < 8 && err == VF_E_VERSION));
        b.data[i] ^= 0x10;
        assert_int_equal(parse(b.data, i, 0, &rows), VF_E_FORMAT);
    }
    place_done(&q);
}

/* A backup changed by somebody who can compute its hash: refused, or the same records. */
static void test_mutation_hashed(void **state)
{
    VF_BUF b = {0};
    unsigned refused = 0, harmless = 0;
    struct vf_why no;
    char path[400];
    (void)state;

    OK(vf_file_read(file, 1 << 24, &b, why));
    for (size_t i = 8; i + VF_HASH_LEN < b.len; i += 1 + b.len / 60) {
        b.data[i] ^= 0x04;
        rehash(&b);
        put_file(&p, "edited", b.data, b.len);
        enum vf_err err = vf_vault_restore(place_path(&p, "edited", path), second, admin[ALICE], NULL, NULL, &no);
        if (err == VF_OK) {
            assert_same(second);
            harmless++;
            assert_int_equal(rename(second, place_path(&p, "old", path)), 0);
            pid_t pid = fork();
            if (pid == 0) {
                (void)execlp("rm", "rm", "-rf", path, (char *)NULL);
                _exit(1);
            }
            assert_int_equal(waitpid(pid, NULL, 0), pid);
        } else {
            refused++;
            assert_int_equal(vf_err_exit(err), 3);
        }
        b.data[i] ^= 0x04;
    }
    assert_true(refused > harmless);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_round_trip),
        T(test_refused),
        T(test_pending),
        cmocka_unit_test(test_parser),
        cmocka_unit_test(test_parser_rows),
        cmocka_unit_test(test_parser_paths),
        cmocka_unit_test(test_mutation),
        T(test_mutation_hashed),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
