/* SPDX-License-Identifier: MIT */
/* Who waits for whom at the desk: strangers for nobody, one device's requests for each other, and what has changed meanwhile counts. */
#include "../../vaultfs/desk/desk_internal.h"
#include "desk_test.h"

#include "fakeclock.h"

#include <unistd.h>

static struct desk_world w;
static struct vf_desk *d;

static int set_up(void **state)
{
    return desk_and_force(state, &w, DESK_OFFICERS, 20, true, &d);
}

static int tear_down(void **state)
{
    return desk_and_force_done(state, &w, d);
}

/* A request that is answered on a thread of its own. */
struct asker {
    const struct vf_buf *sealed;
    struct vf_desk_outcome outcome;
    enum vf_err err;
    atomic_bool done;
    pthread_t thread;
};

static void *ask_on(void *arg)
{
    struct asker *a = arg;
    VF_BUF out = {.max = VF_ANSWER_MAX};

    a->err = vf_desk_answer(d, a->sealed->data, a->sealed->len, 0, false, &out, &a->outcome, NULL);
    atomic_store(&a->done, true);
    return NULL;
}

static void begin(struct asker *a, const struct vf_buf *sealed)
{
    *a = (struct asker){.sealed = sealed};
    assert_int_equal(pthread_create(&a->thread, NULL, ask_on, a), 0);
}

static bool answered(const struct asker *a)
{
    for (unsigned i = 0; i < 6000 && !atomic_load(&a->done); i++)
        (void)usleep(10000);
    return atomic_load(&a->done);
}

static enum vf_answer_status end(struct asker *a)
{
    assert_int_equal(pthread_join(a->thread, NULL), 0);
    OK(a->err);
    return a->outcome.status;
}

static struct vf_desk_device *device_of(const struct desk_client *c)
{
    pthread_rwlock_rdlock(&d->lock);
    struct vf_desk_device *dev = vf_desk_device_find(d, &c->b.enrol.id);
    pthread_rwlock_unlock(&d->lock);
    assert_non_null(dev);
    return dev;
}

static void waiting(struct vf_desk_device *dev, unsigned n)
{
    while (atomic_load(&dev->asking) < n)
        (void)usleep(1000);
}

/* What is known is being changed (a batch of keys is being destroyed, say), which takes its time: whose grant nobody has signed is told so meanwhile. */
static void strangers_wait_for_nobody(void **state)
{
    struct desk_client c;
    struct asker a;
    VF_BUF sealed = {0}, note = {.max = VF_NOTE_MAX};

    (void)state;
    desk_client_make(&w, "stranger", VF_DAY_US, 0, &c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, true);
    vf_buf_put(&note, req.grant_note.data, req.grant_note.len);
    note.data[note.len - 9] ^= 1; /* in the signature */
    req.grant_note.data = note.data;
    desk_request_seal(&w, c.b.device, &req, &sealed);
    pthread_mutex_lock(&d->take_lock);
    begin(&a, &sealed);
    const bool in_time = answered(&a);
    pthread_mutex_unlock(&d->take_lock);
    assert_int_equal(end(&a), VF_ANSWER_REFUSED);
    assert_true(in_time);
    desk_client_done(&c);
}

/* As many as are ever answered for one device at a time are busy with it; what else comes in its name is sent away, and keeps nobody from the others. */
static void one_device_keeps_nobody_waiting(void **state)
{
    struct desk_client c, other;
    struct asker busy[VF_DESK_ASKING], more;
    VF_BUF sealed = {0};

    (void)state;
    desk_client_make(&w, "busy", VF_DAY_US, 0, &c);
    desk_client_make(&w, "other", VF_DAY_US, 0, &other);
    desk_introduce(&w, d, &c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, false);
    desk_request_seal(&w, c.b.device, &req, &sealed);
    struct vf_desk_device *dev = device_of(&c);
    pthread_mutex_lock(&dev->lock);
    for (unsigned i = 0; i < VF_DESK_ASKING; i++) {
        begin(&busy[i], &sealed);
        waiting(dev, i + 1);
    }
    begin(&more, &sealed);
    const bool in_time = answered(&more);
    enum vf_answer_status others = desk_status_of(&w, d, &other, true, 0, VF_PART_TEXT);
    pthread_mutex_unlock(&dev->lock);
    unsigned good = 0;
    for (unsigned i = 0; i < VF_DESK_ASKING; i++)
        good += end(&busy[i]) == VF_ANSWER_OK;
    assert_int_equal(end(&more), VF_ANSWER_UNREADY);
    assert_true(in_time);
    assert_int_equal(others, VF_ANSWER_OK);
    assert_int_equal(good, 1); /* the same four times: it shows something new once */
    assert_int_equal(atomic_load(&dev->asking), 0);
    c.known = req.log_size;
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
    desk_client_done(&other);
}

/* Its grant was good when it came, and then it had to wait; the policy that was taken meanwhile asks for more signatures. */
static void a_policy_while_it_waits(void **state)
{
    const struct vf_policy_change two = {.threshold = 2};
    struct desk_client c;
    struct asker a;
    VF_BUF sealed = {0};

    (void)state;
    desk_client_make(&w, "waits", VF_DAY_US, 0, &c);
    desk_introduce(&w, d, &c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, false);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    desk_request_seal(&w, c.b.device, &req, &sealed);
    struct vf_desk_device *dev = device_of(&c);
    pthread_mutex_lock(&dev->lock);
    begin(&a, &sealed);
    waiting(dev, 1);
    desk_policy_change(&w, &two);
    desk_take_policy(&w, d);
    pthread_mutex_unlock(&dev->lock);
    assert_int_equal(end(&a), VF_ANSWER_REFUSED);
    assert_int_equal(a.outcome.shares, 0);
    desk_client_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_wait_for_nobody),
        cmocka_unit_test(one_device_keeps_nobody_waiting),
        cmocka_unit_test(a_policy_while_it_waits),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
