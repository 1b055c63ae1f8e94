/* SPDX-License-Identifier: MIT */
/* Sessions that did not end in an orderly way, however clean their log looks; and a writer that reads on in its own log. */
#include "audit_test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_std.h"

static void say(struct vf_log *log, enum vf_event event)
{
    const struct vf_entry e = {.event = event, .part = -1, .result = "ok"};

    OK(vf_log_commit(log, &e, WHY));
}

/* As kill -9 leaves it, and as who did that leaves it when he took the unsealed end away. */
static void copy_of(const struct audit_place *p, const char *name, struct audit_place *copy)
{
    char to[300];

    *copy = *p;
    (void)scratch_path(&p->dir, name, to, sizeof(to));
    if (mkdir(to, 0700) != 0)
        abort();
    (void)snprintf(copy->log, sizeof(copy->log), "%.280s/log", to);
    (void)snprintf(copy->seal, sizeof(copy->seal), "%.280s/seal", to);
    audit_copy_tree(p->log, copy->log);
    size_t len = 0;
    char *seal = audit_read(p->seal, &len);
    audit_write(copy->seal, seal, len);
    free(seal);
}

/* Opened and closed once more; the verdict of that. */
static struct vf_verdict *again(const struct audit_place *p)
{
    struct vf_verdict *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    audit_close(audit_open(p, NULL));
    if (!audit_verify(p, p->log, v)) {
        audit_print(v);
        fail();
    }
    return v;
}

static void killed_and_cut(void **state)
{
    struct audit_place p, dead, two;

    (void)state;
    audit_place_make(&p);
    struct vf_log *log = audit_open(&p, NULL);
    say(log, VF_EVENT_RECEIVE);
    say(log, VF_EVENT_MOUNT);
    for (uint64_t i = 0; i < 60; i++) /* 16 KiB and more behind it */
        audit_commit(log, i);
    audit_seal(log);
    copy_of(&p, "dead", &dead); /* ends with a seal: nothing is there to be found */
    say(log, VF_EVENT_UNMOUNT);
    audit_close(log);

    VF_FREE struct vf_verdict *orderly = again(&p);
    assert_int_equal(orderly->recoveries, 0);
    assert_int_equal(orderly->unclosed, 0);
    assert_false(audit_noted(orderly, "orderly"));

    VF_FREE struct vf_verdict *killed = again(&dead);
    assert_int_equal(killed->recoveries, 1);
    assert_int_equal(killed->unclosed, 1);
    assert_true(audit_noted(killed, "1 mount ended without an orderly end"));
    assert_true(audit_noted(killed, "up to 1024 openings"));
    /* Told once: what came after it was orderly, as far as it goes. */
    VF_FREE struct vf_verdict *once = again(&dead);
    assert_int_equal(once->recoveries, 1);
    assert_int_equal(once->unclosed, 1);

    log = audit_open(&dead, NULL);
    say(log, VF_EVENT_MOUNT);
    audit_seal(log);
    VF_FREE struct vf_verdict *running = calloc(1, sizeof(*running));
    assert_non_null(running);
    assert_true(audit_verify(&dead, dead.log, running));
    assert_int_equal(running->unclosed, 1); /* one that runs is none */
    copy_of(&dead, "two", &two);
    audit_close(log);
    VF_FREE struct vf_verdict *twice = again(&two);
    assert_int_equal(twice->recoveries, 2);
    assert_int_equal(twice->unclosed, 2);
    assert_true(audit_noted(twice, "2 mounts ended"));
    audit_place_done(&p);
}

/* A tool that only received, and ended: nothing to tell. */
static void tools_do_not_mount(void **state)
{
    struct audit_place p;
    const struct vf_log_options batch = {.batch = true};

    (void)state;
    audit_place_make(&p);
    for (unsigned i = 0; i < 3; i++) {
        struct vf_log *log = audit_open(&p, &batch);
        for (uint64_t k = 0; k < 50; k++)
            say(log, VF_EVENT_RECEIVE);
        audit_close(log);
    }
    VF_FREE struct vf_verdict *v = again(&p);
    assert_int_equal(v->recoveries, 0);
    assert_int_equal(v->unclosed, 0);
    audit_place_done(&p);
}

/* ------------------------------------------------------------------------------------------------------------------- reading on */

#define RECEIVED (UINT64_C(1) << VF_EVENT_RECEIVE)

struct seen {
    unsigned n;
    uint64_t last;
    enum vf_err ret;
};

static enum vf_err count(void *user, const struct vf_entry_view *e, struct vf_why *why)
{
    struct seen *s = user;

    assert_int_equal(e->event, VF_EVENT_RECEIVE);
    s->n++;
    s->last = e->seq;
    return s->ret == VF_OK ? VF_OK : vf_fail(why, s->ret, "enough");
}

static unsigned since(struct vf_log *log, struct vf_log_place *place)
{
    struct seen s = {0};

    OK(vf_log_since(log, place, RECEIVED, count, &s, WHY));
    return s.n;
}

static void reading_on(void **state)
{
    struct audit_place p;
    const struct vf_log_options small = {.segment_max = 4096};
    struct vf_log_place place = {0}, half, all;

    (void)state;
    audit_place_make(&p);
    struct vf_log *log = audit_open(&p, &small);
    assert_int_equal(since(log, &place), 0);
    assert_int_equal(place.tree.size, 0);
    for (uint64_t i = 0; i < 40; i++) {
        audit_commit(log, i);
        if (i % 4 == 0)
            say(log, VF_EVENT_RECEIVE);
    }
    audit_seal(log);
    assert_int_equal(since(log, &place), 10);
    assert_int_equal(place.tree.size, 51); /* and the seal entry */
    assert_true(place.seg_first > 0);
    assert_int_equal(since(log, &place), 0);
    half = place;
    for (unsigned i = 0; i < 7; i++) {
        say(log, VF_EVENT_RECEIVE);
        audit_commit(log, i);
    }
    audit_seal(log);
    assert_int_equal(since(log, &place), 7);
    all = (struct vf_log_place){0};
    assert_int_equal(since(log, &all), 17);
    assert_memory_equal(&all, &place, sizeof(all));
    struct vf_hash root, want;
    OK(vf_log_root_at(log, half.tree.size, &root, WHY));
    vf_tree_root(&half.tree, &want);
    assert_memory_equal(&root, &want, sizeof(root));
    assert_int_equal(vf_log_root_at(log, place.tree.size + 1, &root, WHY), VF_E_FORGED);

    /* Another tree, another byte, a place that the log has not reached: not believed, and the place stays. */
    struct seen s = {0};
    struct vf_log_place wrong = half;
    wrong.tree.edge[0].b[0] ^= 1;
    assert_int_equal(vf_log_since(log, &wrong, RECEIVED, count, &s, WHY), VF_E_FORGED);
    wrong = half;
    wrong.seg_at -= 1;
    assert_int_equal(vf_log_since(log, &wrong, RECEIVED, count, &s, WHY), VF_E_FORGED);
    wrong = half;
    wrong.seg_first = 0;
    assert_int_equal(vf_log_since(log, &wrong, RECEIVED, count, &s, WHY), VF_E_FORGED);
    wrong = half;
    wrong.tree.size = 1000;
    assert_int_equal(vf_log_since(log, &wrong, RECEIVED, count, &s, WHY), VF_E_FORGED);
    wrong = half;
    s = (struct seen){.ret = VF_E_PARTIAL};
    assert_int_equal(vf_log_since(log, &wrong, RECEIVED, count, &s, WHY), VF_E_PARTIAL);
    assert_int_equal(s.n, 1);
    assert_memory_equal(&wrong, &half, sizeof(half));
    audit_close(log);

    /* A line behind the place that was changed. */
    char path[400], name[64];
    size_t len = 0;
    (void)snprintf(name, sizeof(name), "entries-%020llu.jsonl", (unsigned long long)half.seg_first);
    audit_path(path, p.log, name);
    char *data = audit_read(path, &len);
    char *at = strstr(data + half.seg_at, "\"event\":\"receive\"");
    assert_non_null(at);
    memcpy(at, "\"event\":\"expire!\"", 17);
    at[15] = ' ';
    audit_write(path, data, len);
    free(data);
    log = audit_open(&p, &small);
    s = (struct seen){0};
    assert_int_equal(vf_log_since(log, &half, RECEIVED, count, &s, WHY), VF_E_FORGED);
    audit_close(log);
    audit_place_done(&p);
}

/* A link in the log's place: not followed, whoever put it there. */
static void no_links(void **state)
{
    struct audit_place p;
    struct vf_log *log = NULL;
    char real[300];

    (void)state;
    audit_place_make(&p);
    (void)scratch_path(&p.dir, "elsewhere", real, sizeof(real));
    assert_int_equal(rename(p.log, real), 0);
    assert_int_equal(symlink(real, p.log), 0);
    assert_int_equal(vf_log_open(p.log, p.seal, NULL, &log, WHY), VF_E_INPUT);
    assert_int_equal(unlink(p.log), 0);
    assert_int_equal(rename(real, p.log), 0);
    log = audit_open(&p, NULL);
    say(log, VF_EVENT_RECEIVE);
    assert_int_equal(rename(p.log, real), 0);
    assert_int_equal(symlink(real, p.log), 0);
    const struct vf_entry e = {.event = VF_EVENT_RECEIVE, .part = -1, .result = "ok"};
    assert_int_equal(vf_log_commit(log, &e, WHY), VF_E_DISK_FULL); /* while it is in use too */
    enum vf_err ignored = vf_log_close(log, WHY);
    (void)ignored;
    assert_int_equal(unlink(p.log), 0);
    assert_int_equal(rename(real, p.log), 0);
    audit_place_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_and_cut),
        cmocka_unit_test(tools_do_not_mount),
        cmocka_unit_test(reading_on),
        cmocka_unit_test(no_links),
    };
    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
