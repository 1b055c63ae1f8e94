/* SPDX-License-Identifier: MIT */
/* The report: several copies of one log, forged, damaged or gone apart. Which one counts, and that none hides what another tells. */
#include "report_html_test.h"

static void hand_in(const struct audit_place *p, const char *name, char path[400])
{
    uint64_t entries;

    audit_path(path, p->dir.path, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    OK(vf_handin_write(p->log, fd, &entries, WHY));
    assert_int_equal(close(fd), 0);
}

static void test_copies(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    char first[400], second[400];

    (void)state;
    put_open(log, &(struct open_one){MONDAY + 9 * HOUR, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO});
    audit_seal(log);
    hand_in(&p, "first.log", first);
    put_open(log, &(struct open_one){MONDAY + 10 * HOUR, "/usr/bin/cat", 1000, 2, VF_FIELD_PHOTO});
    audit_close(log);
    hand_in(&p, "second.log", second);
    const char *const paths[] = {first, p.log, second, p.log};
    struct vf_report *r = report_of(paths, 4);
    assert_int_equal(r->f.all.opens[1], 2);
    assert_int_equal(r->f.refs.n, 2);
    assert_int_equal(r->f.log[0].same_as, 1); /* in place, and as long as the second copy */
    assert_int_equal(r->f.log[1].same_as, SIZE_MAX);
    assert_int_equal(r->f.log[2].same_as, 1);
    assert_int_equal(r->f.log[3].same_as, 1);
    assert_int_equal(vf_report_verdict(r, NULL), VF_OK);
    VF_BUF words;
    bool good;
    vf_buf_init(&words, 4096);
    vf_report_headline(r, &words, &good);
    assert_string_equal(vf_buf_cstr(&words), "The log of the station press-1 is whole until 9 Nov 2026 at 10:00 UTC.");
    vf_report_free(r);
    audit_place_done(&p);
}

static void test_damage(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    char path[400];
    const char *logs = p.log;
    size_t len;

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        put_open(log, &(struct open_one){MONDAY + 9 * HOUR + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    audit_path(path, p.log, "entries-00000000000000000000.jsonl");
    char *text = audit_read(path, &len);
    char *uid = strstr(text, "\"uid\":1000");
    assert_non_null(uid);
    uid[6] = '9';
    audit_write(path, text, len);
    free(text);
    struct vf_report *r = report_of(&logs, 1);
    struct vf_why why = {0};
    assert_int_equal(vf_report_verdict(r, &why), VF_E_FORGED);
    json_t *d = document(&p, r);
    assert_true(json_is_false(json_object_get(d, "good")));
    assert_non_null(strstr(string(d, "headline"), "was damaged or changed: "));
    assert_int_equal(number(json_object_get(d, "total"), "unproven"), 5);
    json_decref(d);
    char *html = written(&p, r, true, &len);
    assert_non_null(strstr(html, "<section class=\"verdict bad\"><h2>"));
    free(html);
    vf_report_free(r);

    const struct vf_report_options nowhere = {.logs = (const char *const[]){"/nowhere/at/all"}, .nlogs = 1};
    assert_int_equal(vf_report_make(&nowhere, &r, NULL), VF_E_NOT_FOUND);
    const struct vf_report_options no_vault = {.vault = "/nowhere/at/all"};
    assert_int_equal(vf_report_make(&no_vault, &r, NULL), VF_E_NOT_FOUND);
    audit_place_done(&p);
}

/* A second place with the same log and the same seal: a computer that was copied. */
static struct audit_place clone_of(const struct audit_place *p, const char *name)
{
    struct audit_place q = *p;
    size_t len;

    (void)snprintf(q.log, sizeof(q.log), "%.200s/%.30s-log", p->dir.path, name);
    (void)snprintf(q.seal, sizeof(q.seal), "%.200s/%.30s-seal", p->dir.path, name);
    audit_copy_tree(p->log, q.log);
    char *slots = audit_read(p->seal, &len);
    audit_write(q.seal, slots, len);
    free(slots);
    return q;
}

/* Its last checkpoint once more, with a size that it never had; all of its entries but the first gone. */
static void forge(const struct audit_place *p)
{
    char path[400];
    size_t len;

    audit_path(path, p->log, "checkpoints");
    char *text = audit_read(path, &len);
    char *longer = malloc(2 * len + 16);
    assert_non_null(longer);
    const char *end = strchr(text, '\n'); /* origin, size, root … */
    const char *root = strchr(end + 1, '\n');
    int n = snprintf(longer, 2 * len + 16, "%s%.*s\n987654%s", text, (int)(end - text), text, root);
    audit_write(path, longer, (size_t)n);
    free(longer);
    free(text);
    audit_path(path, p->log, "entries-00000000000000000000.jsonl");
    text = audit_read(path, &len);
    audit_write(path, text, (size_t)(strchr(text, '\n') + 1 - text));
    free(text);
}

/* A folder that somebody made, beside the genuine log: that one counts, wherever it was named. */
static void test_forged_beside(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);

    (void)state;
    for (uint32_t i = 1; i <= 3; i++)
        put_open(log, &(struct open_one){MONDAY + 9 * HOUR + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    struct audit_place q = clone_of(&p, "forged");
    forge(&q);
    for (int turn = 0; turn < 2; turn++) {
        const char *const paths[] = {turn == 0 ? p.log : q.log, turn == 0 ? q.log : p.log};
        struct vf_report *r = report_of(paths, 2);
        assert_int_equal(r->f.all.opens[1], 3);
        assert_int_equal(r->f.refs.n, 3);
        assert_int_equal(r->f.log[turn].same_as, SIZE_MAX);
        assert_true(r->f.log[turn].verdict->good);
        assert_int_equal(r->f.log[1 - turn].same_as, turn);
        assert_int_equal(r->f.log[1 - turn].only, 0);
        assert_int_equal(vf_report_verdict(r, NULL), VF_E_FORGED);
        json_t *d = document(&p, r);
        assert_non_null(strstr(string(d, "more"), "that is the one that this page shows"));
        assert_null(strstr(string(d, "more"), "come from a log that is not good"));
        json_decref(d);
        vf_report_free(r);
    }
    audit_place_done(&p);
}

/* One computer became two, and both went on: what either tells was read, and neither is good. */
static void check_fork(const struct audit_place *p, const char *const *paths, size_t n, bool sealed)
{
    struct vf_report *r = report_of(paths, n);
    json_t *d = document(p, r);
    size_t len;

    assert_int_equal(number(json_object_get(d, "total"), "reads"), 5);
    assert_int_equal(size(d, "records"), 5);
    assert_true(json_is_false(json_object_get(record(d, 1), "log_not_good")));
    assert_true(json_is_true(json_object_get(record(d, 3), "log_not_good"))); /* the shorter one alone */
    assert_true(json_is_false(json_object_get(record(d, 4), "log_not_good")));
    assert_non_null(strstr(notice(d, "other-copy"),
                           "2 reads stand only in another copy of the log of the station press-1, one that is not good"));
    assert_true(json_is_false(json_object_get(d, "good")));
    assert_non_null(strstr(string(d, "more"), sealed ? "5 of the reads told below come from a log that is not good"
                                                     : "2 of the reads told below come from a log that is not good"));
    assert_int_equal(vf_report_verdict(r, NULL), VF_E_FORGED);
    json_decref(d);
    char *html = written(p, r, true, &len);
    assert_int_equal(occurrences(html, " (a log that is not good)"), 2);
    assert_null(strstr(html, "None of this is a wrong by itself"));
    assert_non_null(strstr(html, "What is called serious does not happen on a computer that is in order"));
    free(html);
    vf_report_free(r);
}

static void test_fork(void **state)
{
    for (int turn = 0; turn < 2; turn++) {
        struct audit_place p;
        struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
        int64_t at = MONDAY + 9 * HOUR;

        (void)state;
        put_open(log, &(struct open_one){at, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO});
        audit_close(log);
        struct audit_place q = clone_of(&p, "clone");
        char copy[400];
        log = audit_open(&q, &batch);
        put_open(log, &(struct open_one){at + 1, "/usr/bin/cat", 1000, 2, VF_FIELD_PHOTO});
        put_open(log, &(struct open_one){at + 2, "/usr/bin/cat", 1000, 3, VF_FIELD_PHOTO});
        audit_close(log);
        hand_in(&q, "clone.log", copy);
        if (turn == 1) { /* as if it had been killed before it sealed */
            char from[400], to[400];
            size_t len;
            audit_path(from, p.log, "checkpoints");
            audit_path(to, q.log, "checkpoints");
            char *text = audit_read(from, &len);
            audit_write(to, text, len);
            free(text);
        }
        log = audit_open(&p, &batch);
        put_open(log, &(struct open_one){at + 3, "/usr/bin/cat", 1000, 4, VF_FIELD_PHOTO});
        put_open(log, &(struct open_one){at + 4, "/usr/bin/cat", 1000, 5, VF_FIELD_PHOTO});
        put_denials(log);
        audit_close(log);
        const char *const paths[] = {q.log, p.log, copy}; /* what the clone handed in tells nothing more */
        check_fork(&p, paths, turn == 0 ? 3 : 2, turn == 0);
        audit_place_done(&p);
    }
}

/* A log longer than the window is read window by window: nothing is taken twice, and nothing is missed at an edge. */
static void test_fork_windows(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    int64_t at = MONDAY + 9 * HOUR;

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        put_open(log, &(struct open_one){at + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    struct audit_place q = clone_of(&p, "clone");
    log = audit_open(&q, &batch);
    for (uint32_t i = 5; i < 20; i++)
        put_open(log, &(struct open_one){at + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    log = audit_open(&p, &batch);
    put_open(log, &(struct open_one){at + 30, "/usr/bin/cat", 1000, 30, VF_FIELD_PHOTO});
    audit_close(log);
    for (uint32_t size = 1; size <= 32; size += size < 4 ? 1 : 7) {
        struct vf_facts f;
        const size_t known = 0;
        OK(vf_facts_init(&f, 2, 4711, WHY));
        f.fork_window = size;
        for (size_t i = 0; i < 2; i++) {
            f.log[i].path = strdup(i == 0 ? p.log : q.log);
            f.log[i].verdict = calloc(1, sizeof(*f.log[i].verdict));
            assert_true(f.log[i].path != NULL && f.log[i].verdict != NULL);
            OK(vf_log_verify(f.log[i].path, &(struct vf_verify_options){0}, f.log[i].verdict, WHY));
        }
        f.log[1].same_as = 0;
        OK(vf_report_fork(&f, 1, &known, 1, WHY));
        assert_int_equal(f.all.opens[1], 15);
        assert_int_equal(f.refs.n, 15);
        assert_int_equal(f.log[1].only, 16); /* and the seal at its end */
        assert_false(f.log[1].verdict->good);
        assert_non_null(strstr(f.log[1].verdict->findings[0], "the two went apart"));
        vf_facts_done(&f);
    }
    audit_place_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies), cmocka_unit_test(test_damage),       cmocka_unit_test(test_forged_beside),
        cmocka_unit_test(test_fork),   cmocka_unit_test(test_fork_windows),
    };
    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
