/* SPDX-License-Identifier: MIT */
#include "audit_faulty.h"

#include <stdio.h>
#include <time.h>

#include "cmocka_std.h"

struct audit_place place;
struct vf_verdict v;

int fresh(void **state)
{
    (void)state;
    audit_place_make(&place);
    return 0;
}

int away(void **state)
{
    (void)state;
    audit_place_done(&place);
    return 0;
}

void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Past the time in which a log that failed does not even try. */
void nap(void)
{
    nap_ms(120);
}

enum vf_err try_commit(struct vf_log *log, uint64_t n)
{
    struct vf_ref ref;
    struct vf_entry e = audit_entry(n, &ref);

    return vf_log_commit(log, &e, WHY);
}

/*
 * The disk works again. The log's own attempt, once a second, may have failed just before, and then it refuses for a moment; each refusal
 * is one more entry that a gap tells.
 */
unsigned refusals;

void soon(struct vf_log *log, uint64_t n)
{
    for (int i = 0; i < 50; i++) {
        if (try_commit(log, n) == VF_OK)
            return;
        refusals++;
        nap();
    }
    fail_msg("the log does not recover: %s", audit_why.text);
}

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct found *f = user;

    (void)why;
    (void)sealed;
    f->gaps += e->event == VF_EVENT_GAP ? e->count : 0;
    for (unsigned i = 0; i < 256 && e->event == VF_EVENT_OPEN; i++) {
        struct vf_ref ref;
        (void)audit_entry(i, &ref);
        f->seen[i] = f->seen[i] || memcmp(e->refs.p + 1, ref.c, sizeof(ref.c)) == 0;
    }
    return VF_OK;
}

void look(struct found *f)
{
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id, .each = each, .user = f};

    memset(f, 0, sizeof(*f));
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    if (!v.good) {
        audit_print(&v);
        fail();
    }
}
