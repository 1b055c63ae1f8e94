/* SPDX-License-Identifier: MIT */
/* Imports: rows, photos, snapshots, what is told and what is not. */
#include "../../vaultfs/vault/import.h"
#include "vault_test.h"

#include "children.h"
#include "fakeclock.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "warrant_no,name_on_card,rank,surname,valid_from,valid_to\n"

/* ------------------------------------------------------------------------------------------------------------------- helpers */

/* What an import told, one line each. */
struct told {
    char text[8192];
    unsigned n;
};

static void tell(void *user, uint32_t row, const char *column, const char *reason, bool warning)
{
    struct told *t = user;
    size_t len = strlen(t->text);

    (void)snprintf(t->text + len, sizeof(t->text) - len, "%u:%s: %s%s\n", (unsigned)row, column != NULL ? column : "",
                   reason, warning ? " (warning)" : "");
    t->n++;
}

static struct place p;
static struct vf_vault *v;
static struct told told;
static struct vf_import_report report;
static char paths[8][400];
static char last_words[sizeof(((struct vf_why *)0)->text)];

static enum vf_err run(const char *csv, struct vf_import_options opt)
{
    struct vf_why no = {0};

    put_file(&p, "in.csv", csv, strlen(csv));
    opt.csv_path = place_path(&p, "in.csv", paths[0]);
    opt.problem = tell;
    opt.user = &told;
    memset(&told, 0, sizeof(told));
    memset(&report, 0, sizeof(report));
    enum vf_err err = vf_import(v, &opt, &report, &no);
    (void)snprintf(last_words, sizeof(last_words), "%s", no.text);
    return err;
}

static void assert_told(const char *text)
{
    assert_string_equal(told.text, text);
}

static int begin(void **state)
{
    (void)state;
    v = place_open(&p);
    return 0;
}

static int end(void **state)
{
    (void)state;
    place_close(&p, &v);
    return 0;
}

static struct vf_field_state state_of(const char *number, enum vf_field field)
{
    struct vf_ref ref = ref_of(v, number);
    struct vf_head head;
    VF_VIEW view = NULL;

    OK(vf_view_open(v, &view, why));
    OK(vf_view_head(view, &ref, &head, why));
    return head.f[field];
}

static const char *value(const char *number, enum vf_field field)
{
    struct vf_ref ref = ref_of(v, number);

    return text_of(v, &ref, field);
}

/* --------------------------------------------------------------------------------------------------------------------- rows */

static void test_upsert(void **state)
{
    (void)state;
    assert_int_equal(run(HEAD "0001,A One,Constable,One,2026-01-01,2027-01-01\n0002,B Two,Sergeant,Two,,\n",
                         (struct vf_import_options){0}),
                     VF_OK);
    assert_int_equal(report.rows, 2);
    assert_int_equal(report.added, 2);
    assert_int_equal(report.photos_missing, 2);
    assert_told(""); /* without a folder of photos nobody expects any */
    uint64_t rows = count_rows(v, VF_VT_VALUE);
    fake_clock_pass(VF_SECOND_US);
    assert_int_equal(run(HEAD "0001,A One,Constable,One,2026-01-01,2027-01-01\n0002,B Two,Sergeant,Two,,\n",
                         (struct vf_import_options){0}),
                     VF_OK);
    assert_int_equal(report.unchanged, 2);
    assert_int_equal(report.added + report.changed, 0);
    /* Another order of columns, some of them absent, a cell emptied. */
    assert_int_equal(run("surname,warrant_no,unit_code\n,0001,X1\nTwo,0002,\nThree,0003,\n", (struct vf_import_options){0}),
                     VF_OK);
    assert_int_equal(report.changed, 1);
    assert_int_equal(report.unchanged, 1);
    assert_int_equal(report.added, 1);
    assert_string_equal(value("0001", VF_FIELD_SURNAME), "");
    assert_string_equal(value("0001", VF_FIELD_UNIT_CODE), "X1");
    assert_string_equal(value("0001", VF_FIELD_NAME_ON_CARD), "A One");
    assert_int_equal(state_of("0001", VF_FIELD_SURNAME).generation, 2);
    assert_int_equal(state_of("0001", VF_FIELD_SURNAME).quoted_len, 2);
    assert_int_equal(state_of("0001", VF_FIELD_NAME_ON_CARD).generation, 1);
    assert_true(state_of("0001", VF_FIELD_SURNAME).changed_us > state_of("0001", VF_FIELD_RANK).changed_us);
    assert_int_equal(count_rows(v, VF_VT_VALUE), rows / 2 * 3); /* the old generation is gone */
}

static void test_map_and_dates(void **state)
{
    static const char map[] = "Warrant = warrant_no\nStart = valid_from\nJunk = ignore\n";
    (void)state;

    put_file(&p, "map", map, strlen(map));
    struct vf_import_options opt = {.map_path = place_path(&p, "map", paths[1]), .date_format = "DD/MM/YYYY"};
    assert_int_equal(run("Junk,Start,Warrant\nx,31/01/2026,1\nx,1/2/2026,2\nx,2026-02-01,3\n", opt), VF_E_PARTIAL);
    assert_int_equal(report.added, 2);
    assert_int_equal(report.bad_rows, 1);
    assert_int_equal(told.n, 1);
    assert_memory_equal(told.text, "4:Start: ", 9);
    assert_string_equal(value("1", VF_FIELD_VALID_FROM), "2026-01-31");
    assert_string_equal(value("2", VF_FIELD_VALID_FROM), "2026-02-01");
    opt.date_format = "nonsense";
    assert_int_equal(run("Warrant\n1\n", opt), VF_E_USAGE);
    opt.date_format = NULL;
    assert_int_equal(run("Warrant,Unknown\n1,2\n", opt), VF_E_INPUT);
}

static void test_bad_rows(void **state)
{
    static const char csv[] = HEAD "1,Good,Constable,SECRETONE,,\n"
                                   "2,SECRETTWO,Archduke,X,,\n"
                                   "3,too,few\n"
                                   ",\"no \"\"number\"\"\",Constable,\"X,Y\",,\n"
                                   "5,Same,Constable,A,,\n"
                                   "6,Dates,Constable,D,2026-05-01,2026-04-30\n"
                                   "5,Same,Constable,B,,\n"
                                   "7,=SECRETSUM(),Constable,E,30.2.2026,\n"
                                   "8,Good,Sergeant,F,,\n";
    size_t len = 0;
    struct vf_import_options opt = {.rejects_path = place_path(&p, "rejects.csv", paths[1]),
                                    .refs_out_path = place_path(&p, "refs.csv", paths[2])};
    struct stat st;
    (void)state;

    assert_int_equal(run(csv, opt), VF_E_PARTIAL);
    assert_int_equal(report.rows, 9);
    assert_int_equal(report.added, 2);
    assert_int_equal(report.bad_rows, 7);
    assert_non_null(strstr(told.text, "3:rank: "));
    assert_non_null(strstr(told.text, "4:: 3 cells, but the header has 6\n"));
    assert_non_null(strstr(told.text, "5:warrant_no: "));
    assert_non_null(strstr(told.text, "6:warrant_no: row 8 has the same number\n"));
    assert_non_null(strstr(told.text, "7:valid_to: "));
    assert_non_null(strstr(told.text, "8:warrant_no: row 6 has the same number\n"));
    assert_non_null(strstr(told.text, "9:name_on_card: "));
    assert_non_null(strstr(told.text, "9:valid_from: "));
    assert_int_equal(told.n, 8);
    assert_null(strstr(told.text, "SECRET"));
    assert_null(strstr(told.text, "Archduke"));
    VF_FREE char *rejects = get_file(opt.rejects_path, &len);
    assert_string_equal(rejects, "\"warrant_no\",\"name_on_card\",\"rank\",\"surname\",\"valid_from\",\"valid_to\"\n"
                                 "\"2\",\"SECRETTWO\",\"Archduke\",\"X\",\"\",\"\"\n"
                                 "\"3\",\"too\",\"few\"\n"
                                 "\"\",\"no \"\"number\"\"\",\"Constable\",\"X,Y\",\"\",\"\"\n"
                                 "\"5\",\"Same\",\"Constable\",\"A\",\"\",\"\"\n"
                                 "\"6\",\"Dates\",\"Constable\",\"D\",\"2026-05-01\",\"2026-04-30\"\n"
                                 "\"5\",\"Same\",\"Constable\",\"B\",\"\",\"\"\n"
                                 "\"7\",\"=SECRETSUM()\",\"Constable\",\"E\",\"30.2.2026\",\"\"\n");
    assert_int_equal(stat(opt.rejects_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    VF_FREE char *refs = get_file(opt.refs_out_path, &len);
    char want[200];
    struct vf_ref one = ref_of(v, "1");
    struct vf_ref eight = ref_of(v, "8");
    (void)snprintf(want, sizeof(want), "row,ref,result\n2,%.8s,new\n10,%.8s,new\n", one.c, eight.c);
    assert_string_equal(refs, want);
    /* Never overwritten without being told to, and that is known before the work. */
    assert_int_equal(run(csv, opt), VF_E_EXISTS);
    opt.force = true;
    assert_int_equal(run("warrant_no\n1\n", opt), VF_OK);
    /* No bad rows, no rejects: those of before are still what they were. */
    VF_FREE char *again = get_file(opt.rejects_path, &len);
    assert_string_equal(again, rejects);
}

static void test_stored_and_given(void **state)
{
    (void)state;
    assert_int_equal(run(HEAD "1,A,Constable,A,2026-05-01,2027-05-01\n", (struct vf_import_options){0}), VF_OK);
    /* Against the stored valid_from. */
    assert_int_equal(run("warrant_no,valid_to\n1,2026-04-30\n", (struct vf_import_options){0}), VF_E_PARTIAL);
    assert_int_equal(report.bad_rows, 1);
    assert_string_equal(value("1", VF_FIELD_VALID_TO), "2027-05-01");
    assert_int_equal(run("warrant_no,valid_to\n1,2026-05-01\n", (struct vf_import_options){0}), VF_OK);
    assert_string_equal(value("1", VF_FIELD_VALID_TO), "2026-05-01");
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(run("surname\nX\n", (struct vf_import_options){0}), VF_E_INPUT);
    assert_int_equal(run("warrant_no,photo\n1,x\n", (struct vf_import_options){0}), VF_E_INPUT);
    assert_int_equal(run("warrant_no\n1\n", (struct vf_import_options){.photo_key = VF_FIELD_PHOTO}), VF_E_USAGE);
    assert_int_equal(run("warrant_no\n1\n", (struct vf_import_options){.photos_dir = "/no/such/folder"}), VF_E_NOT_FOUND);
    assert_int_equal(run("warrant_no\n1\n", (struct vf_import_options){.map_path = "/no/such/map"}), VF_E_NOT_FOUND);
    assert_int_equal(run("warrant_no\n\"1\n", (struct vf_import_options){0}), VF_E_INPUT);
    struct vf_import_options none = {.csv_path = "/no/such/csv"};
    assert_int_equal(vf_import(v, &none, &report, NULL), VF_E_NOT_FOUND);
    assert_int_equal(count_rows(v, VF_VT_RECORD), 0);
}

static void test_check_changes_nothing(void **state)
{
    size_t len = 0, after = 0;
    char path[400];
    (void)state;

    assert_int_equal(run(HEAD "1,A,Constable,A,,\n2,B,Constable,B,,\n", (struct vf_import_options){0}), VF_OK);
    close_vault(v);
    v = open_as(&p, VF_VAULT_READ, ALICE);
    VF_FREE char *before = get_file(place_path(&p, "vault/db/data.mdb", path), &len);
    struct vf_import_options opt = {
        .check = true, .rejects_path = place_path(&p, "r", paths[1]), .refs_out_path = place_path(&p, "refs", paths[2])};
    assert_int_equal(run(HEAD "1,A,Constable,A,,\n2,B,Sergeant,B,,\n3,C,Constable,C,,\n4,D,Nothing,D,,\n", opt),
                     VF_E_PARTIAL);
    assert_int_equal(report.added, 1);
    assert_int_equal(report.changed, 1);
    assert_int_equal(report.unchanged, 1);
    assert_int_equal(report.bad_rows, 1);
    VF_FREE char *now = get_file(path, &after);
    assert_int_equal(len, after);
    assert_memory_equal(before, now, len);
    VF_FREE char *refs = get_file(opt.refs_out_path, &len);
    assert_non_null(strstr(refs, "\n4,,new\n"));
    VF_FREE char *rejects = get_file(opt.rejects_path, &len);
    assert_non_null(strstr(rejects, "Nothing"));
    /* The real thing needs the right to write. */
    opt = (struct vf_import_options){0};
    assert_int_equal(run(HEAD "1,A,Constable,A,,\n", opt), VF_E_DENIED);
}

/* ------------------------------------------------------------------------------------------------------------------- photos */

static void test_photos(void **state)
{
    char path[400], other[400];
    struct vf_import_options opt = {.photos_dir = place_path(&p, "ph", paths[1])};
    static const char csv[] = "warrant_no,surname\n1,One\n2,Two\n3,Three\n4,Four\n5,Five\n6,Six\n7,Seven\n";
    (void)state;

    put_photo(&p, "ph/1.jpg", 1);
    put_photo(&p, "ph/2.JPEG", 2);
    put_photo(&p, "ph/3.jpg", 1); /* the same picture */
    put_photo(&p, "ph/4.jpg", 4);
    put_photo(&p, "ph/4.JPG", 5);
    put_photo(&p, "ph/nobody.jpg", 6);
    put_file(&p, "ph/5.jpg", "no picture", 10);
    put_file(&p, "ph/notes.txt", "x", 1);
    assert_int_equal(symlink(place_path(&p, "ph/1.jpg", path), place_path(&p, "ph/6.jpg", other)), 0);
    assert_int_equal(mkdir(place_path(&p, "ph/7.jpg", path), 0700), 0);
    assert_int_equal(run(csv, opt), VF_E_PARTIAL);
    assert_int_equal(report.added, 7);
    assert_int_equal(report.bad_rows, 0);
    assert_int_equal(report.bad_photos, 4);
    assert_int_equal(report.photos, 3);
    assert_int_equal(report.gps, 3);
    assert_int_equal(report.photos_missing, 4);
    assert_int_equal(report.photos_orphan, 1);
    assert_int_equal(report.photos_duplicate, 1);
    assert_non_null(strstr(told.text, "5:photo: two files are this row's"));
    assert_non_null(strstr(told.text, "6:photo: "));
    assert_non_null(strstr(told.text, "7:photo: the file is a symbolic link"));
    assert_non_null(strstr(told.text, "8:photo: not a regular file"));
    assert_non_null(strstr(told.text, "2:photo: the same picture as that of row 4 (warning)\n"));
    assert_non_null(strstr(told.text, "4:photo: the same picture as that of row 2 (warning)\n"));
    assert_non_null(strstr(told.text, "0:: 1 file in the folder of photos belongs to no row (warning)\n"));
    assert_null(strstr(told.text, "nobody"));
    assert_int_equal(state_of("1", VF_FIELD_PHOTO).generation, 1);
    assert_int_equal(state_of("5", VF_FIELD_PHOTO).generation, 0);

    /* Again: nothing changes. Then one picture is another one, and one that was refused is mended. */
    assert_int_equal(run(csv, opt), VF_E_PARTIAL);
    assert_int_equal(report.unchanged, 7);
    uint64_t rows = count_rows(v, VF_VT_VALUE);
    put_photo(&p, "ph/1.jpg", 10);
    put_photo(&p, "ph/5.jpg", 11);
    assert_int_equal(run(csv, opt), VF_E_PARTIAL);
    assert_int_equal(report.changed, 2);
    assert_int_equal(report.bad_photos, 3);
    assert_int_equal(state_of("1", VF_FIELD_PHOTO).generation, 2);
    assert_int_equal(state_of("5", VF_FIELD_PHOTO).generation, 1);
    assert_int_equal(count_rows(v, VF_VT_VALUE), rows + 1);
    /* A row without a picture this time keeps the one it has, and that is not missing. */
    assert_int_equal(unlink(place_path(&p, "ph/1.jpg", path)), 0);
    assert_int_equal(run("warrant_no,surname\n1,One\n8,Eight\n", opt), VF_OK);
    assert_int_equal(state_of("1", VF_FIELD_PHOTO).generation, 2);
    assert_int_equal(report.photos_missing, 1);
    assert_told("0:: 8 files in the folder of photos belong to no row (warning)\n3:photo: there is no photo of this row "
                "(warning)\n");
}

/* Pictures in a sandbox: the same is told. When the sandbox is gone that is no picture's fault: nothing is imported. */
static void test_sandbox(void **state)
{
    static const char csv[] = "warrant_no,surname\n1,One\n2,Two\n";
    struct vf_import_options opt = {.photos_dir = place_path(&p, "ph", paths[1])};
    VF_IMAGE_SANDBOX sandbox = NULL;
    pid_t lanes[3] = {0};
    (void)state;

    OK(vf_image_sandbox_start(2, &sandbox, why));
    vf_vault_sandbox(v, sandbox);
    put_photo(&p, "ph/1.jpg", 1);
    put_file(&p, "ph/2.jpg", "no picture", 10);
    assert_int_equal(run(csv, opt), VF_E_PARTIAL);
    assert_int_equal(report.bad_photos, 1);
    assert_int_equal(report.gps, 1);
    assert_int_equal(state_of("1", VF_FIELD_PHOTO).generation, 1);
    put_photo(&p, "ph/1.jpg", 2);
    put_photo(&p, "ph/2.jpg", 3);
    assert_int_equal(children(lanes, 3), 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(kill(lanes[i], SIGKILL), 0);
    assert_int_equal(run(csv, opt), VF_E_SYSTEM);
    assert_true(strstr(last_words, "ph/1.jpg: ") != NULL || strstr(last_words, "ph/2.jpg: ") != NULL);
    assert_int_equal(state_of("1", VF_FIELD_PHOTO).generation, 1);
    assert_int_equal(state_of("2", VF_FIELD_PHOTO).generation, 0);
    vf_vault_sandbox(v, NULL);
    assert_int_equal(run(csv, opt), VF_OK);
    assert_int_equal(report.changed, 2);
}

static void test_photo_key(void **state)
{
    struct vf_import_options opt = {.photos_dir = place_path(&p, "ph", paths[1]), .photo_key = VF_FIELD_SHOULDER_NO};
    (void)state;

    put_photo(&p, "ph/AB12.jpg", 1);
    assert_int_equal(run("warrant_no,shoulder_no\n1,AB12\n2,\n3,../ph/AB12\n", opt), VF_OK);
    assert_int_equal(report.photos, 1);
    assert_int_equal(state_of("1", VF_FIELD_PHOTO).generation, 1);
    assert_int_equal(state_of("3", VF_FIELD_PHOTO).generation, 0);
    /* The key is not in this file, but in the vault. */
    put_photo(&p, "ph/AB12.jpg", 2);
    assert_int_equal(run("warrant_no,surname\n1,One\n", opt), VF_OK);
    assert_int_equal(report.changed, 1);
    assert_int_equal(state_of("1", VF_FIELD_PHOTO).generation, 2);
    /* A bad row's picture is no orphan. */
    assert_int_equal(run("warrant_no,shoulder_no,rank\n1,AB12,Archduke\n", opt), VF_E_PARTIAL);
    assert_int_equal(report.photos_orphan, 0);
}

/* ---------------------------------------------------------------------------------------------------------------- snapshots */

static enum vf_status status(const char *number)
{
    struct vf_ref ref = ref_of(v, number);
    struct vf_head head;
    VF_VIEW view = NULL;

    OK(vf_view_open(v, &view, why));
    OK(vf_view_head(view, &ref, &head, why));
    return head.status;
}

static void test_snapshot(void **state)
{
    struct vf_import_options all = {.full_snapshot = true};
    (void)state;

    assert_int_equal(run("warrant_no\n1\n2\n3\n4\n", all), VF_OK);
    assert_int_equal(run("warrant_no\n1\n2\n", (struct vf_import_options){0}), VF_OK);
    assert_int_equal(report.leavers, 0);
    assert_int_equal(run("warrant_no\n1\n", all), VF_E_REFUSED);
    assert_int_equal(status("4"), VF_STATUS_ACTIVE);
    assert_int_equal(run("warrant_no\n1\n2\n5\n", all), VF_OK); /* exactly half */
    assert_int_equal(report.leavers, 2);
    assert_int_equal(report.added, 1);
    assert_int_equal(status("3"), VF_STATUS_LEAVER);
    assert_string_equal(value("3", VF_FIELD_STATUS), "LEAVER");
    assert_int_equal(status("1"), VF_STATUS_ACTIVE);
    assert_int_equal(run("warrant_no\n1\n2\n5\n", all), VF_OK);
    assert_int_equal(report.leavers, 0);
    /* Back again, unless the file says something else. */
    assert_int_equal(run("warrant_no\n1\n2\n3\n5\n", all), VF_OK);
    assert_int_equal(report.changed, 1);
    assert_int_equal(status("3"), VF_STATUS_ACTIVE);
    assert_int_equal(run("warrant_no,status\n1,\n2,\n3,LEAVER\n4,LEAVER\n5,ACTIVE\n", all), VF_OK);
    assert_int_equal(status("3"), VF_STATUS_LEAVER);
    assert_int_equal(status("4"), VF_STATUS_LEAVER);
    /* A bad row's officer has not left; a row without a name could be anybody's. */
    assert_int_equal(run("warrant_no,rank\n1,\n2,Archduke\n5,\n", all), VF_E_PARTIAL);
    assert_int_equal(report.leavers, 0);
    assert_int_equal(run("warrant_no,rank\n1,\n2,\n,Constable\n", all), VF_E_PARTIAL);
    assert_int_equal(report.leavers, 0);
    assert_non_null(strstr(told.text, "4:: no leavers are marked, because this row does not tell whose it is (warning)\n"));
    assert_int_equal(status("5"), VF_STATUS_ACTIVE);
    all.check = true;
    assert_int_equal(run("warrant_no\n1\n2\n", all), VF_OK);
    assert_int_equal(report.leavers, 1);
    assert_int_equal(status("5"), VF_STATUS_ACTIVE);
    all.check = false;
    all.force = true;
    assert_int_equal(run("warrant_no\n9\n", all), VF_OK);
    assert_int_equal(report.leavers, 3);
    assert_int_equal(count_rows(v, VF_VT_RECORD), 6); /* nobody is erased */
}

/* ------------------------------------------------------------------------------------------------------- many rows, the log */

static bool is_staging(void)
{
    VF_TXN txn = NULL;
    struct vf_slice mark;

    OK(vf_txn_read(v->store, &txn, why));
    return vf_meta_get(txn, VF_META_STAGING, &mark);
}

static void test_many(void **state)
{
    struct vf_buf csv;
    (void)state;

    vf_buf_init(&csv, 1 << 20);
    vf_buf_text(&csv, "warrant_no,surname,unit_code\n");
    for (unsigned i = 0; i < 400; i++)
        vf_buf_fmt(&csv, "%u,Name %u,U%u\n", 1000 + i, i, i % 7);
    size_t old = vf_import_stage_max(100000);
    assert_int_equal(run(vf_buf_cstr(&csv), (struct vf_import_options){0}), VF_OK);
    assert_int_equal(report.added, 400);
    assert_int_equal(count_rows(v, VF_VT_RECORD), 400);
    assert_int_equal(count_rows(v, VF_VT_VALUE), 400 * 27);
    assert_false(is_staging()); /* in an empty vault nothing is left to be swept, so nobody does */
    assert_int_equal(run(vf_buf_cstr(&csv), (struct vf_import_options){0}), VF_OK);
    assert_int_equal(report.unchanged, 400);
    (void)vf_import_stage_max(old);
    for (unsigned i = 0; i < 400; i += 57) {
        char number[20], want[20];
        (void)snprintf(number, sizeof(number), "%u", 1000 + i);
        (void)snprintf(want, sizeof(want), "Name %u", i);
        assert_string_equal(value(number, VF_FIELD_SURNAME), want);
    }
    vf_buf_done(&csv);
}

static enum vf_err find_import(void *user, const struct vf_entry_view *entry, bool sealed, struct vf_why *out)
{
    char *object = user;

    (void)sealed;
    (void)out;
    assert_null(memmem(entry->line, entry->line_len, "SECRET", 6));
    assert_null(memmem(entry->line, entry->line_len, "in.csv", 6));
    if (entry->event == VF_EVENT_IMPORT) {
        assert_int_equal(entry->count, 2);
        (void)snprintf(object, 300, "%.*s", (int)entry->object.len, entry->object.p);
    }
    return VF_OK;
}

static void test_log(void **state)
{
    static const char csv[] = "warrant_no,surname\n1,SECRETONE\n2,SECRETTWO\n2,X\n3,Y\n";
    struct vf_verify_options opt = {.each = find_import};
    struct vf_verdict *verdict = calloc(1, sizeof(*verdict));
    char object[300] = "", want[300], hex[65], path[400];
    struct vf_hash hash;
    (void)state;

    assert_int_equal(run(csv, (struct vf_import_options){0}), VF_E_PARTIAL);
    close_vault(v);
    opt.user = object;
    OK(vf_log_verify(place_path(&p, "vault/log", path), &opt, verdict, why));
    assert_true(verdict->good);
    vf_sha256(csv, strlen(csv), &hash);
    vf_hex(hash.b, VF_HASH_LEN, hex);
    (void)snprintf(want, sizeof(want), "sha256:%s rows 4 new 2 changed 0 unchanged 0 leavers 0 bad 2", hex);
    assert_string_equal(object, want);
    free(verdict);
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_upsert),           T(test_map_and_dates), T(test_bad_rows),
        T(test_stored_and_given), T(test_refused),       T(test_check_changes_nothing),
        T(test_photos),           T(test_photo_key),     T(test_snapshot),
        T(test_sandbox),          T(test_many),          T(test_log),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
