/* SPDX-License-Identifier: MIT */
#include "desk_fake.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------------ the force */

static void give_prekeys(struct fake_world *w, struct vf_vault *v)
{
    struct vf_prekey_pub pubs[FAKE_PREKEYS];
    struct vf_prekeys_report r;
    VF_BUF file = {0};
    struct vf_prekey_batch batch = {
        .desk = "desk", .store = "a store's own id", .batch = 1, .count = FAKE_PREKEYS, .keys = pubs};
    batch.made_us = vf_clock_wall_us() / VF_SECOND_US * VF_SECOND_US;
    batch.last_us = batch.made_us + 62 * VF_DAY_US;
    for (unsigned i = 0; i < FAKE_PREKEYS; i++) {
        vf_prekey_new(&w->desk.pair[i]);
        pubs[i] = w->desk.pair[i].pub;
    }
    vf_buf_init(&file, VF_PREKEYS_FILE_MAX);
    OK(vf_prekeys_make(&batch, w->desk.id, &file, why));
    OK(vf_prekeys_install(v, admin[ALICE], file.data, file.len, "desk.prekeys", &r, why));
}

void fake_deliver(struct fake_world *w, const char *job, uint64_t budget, struct delivery *d)
{
    struct vf_issue_options opt = site_options(&w->site, job);
    opt.release = VF_RELEASE_ONLINE;
    opt.budget = budget;
    deliver(&w->p, &opt, d);
    take_delivery(w->st, d);
    w->desk.grant = &d->i;
}

void fake_world_make(struct fake_world *w, uint64_t budget)
{
    struct fake_desk *f = &w->desk;
    *w = (struct fake_world){0};
    f->listener = -1;
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &f->id, why));
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &f->other, why));
    force_make(&w->p, 1);
    (void)snprintf(f->socket, sizeof(f->socket), "/tmp/vaultfs-fake-desk.%d", (int)getpid());
    (void)snprintf(f->url, sizeof(f->url), "unix:%s", f->socket);
    (void)place_path(&w->p, "copy", f->copy);
    const struct vf_policy_change change = {.desk = vf_identity_pub_get(f->id), .desk_url = f->url};
    next_policy(&w->p, &change, NULL, NULL);
    struct vf_vault *v = open_as(&w->p, VF_VAULT_WRITE, ALICE);
    give_prekeys(w, v);
    close_vault(v);
    site_make(&w->p, "bureau", &w->site);
    w->st = site_open(&w->site, VF_STATION_MOUNT);
    fake_deliver(w, "cards", budget, &w->d);
    f->device = &w->site.b.enrol.device;
    f->origin = (struct vf_slice){(const uint8_t *)w->site.b.enrol.origin, w->site.b.enrol.origin_len};
    f->lease_us = 900 * VF_SECOND_US;
    f->budget = f->rate = -1;
    f->lost = -1;
}

void fake_world_done(struct fake_world *w)
{
    fake_desk_away(&w->desk);
    if (w->st)
        site_close(w->st);
    delivery_done(&w->d);
    site_done(&w->site);
    place_done(&w->p);
    vf_buf_done(&w->desk.last);
    vf_identity_free(w->desk.id);
    vf_identity_free(w->desk.other);
}

/* ----------------------------------------------------------------------------------------------------------------- the answer */

/* On a thread of its own: `why` is the test's. */

/* The log, as a real desk takes it. */
static bool take_log(struct fake_desk *f, const struct vf_request *req, struct vf_buf *receipt)
{
    struct vf_log_copy *copy = NULL;
    struct vf_log_copy_state state;
    struct vf_note_key key;
    VF_BUF last;
    bool good = false;

    vf_note_key_of(f->device, &key);
    vf_buf_init(&last, VF_NOTE_MAX);
    vf_buf_init(receipt, VF_NOTE_MAX);
    MUST(vf_log_copy_open(f->copy, f->origin, &key, 1, &copy, NULL) == VF_OK);
    vf_log_copy_state_get(copy, &state);
    if (req->log_from == state.size && req->log_size > state.size) {
        MUST(vf_log_copy_extend(copy, req->log_from, req->checkpoints, req->entries, NULL, NULL, NULL) == VF_OK);
        atomic_fetch_add(&f->entries, (unsigned)(req->log_size - state.size));
        vf_log_copy_state_get(copy, &state);
        MUST(state.size == req->log_size);
        good = true;
    }
    f->size = state.size;
    MUST(vf_log_copy_last(copy, &last, NULL) == VF_OK);
    if (last.len > 0) {
        VF_FREE struct vf_note *note = calloc(1, sizeof(*note));
        MUST(note != NULL);
        MUST(vf_note_parse(last.data, last.len, note, NULL) == VF_OK);
        MUST(vf_receipt_make(note, f->id, vf_clock_wall_us(), receipt, NULL) == VF_OK);
    }
    vf_log_copy_close(copy);
    return good;
}

static uint32_t index_of(const struct fake_desk *f, const struct vf_ref *ref)
{
    const struct vf_manifest *m = &f->grant->f.manifest;
    struct vf_ref one;
    for (uint32_t i = 0; i < m->nrecords && i < OFFICERS; i++) {
        vf_manifest_ref(m, i, &one);
        if (memcmp(&one, ref, sizeof(one)) == 0)
            return i;
    }
    abort();
}

/* What is released already is free; of what is new as much as there is room for. */
static enum vf_answer_status release(struct fake_desk *f, const struct vf_request *req, bool give[VF_REQUEST_WANTS_MAX])
{
    enum vf_answer_status refusal = VF_ANSWER_OK;
    bool any = req->nwants == 0 || req->all_text;
    for (size_t i = 0; i < req->nwants; i++) {
        enum vf_part part = req->wants[i].part;
        bool *released = &f->released[part][index_of(f, &req->wants[i].ref)];
        int n = 0;
        for (uint32_t k = 0; k < OFFICERS; k++)
            n += f->released[part][k];
        if (!*released && f->budget >= 0 && n >= f->budget) {
            refusal = VF_ANSWER_BUDGET;
            continue;
        }
        if (!*released && part == VF_PART_IMAGE && f->rate == 0) {
            refusal = refusal == VF_ANSWER_OK ? VF_ANSWER_RATE : refusal;
            continue;
        }
        if (!*released && part == VF_PART_IMAGE && f->rate > 0)
            f->rate--;
        any = give[i] = *released = true;
    }
    return any ? VF_ANSWER_OK : refusal;
}

static size_t make_shares(const struct fake_desk *f, const struct vf_request *req, const bool give[VF_REQUEST_WANTS_MAX],
                          struct vf_share *ret)
{
    const struct vf_grant_file *g = &f->grant->f;
    struct vf_release_secret secret;
    size_t n = 0;
    MUST(vf_release_secret_open(&f->pair[g->grant.prekey_number], g->grant.sealed_secret, &secret) == VF_OK);
    uint32_t texts = f->texts > 0 ? f->texts : UINT32_MAX;
    for (uint32_t i = req->text_from; req->all_text && i < g->manifest.nrecords && texts-- > 0; i++) {
        vf_manifest_ref(&g->manifest, i, &ret[n].ref);
        ret[n].part = VF_PART_TEXT;
        vf_kdf_release_share(&secret, &ret[n].ref, VF_PART_TEXT, &ret[n].share);
        n++;
    }
    for (size_t i = 0; i < req->nwants; i++) {
        if (!give[i])
            continue;
        ret[n].ref = req->wants[i].ref;
        ret[n].part = req->wants[i].part;
        vf_kdf_release_share(&secret, &ret[n].ref, ret[n].part, &ret[n].share);
        n++;
    }
    return n;
}

static enum vf_answer_status judge(struct fake_desk *f, const struct vf_request *req, struct vf_buf *receipt,
                                   bool give[VF_REQUEST_WANTS_MAX])
{
    if (req->enrol.len > 0) {
        MUST(req->grant_note.len > 0 && req->manifest.len > 0);
        f->knows = true;
        atomic_fetch_add(&f->full, 1);
    }
    atomic_fetch_add(&f->receipts, req->receipt.len > 0);
    if (!f->knows)
        return VF_ANSWER_UNKNOWN;
    f->early = f->ends_early;
    if (f->early)
        return f->status;
    if (!take_log(f, req, receipt))
        return VF_ANSWER_BEHIND;
    if (f->status != VF_ANSWER_OK)
        return f->status;
    return release(f, req, give);
}

static void count(struct fake_desk *f, const struct vf_request *req)
{
    atomic_fetch_add(&f->requests, 1);
    atomic_fetch_add(&f->wants, (unsigned)req->nwants);
    atomic_fetch_add(&f->all_text, req->all_text);
    if (req->nwants > f->most_wants)
        f->most_wants = (unsigned)req->nwants;
}

void fake_desk_answer(struct fake_desk *f, const void *request, size_t len, struct vf_buf *out)
{
    VF_BUF plain = {0}, receipt = {0};
    struct vf_request req;
    enum fake_fault fault = f->fault;
    size_t most = OFFICERS + VF_REQUEST_WANTS_MAX;
    VF_SECRET struct vf_share *shares = vf_secret_new(most * sizeof(*shares));

    MUST(shares != NULL);
    MUST(vf_request_open(f->id, request, len, &plain, &req, NULL) == VF_OK);
    MUST(vf_request_signed(&plain, f->device, NULL) == VF_OK);
    MUST(req.log_end >= req.log_size && req.log_end_us > 0);
    count(f, &req);
    f->hash = req.hash;
    struct vf_answer a = {.request = req.hash, .time_us = vf_clock_wall_us() + f->time_off_us};
    bool give[VF_REQUEST_WANTS_MAX] = {false};
    a.status = judge(f, &req, &receipt, give);
    a.log_size = f->early ? 0 : f->size;
    a.receipt = (struct vf_slice){receipt.data, receipt.len};
    if (a.status == VF_ANSWER_OK && !f->no_shares) {
        a.lease_us = f->lease_us;
        a.shares = shares;
        a.nshares = make_shares(f, &req, give, shares);
    } else if (a.status != VF_ANSWER_OK) {
        (void)snprintf(a.text, sizeof(a.text), "as the test says");
    }
    if (fault == FAKE_OTHER_REQUEST)
        a.request.b[0] ^= 1;
    vf_buf_init(out, VF_ANSWER_MAX);
    MUST(vf_answer_make(&a, fault == FAKE_OTHER_DESK ? f->other : f->id, &req.answer_to, out, NULL) == VF_OK);
    if (fault == FAKE_OLD_ANSWER && f->last.len > 0) {
        vf_buf_reset(out);
        vf_buf_put(out, f->last.data, f->last.len);
    } else if (fault == FAKE_RIGHT) {
        vf_buf_done(&f->last);
        vf_buf_init(&f->last, VF_ANSWER_MAX);
        vf_buf_put(&f->last, out->data, out->len);
    } else if (fault == FAKE_GARBAGE) {
        vf_random(out->data, out->len);
    }
}

/* -------------------------------------------------------------------------------------------------------------------- by HTTP */

static bool write_all(int fd, const void *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data = (const uint8_t *)data + n;
        len -= (size_t)n;
    }
    return true;
}

/* The body of a POST; its head must say how long it is. */
static bool read_request(int fd, struct vf_buf *body)
{
    char head[4096];
    size_t len = 0;
    const char *end = NULL;
    while (!end && len < sizeof(head) - 1) {
        ssize_t n = recv(fd, head + len, sizeof(head) - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        head[len] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    MUST(end != NULL && strncmp(head, "POST /v1/release ", 17) == 0);
    const char *field = strstr(head, "Content-Length: ");
    MUST(field != NULL);
    size_t want = (size_t)strtoul(field + 16, NULL, 10), have = len - (size_t)(end + 4 - head);
    vf_buf_init(body, VF_REQUEST_MAX);
    vf_buf_put(body, end + 4, have);
    while (body->len < want) {
        uint8_t more[65536];
        ssize_t n = recv(fd, more, sizeof(more), 0);
        if (n <= 0)
            return false;
        vf_buf_put(body, more, (size_t)n);
    }
    return true;
}

static void reply(struct fake_desk *f, int fd, const struct vf_buf *answer)
{
    char head[200];
    size_t len = f->fault == FAKE_HUGE ? (size_t)VF_ANSWER_MAX + 1 : answer->len;
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                     f->fault == FAKE_HTTP_500 ? "500 No" : "200 OK", len);
    (void)(write_all(fd, head, (size_t)n) &&
           write_all(fd, answer->data, f->fault == FAKE_CUT ? answer->len / 2 : answer->len));
}

static void nap(struct fake_desk *f, int64_t ms)
{
    for (int64_t i = 0; i < ms && !f->stop; i += 20)
        (void)usleep(20000);
}

static void lose(struct fake_desk *f, int fd)
{
    if (f->lost >= 0)
        (void)close(f->lost);
    f->lost = fd;
    f->drips = f->fault == FAKE_DRIP;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
    if (f->drips)
        (void)write_all(fd, head, sizeof(head) - 1);
}

static void *serve(void *arg)
{
    struct fake_desk *f = arg;
    while (!f->stop) {
        struct pollfd p = {.fd = f->listener, .events = POLLIN};
        if (f->lost >= 0 && f->drips)
            (void)write_all(f->lost, "H", 1);
        if (poll(&p, 1, 50) <= 0)
            continue;
        int fd = accept(f->listener, NULL, NULL);
        VF_BUF body = {0}, answer = {0};
        if (fd >= 0 && read_request(fd, &body)) {
            fake_desk_answer(f, body.data, body.len, &answer);
            nap(f, f->fault == FAKE_SILENT ? 60000 : f->delay_ms);
            if (f->fault == FAKE_LOST || f->fault == FAKE_DRIP) {
                lose(f, fd);
                continue;
            }
            if (!f->stop)
                reply(f, fd, &answer);
        }
        if (fd >= 0)
            (void)close(fd);
    }
    return NULL;
}

void fake_desk_serve(struct fake_desk *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", f->socket);
    (void)unlink(f->socket);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(f->listener >= 0 && bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(f->listener, 16) == 0);
    f->stop = false;
    MUST(pthread_create(&f->thread, NULL, serve, f) == 0);
}

void fake_desk_away(struct fake_desk *f)
{
    if (f->listener < 0)
        return;
    f->stop = true;
    MUST(pthread_join(f->thread, NULL) == 0);
    (void)close(f->listener);
    (void)unlink(f->socket);
    f->listener = -1;
    if (f->lost >= 0)
        (void)close(f->lost);
    f->lost = -1;
}
