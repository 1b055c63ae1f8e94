/* SPDX-License-Identifier: MIT */
/* Listings that the kernel keeps: which folders are told of, in what order, and that nobody waits for a program that holds the lister up. */
#include "../../vaultfs/mount/mount.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

#define RECORDS 130
#define SECOND  VF_SECOND_US

/* In place of the kernel. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned refused[RECORDS], dropped[RECORDS]; /* the records' folders */
    unsigned others_refused, others_dropped, root, root_refused, job, job_refused, names;
    bool holds, held; /* the root's page */
} kernel = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static struct vf_mount_options options;
static struct vf_slot_job slot, *slots[] = {&slot};
static struct vf_session session;

int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
    (void)se;
    assert_int_equal(len, 0);
    unsigned kind = ino >> 32 & 0xff;
    uint32_t index = (uint32_t)ino;
    pthread_mutex_lock(&kernel.lock);
    if (ino == FUSE_ROOT_ID)
        (*(off < 0 ? &kernel.root_refused : &kernel.root))++;
    else if (kind == VF_NODE_JOB)
        (*(off < 0 ? &kernel.job_refused : &kernel.job))++;
    else if (kind == VF_NODE_RECORD && index < RECORDS)
        (off < 0 ? kernel.refused : kernel.dropped)[index]++;
    else
        (*(off < 0 ? &kernel.others_refused : &kernel.others_dropped))++;
    while (ino == FUSE_ROOT_ID && off >= 0 && kernel.holds) {
        kernel.held = true;
        pthread_cond_broadcast(&kernel.moved);
        pthread_cond_wait(&kernel.moved, &kernel.lock);
    }
    kernel.held = false;
    pthread_mutex_unlock(&kernel.lock);
    return 0;
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *se, fuse_ino_t parent, const char *name, size_t namelen)
{
    (void)se;
    (void)parent;
    assert_int_equal(strlen(name), namelen);
    pthread_mutex_lock(&kernel.lock);
    kernel.names++;
    pthread_mutex_unlock(&kernel.lock);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(kernel.refused, 0, sizeof(kernel.refused));
    memset(kernel.dropped, 0, sizeof(kernel.dropped));
    kernel.others_refused = kernel.others_dropped = kernel.root = kernel.job = kernel.names = 0;
    kernel.root_refused = kernel.job_refused = 0;
    options.job = NULL;
    slot = (struct vf_slot_job){.number = 7, .name = "cards"};
    session = (struct vf_session){.opt = &options, .slots = slots, .nslots = 1};
    pthread_rwlock_init(&session.jobs_lock, NULL);
    vf_lister_init(&session);
    return vf_listings_init(&slot, RECORDS) || vf_lister_start(&session);
}

static int tear_down(void **state)
{
    (void)state;
    bool stopped = vf_lister_stop(&session, 10 * SECOND);
    vf_listings_free(&slot);
    pthread_rwlock_destroy(&session.jobs_lock);
    return stopped ? 0 : 1;
}

static void give(unsigned kind, uint32_t index)
{
    const struct vf_node dir = {.kind = kind, .index = index, .slot = &slot};
    vf_listing_given(&dir);
}

static void test_what_was_listed(void **state)
{
    static const uint32_t given[] = {0, 1, 63, 64, 127, 128, RECORDS - 1};
    bool is_given[RECORDS] = {false};
    (void)state;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        give(VF_NODE_RECORD, given[i]);
        give(VF_NODE_RECORD, given[i]); /* twice is as good as once */
        is_given[given[i]] = true;
    }
    give(VF_NODE_PHOTOS, 0);      /* of these there are few: each is told of always */
    give(VF_NODE_RECORD, 100000); /* there is none */
    vf_listings_refuse(&session, &slot);
    assert_int_equal(kernel.others_refused, 3);
    assert_int_equal(kernel.job_refused, 1);
    for (uint32_t i = 0; i < RECORDS; i++)
        assert_int_equal(kernel.refused[i], is_given[i]);
    assert_true(vf_lister_wait(&session, 10 * SECOND));
    for (uint32_t i = 0; i < RECORDS; i++)
        assert_int_equal(kernel.dropped[i], is_given[i]);
    assert_int_equal(kernel.others_dropped, 3);
    assert_int_equal(kernel.job, 1);
    assert_int_equal(kernel.root, 0);
    /* Nothing is forgotten: another answer may have been on its way. */
    vf_listings_refuse(&session, &slot);
    assert_int_equal(kernel.refused[64], 2);
}

static void test_only_what_was_asked(void **state)
{
    (void)state;
    give(VF_NODE_RECORD, 5);
    vf_listings_drop(&session, &slot, VF_DROP_CONTENTS);
    assert_true(vf_lister_wait(&session, 10 * SECOND));
    assert_int_equal(kernel.others_dropped, 3);
    assert_int_equal(kernel.dropped[5], 1);
    assert_int_equal(kernel.job + kernel.root + kernel.names, 0);
    vf_listings_drop(&session, &slot, VF_DROP_NAMES);
    vf_listings_drop(&session, &slot, VF_DROP_JOB_NAME);
    vf_listings_drop(&session, NULL, 0);
    assert_true(vf_lister_wait(&session, 10 * SECOND));
    assert_int_equal(kernel.names, 6);
    assert_int_equal(kernel.root, 1);
    assert_int_equal(kernel.dropped[5], 1);
    assert_int_equal(kernel.job + kernel.root_refused + kernel.job_refused + kernel.others_refused, 0);
    /* With --job the folder of that name is the root: the names in it go. */
    char job[] = "cards";
    options.job = job;
    vf_listings_drop(&session, &slot, VF_DROP_JOB_NAME);
    assert_true(vf_lister_wait(&session, 10 * SECOND));
    assert_int_equal(kernel.names, 6 + 5);
}

/* A folder's time tells that what it lists has changed, and the kernel is told to ask for it; never a record's, which does not change. */
static void test_changes(void **state)
{
    (void)state;
    give(VF_NODE_RECORD, 5);
    unsigned before = atomic_load(&session.changes);
    vf_listings_changed(&session);
    assert_true(atomic_load(&session.changes) > before);
    assert_int_equal(kernel.root_refused, 1);
    assert_int_equal(kernel.job_refused, 1);
    assert_int_equal(kernel.others_refused, 3);
    assert_int_equal(kernel.refused[5], 0);
    before = atomic_load(&session.changes);
    vf_listings_refuse(&session, &slot);
    assert_true(atomic_load(&session.changes) > before);
    assert_true(vf_lister_wait(&session, 10 * SECOND));
}

static void hold(bool on)
{
    pthread_mutex_lock(&kernel.lock);
    kernel.holds = on;
    pthread_cond_broadcast(&kernel.moved);
    pthread_mutex_unlock(&kernel.lock);
}

static void test_held_up(void **state)
{
    (void)state;
    give(VF_NODE_RECORD, 5);
    hold(true);
    vf_listings_drop(&session, NULL, 0);
    pthread_mutex_lock(&kernel.lock);
    while (!kernel.held)
        pthread_cond_wait(&kernel.moved, &kernel.lock);
    pthread_mutex_unlock(&kernel.lock);
    vf_listings_refuse(&session, &slot); /* refused all the same */
    pthread_mutex_lock(&kernel.lock);
    assert_int_equal(kernel.refused[5], 1);
    assert_int_equal(kernel.dropped[5], 0);
    pthread_mutex_unlock(&kernel.lock);
    assert_false(vf_lister_wait(&session, SECOND / 20));
    vf_listings_changed(&session); /* nor does what comes wait */
    assert_int_equal(kernel.root_refused, 1);
    assert_false(vf_lister_stop(&session, SECOND / 20));
    hold(false);
    /* Let go, it says nothing more to a kernel that others have taken leave of. */
    assert_true(vf_lister_stop(&session, 10 * SECOND));
    assert_int_equal(kernel.dropped[5] + kernel.others_dropped + kernel.job, 0);
    assert_true(vf_lister_wait(&session, 0));
}

static void *give_all(void *first)
{
    for (uint32_t i = *(const uint32_t *)first; i < RECORDS; i += 4)
        give(VF_NODE_RECORD, i);
    return NULL;
}

/* Several mark bits of one word at once, while it is being looked at. */
static void test_many_at_once(void **state)
{
    pthread_t thread[4];
    uint32_t first[4] = {0, 1, 2, 3};
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, give_all, &first[i]), 0);
    vf_listings_refuse(&session, &slot);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_true(vf_lister_wait(&session, 10 * SECOND));
    vf_listings_refuse(&session, &slot);
    assert_true(vf_lister_wait(&session, 10 * SECOND));
    for (uint32_t i = 0; i < RECORDS; i++)
        assert_in_range(kernel.dropped[i], 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_what_was_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_held_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_at_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
