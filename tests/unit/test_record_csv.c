/* SPDX-License-Identifier: MIT */
#include "vaultfs/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"
#include "faults.h"

/* What the callbacks were given, as one text: "H surname=surname,Dept=-;2[a][b];3[c];" */
struct heard {
    struct vf_buf text;
    unsigned rows;
    unsigned fail_at; /* nth row; 0: never */
    bool quiet;
};

static enum vf_err hear_header(void *user, const struct vf_csv_header *h, struct vf_why *why)
{
    struct heard *heard = user;

    (void)why;
    vf_buf_text(&heard->text, "H");
    for (size_t i = 0; i < h->ncolumns; i++) {
        const struct vf_field_info *info = vf_field_info(h->fields[i]);
        vf_buf_fmt(&heard->text, "%s%s=%s", i > 0 ? "," : " ", h->columns[i], info != NULL ? info->name : "-");
    }
    vf_buf_text(&heard->text, ";");
    return VF_OK;
}

static enum vf_err hear_row(void *user, const struct vf_csv_row *row, struct vf_why *why)
{
    struct heard *heard = user;

    heard->rows++;
    if (heard->rows == heard->fail_at)
        return vf_fail(why, VF_E_DISK_FULL, "stop here");
    for (size_t i = 0; i < row->ncells; i++)
        assert_int_equal(row->cells[i].text[row->cells[i].len], '\0');
    if (heard->quiet)
        return VF_OK;
    vf_buf_fmt(&heard->text, "%u", row->row);
    for (size_t i = 0; i < row->ncells; i++) {
        vf_buf_text(&heard->text, "[");
        vf_buf_put(&heard->text, row->cells[i].text, row->cells[i].len);
        vf_buf_text(&heard->text, "]");
    }
    vf_buf_text(&heard->text, ";");
    return VF_OK;
}

static enum vf_err parse(const char *data, size_t len, const struct vf_csv_map *map, struct heard *heard, struct vf_why *why)
{
    const struct vf_csv_sink sink = {.user = heard, .on_header = hear_header, .on_row = hear_row};
    char *exact = malloc(len > 0 ? len : 1); /* so that a sanitizer sees a read beyond the end */

    assert_non_null(exact);
    if (len > 0)
        memcpy(exact, data, len);
    enum vf_err err = vf_csv_parse(exact, len, "hr.csv", map, &sink, why);
    free(exact);
    return err;
}

static void gives_n(const char *data, size_t len, const struct vf_csv_map *map, const char *expected)
{
    struct heard heard = {0};
    struct vf_why why = {0};

    vf_buf_init(&heard.text, 1 << 20);
    enum vf_err err = parse(data, len, map, &heard, &why);
    if (err != VF_OK)
        print_message("%s\n", why.text);
    assert_int_equal(err, VF_OK);
    assert_string_equal(vf_buf_cstr(&heard.text), expected);
    vf_buf_done(&heard.text);
}

static void gives(const char *data, const char *expected)
{
    gives_n(data, strlen(data), NULL, expected);
}

static void refused_n(const char *data, size_t len, enum vf_err err, const char *reason)
{
    struct heard heard = {0};
    struct vf_why why = {0};

    vf_buf_init(&heard.text, 1 << 20);
    assert_int_equal(parse(data, len, NULL, &heard, &why), err);
    assert_string_equal(why.text, reason);
    vf_buf_done(&heard.text);
}

static void refused(const char *data, const char *reason)
{
    refused_n(data, strlen(data), VF_E_INPUT, reason);
}

static void test_good(void **state)
{
    (void)state;
    gives("warrant_no,rank\n1,Constable\n", "H warrant_no=warrant_no,rank=rank;2[1][Constable];");
    gives("warrant_no,rank\r\n1,Constable\r\n", "H warrant_no=warrant_no,rank=rank;2[1][Constable];");
    gives("warrant_no\r1\r2", "H warrant_no=warrant_no;2[1];3[2];");
    gives("\xef\xbb\xbfwarrant_no\n1", "H warrant_no=warrant_no;2[1];");
    gives("rank,warrant_no\n,1", "H rank=rank,warrant_no=warrant_no;2[][1];");
    gives("warrant_no", "H warrant_no=warrant_no;");
    gives("\"warrant_no\" , \"rank\"\n\"1\",\"a\"\"b,c\"\n", "H warrant_no=warrant_no,rank=rank;2[1][a\"b,c];");
    /* Spaces around count only within quotes. */
    gives("warrant_no,rank\n  1 , \" a \" \n", "H warrant_no=warrant_no,rank=rank;2[1][ a ];");
    gives("warrant_no,rank\n1,\ta\t\n", "H warrant_no=warrant_no,rank=rank;2[1][\ta\t];");
    /* Rows of the wrong length are for the caller to judge. */
    gives("warrant_no,rank\n1\n1,2,3\n", "H warrant_no=warrant_no,rank=rank;2[1];3[1][2][3];");
}

static void test_row_numbers(void **state)
{
    (void)state;
    /* As a spreadsheet counts: blank lines count, a cell of two lines is one row. */
    gives("warrant_no,rank\n\n1,a\n\n\n2,b\n", "H warrant_no=warrant_no,rank=rank;3[1][a];6[2][b];");
    gives("warrant_no,rank\r\n\r\n1,a\r\n\r\n\r\n2,b\r\n", "H warrant_no=warrant_no,rank=rank;3[1][a];6[2][b];");
    gives("warrant_no,rank\r\r1,a\r\r\r2,b\r", "H warrant_no=warrant_no,rank=rank;3[1][a];6[2][b];");
    gives("warrant_no,rank\n1,\"a\nb\r\nc\"\n2,d\n", "H warrant_no=warrant_no,rank=rank;2[1][a\nb\r\nc];3[2][d];");
    /* Rows of nothing but commas are what spreadsheets write below a table. */
    gives("warrant_no,rank\n1,a\n,\n\"\",\n  ,  \n2,b\n,,,,\n", "H warrant_no=warrant_no,rank=rank;2[1][a];6[2][b];");
    gives("\n\r\n ,,\nwarrant_no\n1\n", "H warrant_no=warrant_no;5[1];");
}

static void test_header(void **state)
{
    (void)state;
    refused("", "hr.csv: no header line");
    refused("\n\n ,\n", "hr.csv: no header line");
    refused("warrant_no,Dept\n", "hr.csv: 1:2: no field is called \"Dept\"; name its field, or ignore, in a map (--map)");
    refused("\n\nwarrant_no,Dept\n",
            "hr.csv: 3:2: no field is called \"Dept\"; name its field, or ignore, in a map (--map)");
    refused("warrant_no,Rank\n", "hr.csv: 1:2: no field is called \"Rank\"; name its field, or ignore, in a map (--map)");
    refused("warrant_no,\n", "hr.csv: 1:2: a column without a name; a line \" = ignore\" in the map passes over it");
    refused("warrant_no,rank,warrant_no\n", "hr.csv: 1:3: warrant_no is column 1 already");
    refused("warrant_no,photo\n", "hr.csv: 1:2: photo comes from files, not from a column");
    refused("warrant_no,a\x1b[2Jb\n", "hr.csv: 1:2: a column's name that is too long or not printable UTF-8");
    refused("warrant_no,Gr\xf6\xdf"
            "e\n",
            "hr.csv: 1:2: a column's name that is too long or not printable UTF-8");
    refused("warrant_no,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
            "hr.csv: 1:2: a column's name that is too long or not printable UTF-8");
    refused("warrant_no;rank\n1;a\n",
            "hr.csv: 1:1: the cells are not separated by commas: export it again as \"CSV UTF-8\"");
    refused("warrant_no\trank\n", "hr.csv: 1:1: the cells are not separated by commas: export it again as \"CSV UTF-8\"");
    /* Perhaps a record, not a header: nothing of it is shown. */
    refused("184302,Smith\n",
            "hr.csv: 1:1: no column has the name of a field: if this row names the columns, name their fields "
            "in a map (--map); if it does not, put one above it that does");
}

static void test_workbooks(void **state)
{
    (void)state;
    refused("PK\003\004 and the rest of a zip file", "hr.csv: is a workbook: save its sheet as \"CSV UTF-8\"");
    refused("\xd0\xcf\x11\xe0 and the rest of an older one", "hr.csv: is a workbook: save its sheet as \"CSV UTF-8\"");
}

static void test_not_csv(void **state)
{
    static const char quote[] =
        ": a quote where none may be, or one missing: nothing behind it can be told apart; quotes in a cell "
        "are doubled";
    char reason[256];

    (void)state;
    refused_n("\xff\xfew\0a\0", 6, VF_E_INPUT, "hr.csv: is UTF-16: export it again as \"CSV UTF-8\"");
    refused_n("\xfe\xff\0w\0a", 6, VF_E_INPUT, "hr.csv: is UTF-16: export it again as \"CSV UTF-8\"");
    refused_n("warrant_no\n1\0\n", 14, VF_E_INPUT, "hr.csv: a NUL byte at 12: not a text file");
    static const char *const bad[][2] = {
        {"warrant_no,rank\n1,a\"b\n2,c\n", "hr.csv: 2:2"}, {"warrant_no,rank\n1,\"a\"b\n", "hr.csv: 2:2"},
        {"warrant_no,rank\n1,a\n\"2,c\n", "hr.csv: 3:1"},  {"warrant_no,rank\n1,a\n2,\"c", "hr.csv: 3:2"},
        {"\"warrant_no,rank\n1,a\n", "hr.csv: 1:1"},       {"warrant_no\n\n\"1\n2\n\"\"\n", "hr.csv: 3:1"},
        {"warrant_no\n1\n\"2\" \"", "hr.csv: 3:1"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(reason, sizeof(reason), "%s%s", bad[i][1], quote);
        refused(bad[i][0], reason);
    }
}

static void test_limits(void **state)
{
    static const char head[] = "warrant_no\n";
    const size_t head_len = sizeof(head) - 1;
    size_t size = VF_CSV_BYTES_MAX + 1;
    char *big = malloc(size);
    struct heard heard = {.quiet = true};

    (void)state;
    assert_non_null(big);
    memset(big, '\n', size);
    memcpy(big, head, head_len);
    refused_n(big, size, VF_E_LIMIT, "hr.csv: over 64 MiB: import it in parts");

    /* 200,000 rows and one more. */
    for (size_t i = 0; i < VF_CSV_ROWS_MAX + 1; i++)
        memcpy(big + head_len + 2 * i, "7\n", 2);
    vf_buf_init(&heard.text, 1000);
    assert_int_equal(parse(big, head_len + 2 * VF_CSV_ROWS_MAX, NULL, &heard, NULL), VF_OK);
    assert_int_equal(heard.rows, VF_CSV_ROWS_MAX);
    vf_buf_done(&heard.text);
    refused_n(big, head_len + 2 * VF_CSV_ROWS_MAX + 1, VF_E_LIMIT, "hr.csv: over 200000 rows: import it in parts");

    /* Cells in a row, bytes in a cell: a quote that is never closed swallows the file. */
    memset(big + head_len, ',', 2000);
    refused_n(big, head_len + 1024, VF_E_INPUT, "hr.csv: 2:1025: over 1024 cells in a row");
    memset(big + head_len, 'x', 70000);
    refused_n(big, head_len + 65537, VF_E_INPUT, "hr.csv: 2:1: a cell of over 65536 bytes: is a closing quote missing?");
    heard = (struct heard){.quiet = true};
    vf_buf_init(&heard.text, 1000);
    assert_int_equal(parse(big, head_len + 65536, NULL, &heard, NULL), VF_OK);
    vf_buf_done(&heard.text);
    free(big);
}

static void test_callback_stops(void **state)
{
    struct heard heard = {.fail_at = 2};
    struct vf_why why = {0};
    static const char text[] = "warrant_no\n1\n2\n3\n4\n";

    (void)state;
    vf_buf_init(&heard.text, 1000);
    assert_int_equal(parse(text, sizeof(text) - 1, NULL, &heard, &why), VF_E_DISK_FULL);
    assert_string_equal(why.text, "stop here");
    assert_string_equal(vf_buf_cstr(&heard.text), "H warrant_no=warrant_no;2[1];");
    assert_int_equal(heard.rows, 2);
    vf_buf_done(&heard.text);
}

/* Cells that lie across the chunks in which libcsv is fed. */
static void test_chunks(void **state)
{
    struct heard heard = {0};
    VF_BUF csv;
    VF_BUF expected;

    (void)state;
    vf_buf_init(&csv, 1 << 22);
    vf_buf_init(&expected, 1 << 22);
    vf_buf_init(&heard.text, 1 << 22);
    vf_buf_text(&csv, "warrant_no,rank\r\n");
    vf_buf_text(&expected, "H warrant_no=warrant_no,rank=rank;");
    for (unsigned i = 0; i < 20000; i++) {
        vf_buf_fmt(&csv, "%u,\"r\"\"%u\r\n\"\r\n%s", i, i * 7, i % 5 == 0 ? "\r\n" : "");
        vf_buf_fmt(&expected, "%u[%u][r\"%u\r\n];", 2 + i + (i + 4) / 5, i, i * 7);
    }
    assert_true(vf_buf_ok(&csv));
    assert_int_equal(parse((const char *)csv.data, csv.len, NULL, &heard, NULL), VF_OK);
    assert_string_equal(vf_buf_cstr(&heard.text), vf_buf_cstr(&expected));
    vf_buf_done(&heard.text);
}

static void test_quote(void **state)
{
    static const char *const cells[][2] = {
        {"", "\"\""}, {"a", "\"a\""}, {"\"", "\"\"\"\""}, {"a\"b\"\"c", "\"a\"\"b\"\"\"\"c\""}, {"a,\r\nb", "\"a,\r\nb\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        VF_BUF out;
        vf_buf_init(&out, 1000);
        vf_csv_quote(&out, cells[i][0], strlen(cells[i][0]));
        assert_string_equal(vf_buf_cstr(&out), cells[i][1]);
        assert_int_equal(vf_csv_quoted_len(cells[i][0], strlen(cells[i][0])), out.len);
        /* and libcsv reads it back */
        VF_BUF csv;
        VF_BUF expected;
        vf_buf_init(&csv, 1000);
        vf_buf_init(&expected, 1000);
        vf_buf_fmt(&csv, "warrant_no,rank\n1,%s\n", vf_buf_cstr(&out));
        vf_buf_fmt(&expected, "H warrant_no=warrant_no,rank=rank;2[1][%s];", cells[i][0]);
        gives(vf_buf_cstr(&csv), vf_buf_cstr(&expected));
    }
}

/* ------------------------------------------------------------------------------------------------------------------- map */

static struct vf_csv_map *map_of(const char *text)
{
    struct vf_csv_map *map = NULL;
    struct vf_why why = {0};
    enum vf_err err = vf_csv_map_parse(text, strlen(text), "hr.map", &map, &why);

    if (err != VF_OK)
        print_message("%s\n", why.text);
    assert_int_equal(err, VF_OK);
    return map;
}

static void test_map(void **state)
{
    static const char text[] = "\xef\xbb\xbf# HR names\r\n"
                               "\r\n"
                               "Warrant # = warrant_no\r\n"
                               "  Last name\t=\tsurname   # legal name = as in the contract\n"
                               "Rate (a=b) = grade\n"
                               "Dept=ignore\n"
                               "rank = ignore\n"
                               " = ignore\n"
                               "\"Pay\" = pay_no";
    static const char csv[] = "Warrant #,Last name,Rate (a=b),Dept,rank,,\"\"\"Pay\"\"\",title,Dept\n1,b,c,d,e,f,g,h,i\n";
    struct vf_csv_map *map = map_of(text);

    (void)state;
    gives_n(csv, sizeof(csv) - 1, map,
            "H Warrant #=warrant_no,Last name=surname,Rate (a=b)=grade,Dept=-,rank=-,=-,\"Pay\"=pay_no,title=title,Dept=-;"
            "2[1][b][c][d][e][f][g][h][i];");

    /* Two columns for one field: known when the header is read. */
    struct heard heard = {0};
    struct vf_why why = {0};
    vf_buf_init(&heard.text, 1000);
    assert_int_equal(parse("Last name,surname\n", 18, map, &heard, &why), VF_E_INPUT);
    assert_string_equal(why.text, "hr.csv: 1:2: surname is column 1 already");
    vf_buf_done(&heard.text);
    vf_csv_map_free(map);
    vf_csv_map_free(NULL);

    map = map_of("");
    gives_n("warrant_no\n1", 12, map, "H warrant_no=warrant_no;2[1];");
    vf_csv_map_free(map);
}

static void test_map_refused(void **state)
{
    static const char *const bad[][2] = {
        {"a = rank\nb\n", "hr.map: line 2: not `column = field` nor `column = ignore`"},
        {"a = \n", "hr.map: line 1: not `column = field` nor `column = ignore`"},
        {"a = # rank\n", "hr.map: line 1: not `column = field` nor `column = ignore`"},
        {"a = two words\n", "hr.map: line 1: not `column = field` nor `column = ignore`"},
        {"a = Rank\n", "hr.map: line 1: not `column = field` nor `column = ignore`"},
        {"a = ranks\n", "hr.map: line 1: no field is called \"ranks\""},
        {"a = ignored\n", "hr.map: line 1: no field is called \"ignored\""},
        {"a = photo\n", "hr.map: line 1: photo comes from files, not from a column"},
        {"a = rank\n\n# x\na = ignore\n", "hr.map: line 4: this column is there already"},
        {" = rank\n", "hr.map: line 1: a column without a name can only be ignored"},
        {"a\x1b = rank\n", "hr.map: line 1: a column's name that is not printable UTF-8"},
        {"\xff = rank\n", "hr.map: line 1: a column's name that is not printable UTF-8"},
    };
    struct vf_csv_map *map = NULL;
    struct vf_why why = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(vf_csv_map_parse(bad[i][0], strlen(bad[i][0]), "hr.map", &map, &why), VF_E_INPUT);
        assert_string_equal(why.text, bad[i][1]);
        assert_null(map);
    }
    assert_int_equal(vf_csv_map_parse("a\0b = rank", 10, "hr.map", &map, &why), VF_E_INPUT);
    assert_string_equal(why.text, "hr.map: line 1: a column's name that is not printable UTF-8");

    size_t size = 300 * 1024;
    char *big = malloc(size);
    assert_non_null(big);
    memset(big, 'a', size);
    assert_int_equal(vf_csv_map_parse(big, size, "hr.map", &map, &why), VF_E_INPUT);
    assert_string_equal(why.text, "hr.map: a map of over 262144 bytes");
    memcpy(big + 257, "=rank", 5);
    assert_int_equal(vf_csv_map_parse(big, 262, "hr.map", &map, &why), VF_E_INPUT);
    assert_string_equal(why.text, "hr.map: line 1: a column's name of over 256 bytes");
    for (unsigned i = 0; i < 1025; i++)
        (void)snprintf(big + (size_t)i * 16, 17, "col%05u = rank\n", i);
    assert_int_equal(vf_csv_map_parse(big, 1025 * 16, "hr.map", &map, &why), VF_E_INPUT);
    assert_string_equal(why.text, "hr.map: line 1025: more than 1024 columns");
    assert_int_equal(vf_csv_map_parse(big, 1024 * 16, "hr.map", &map, &why), VF_OK);
    vf_csv_map_free(map);
    free(big);
}

/* Every byte changed and every cut: a good answer, or one line that names the place. */
static void test_mutations(void **state)
{
    static const char seed[] = "\xef\xbb\xbfwarrant_no,rank\r\n\"1\",a\"\"\r\n\r\n2,\"b\nc\"\n3,d,e\n";
    const size_t len = sizeof(seed) - 1;

    (void)state;
    for (size_t at = 0; at <= len; at++) {
        for (unsigned to = 0; to < 257; to++) {
            char text[sizeof(seed)];
            struct heard heard = {0};
            struct vf_why why = {0};
            if (to == 0 && at == len)
                continue;
            memcpy(text, seed, len);
            size_t n = to == 256 ? at : len;
            if (to < 256 && at < len)
                text[at] = (char)to;
            vf_buf_init(&heard.text, 1 << 16);
            enum vf_err err = parse(text, n, NULL, &heard, &why);
            assert_true(err == VF_OK || err == VF_E_INPUT);
            if (err != VF_OK) {
                assert_memory_equal(why.text, "hr.csv: ", 8);
                assert_true(vf_text_printable(why.text, strlen(why.text)));
            }
            vf_buf_done(&heard.text);
        }
    }
}

static void test_no_memory(void **state)
{
    static const char csv[] = "col,warrant_no\n1,2\n";
    static const char text[] = "col = rank\n";

    (void)state;
    for (unsigned n = 1;; n++) {
        struct heard heard = {.quiet = true};
        struct vf_csv_map *map = NULL;
        const struct vf_csv_sink sink = {.user = &heard, .on_header = hear_header, .on_row = hear_row};
        vf_buf_init(&heard.text, 1000);
        vf_buf_reserve(&heard.text, 500);
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_csv_map_parse(text, sizeof(text) - 1, "hr.map", &map, NULL);
        if (err == VF_OK)
            err = vf_csv_parse(csv, sizeof(csv) - 1, "hr.csv", map, &sink, NULL);
        bool met = faults_disarm();
        vf_csv_map_free(map);
        vf_buf_done(&heard.text);
        if (!met) {
            assert_int_equal(err, VF_OK);
            assert_true(n > 4);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),           cmocka_unit_test(test_row_numbers),
        cmocka_unit_test(test_header),         cmocka_unit_test(test_workbooks),
        cmocka_unit_test(test_not_csv),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_callback_stops), cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_quote),          cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_refused),    cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
