/* SPDX-License-Identifier: MIT */
/*
 * Without a network: the request is a file that somebody carries to the desk, and the answer one that he brings back. What is wanted of one grant is
 * gathered in one request; it is written anew when more is wanted. The keys of the last few are kept, so that the answer to one that
 * was carried before the file changed is still taken. Only this process can open an answer: after it has ended, another request is needed.
 *
 * The first request of a grant introduces it (grant, manifest, enrolment): a way is longer than a message.
 */
#include "client_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT 8

struct client_files {
    char *request, *answer;
    struct client_ask ask[KEPT]; /* free: no job */
    size_t next;
    struct client_ask *current; /* what the request file holds; NULL: there is none of ours */
    struct stat seen;           /* the answer file that was looked at last */
    struct vf_grant_id known;   /* the desk has answered for this grant */
};

enum vf_err vf_client_files_new(const char *request, const char *answer, struct client_files **ret, struct vf_why *why)
{
    struct client_files *f = calloc(1, sizeof(*f));
    if (f) {
        f->request = strdup(request);
        f->answer = strdup(answer);
    }
    if (!f || !f->request || !f->answer) {
        vf_client_files_free(f);
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    }
    *ret = f;
    return VF_OK;
}

void vf_client_files_free(struct client_files *f)
{
    if (!f)
        return;
    if (f->current) /* nobody could take its answer */
        (void)unlink(f->request);
    for (size_t i = 0; i < KEPT; i++)
        vf_client_ask_done(&f->ask[i]);
    free(f->request);
    free(f->answer);
    free(f);
}

/* ------------------------------------------------------------------------------------------------------------------- requests */

static bool same_grant(const struct client_ask *a, const struct client_ask *b)
{
    return a->job && b->job && memcmp(&vf_job_grant(a->job)->id, &vf_job_grant(b->job)->id, sizeof(struct vf_grant_id)) == 0;
}

static bool covers(const struct client_ask *all, const struct client_ask *some)
{
    bool has = !some->all_text || all->all_text;
    for (size_t i = 0; has && i < some->nwants; i++)
        has = vf_client_ask_has(all, some->want[i].index, some->want[i].part);
    return has;
}

/* The oldest one's place: its answer will not be taken any more. */
static struct client_ask *new_place(struct client_files *f)
{
    struct client_ask *a = &f->ask[f->next];
    f->next = (f->next + 1) % KEPT;
    if (f->current == a)
        f->current = NULL;
    vf_client_ask_done(a);
    return a;
}

static enum vf_err put_file(struct vf_desk_client *c, struct client_ask *a, struct vf_why *why)
{
    struct client_files *f = c->files;
    VF_BUF request;
    vf_buf_init(&request, VF_REQUEST_MAX);
    f->current = NULL;
    a->full = a->full || memcmp(&f->known, &vf_job_grant(a->job)->id, sizeof(f->known)) != 0;
    VF_TRY(vf_client_ask_make(c, a, &request, why));
    VF_TRY(vf_file_write(f->request, request.data, request.len, 0600, true, why));
    f->current = a;
    vf_client_tell(c, "shares are needed: carry %s to the key desk (keytool desk answer), and bring the answer to %s",
                   f->request, f->answer);
    return VF_OK;
}

static void post(struct vf_desk_client *c, struct client_ask *a)
{
    struct vf_why why = {0};
    enum vf_err err = put_file(c, a, &why);
    if (err) {
        vf_client_settle(c, a, err == VF_E_DISK_FULL ? err : VF_E_NO_SHARE, &why);
        vf_client_ask_done(a);
    }
}

void vf_client_files_post(struct vf_desk_client *c, struct client_ask *a)
{
    struct client_files *f = c->files;
    if (f->current && same_grant(f->current, a) && covers(f->current, a)) {
        vf_client_ask_done(a);
        return;
    }
    if (f->current && same_grant(f->current, a)) {
        const struct client_ask *old = f->current;
        if (old->all_text)
            a->all_text = true;
        for (size_t i = 0; i < old->nwants; i++)
            (void)vf_client_ask_add(a, old->want[i].index, old->want[i].part);
    }
    struct client_ask *place = new_place(f);
    *place = *a; /* with its reference */
    post(c, place);
}

/* -------------------------------------------------------------------------------------------------------------------- answers */

static bool changed(struct client_files *f)
{
    struct stat st;
    if (lstat(f->answer, &st)) {
        f->seen = (struct stat){0};
        return false;
    }
    bool same = st.st_ino == f->seen.st_ino && st.st_dev == f->seen.st_dev && st.st_size == f->seen.st_size &&
                st.st_mtim.tv_sec == f->seen.st_mtim.tv_sec && st.st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec;
    f->seen = st;
    return !same && S_ISREG(st.st_mode) && st.st_size > 0;
}

/* Of a grant that the answer concerned, in the file: its log is not what the desk has now. */
static void after(struct vf_desk_client *c, struct client_ask *a, bool again)
{
    struct client_files *f = c->files;
    bool was_current = f->current == a;
    if (was_current) {
        f->current = NULL;
        (void)unlink(f->request);
    }
    if (again && was_current) {
        post(c, a);
        return;
    }
    vf_client_ask_done(a);
    if (f->current)
        post(c, f->current);
}

static void taken(struct vf_desk_client *c, struct client_ask *a, enum vf_err err, bool again, const struct vf_why *why)
{
    struct client_files *f = c->files;
    (void)unlink(f->answer);
    f->known = vf_job_grant(a->job)->id;
    pthread_mutex_lock(&c->lock);
    c->status.reached_boot_us = vf_clock_boot_us();
    c->status.exchanges++;
    pthread_mutex_unlock(&c->lock);
    if (!again) {
        /* Those who wait for something else go on waiting. */
        enum vf_err known =
            err == VF_OK || err == VF_E_BUDGET || err == VF_E_EXPIRED || err == VF_E_REVOKED || err == VF_E_NOT_YET
                ? err
                : VF_E_NO_SHARE;
        vf_client_settle(c, a, known, why);
    }
    after(c, a, again);
}

void vf_client_files_look(struct vf_desk_client *c)
{
    struct client_files *f = c->files;
    struct vf_why why = {0};
    VF_BUF data = {0};

    if (!changed(f) || vf_file_read(f->answer, VF_ANSWER_MAX, &data, NULL))
        return;
    for (size_t i = 0; i < KEPT; i++) {
        struct client_ask *a = &f->ask[i];
        bool again = false;
        if (!a->job || !a->key)
            continue;
        enum vf_err err = vf_client_ask_take(c, a, data.data, data.len, &again, &why);
        if (a->key == NULL) { /* it was for this one */
            taken(c, a, err, again, &why);
            return;
        }
    }
    vf_client_tell(c, "%s: not an answer of the force's key desk to a request of this mount; it was left where it is",
                   f->answer);
}
