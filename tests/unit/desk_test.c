/* SPDX-License-Identifier: MIT */
#include "desk_test.h"

#include <sys/mman.h>
#include <unistd.h>

int desk_set_up(void **state)
{
    (void)state;
    return admins_set_up(8u << 20);
}

int desk_tear_down(void **state)
{
    return vault_tear_down(state);
}

/* ------------------------------------------------------------------------------------------------------------------- the force */

void desk_policy_change(struct desk_world *w, const struct vf_policy_change *change)
{
    struct vf_vault *v = open_as(&w->p, VF_VAULT_WRITE, ALICE);
    VF_BUF next = {.max = VF_POLICY_MAX}, both = {.max = VF_POLICY_MAX};
    struct vf_policy_chain chain = {0};
    bool pending = true;

    OK(vf_policy_change_make(v, change, admin[ALICE], &next, why));
    close_vault(v);
    OK(vf_policy_chain_parse(next.data, next.len, "next", &chain, why));
    OK(vf_policy_chain_sign(&chain, admin[BOB], &both, why));
    vf_policy_chain_done(&chain);
    OK(vf_policy_install(w->p.vault, both.data, both.len, admin[ALICE], &pending, why));
    MUST(!pending);
}

void desk_world_make(struct desk_world *w, unsigned officers, uint32_t prekeys, int64_t last_us)
{
    const struct vf_desk_options opt = {.prekeys = prekeys, .last_us = last_us};
    struct vf_prekeys_report report;

    *w = (struct desk_world){0};
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &w->desk, why));
    place_make(&w->p, 2, 1);
    (void)place_path(&w->p, "desk-store", w->store);
    vf_buf_init(&w->prekeys, VF_PREKEYS_FILE_MAX);
    OK(vf_desk_create(w->store, w->desk, &opt, &w->prekeys, why));
    const struct vf_policy_change change = {.desk = vf_identity_pub_get(w->desk), .desk_url = "https://desk.example"};
    desk_policy_change(w, &change);
    struct vf_vault *v = open_as(&w->p, VF_VAULT_WRITE, ALICE);
    officers_without_photos(&w->p, v, officers);
    OK(vf_prekeys_install(v, admin[ALICE], w->prekeys.data, w->prekeys.len, "desk.prekeys", &report, why));
    close_vault(v);
}

void desk_world_done(struct desk_world *w)
{
    vf_buf_done(&w->prekeys);
    vf_identity_free(w->desk);
    place_done(&w->p);
}

struct vf_desk *desk_open(struct desk_world *w)
{
    struct vf_desk *d = NULL;

    OK(vf_desk_open(w->store, VF_DESK_SERVE, w->desk, &d, why));
    return d;
}

void desk_close(struct vf_desk *d)
{
    OK(vf_desk_close(d, why));
}

enum vf_err desk_take(struct vf_desk *d, const void *data, size_t len, const char *name)
{
    VF_FD fd = memfd_create(name, MFD_CLOEXEC);
    const struct vf_receive_file file = {.fd = fd, .name = name};

    OK(vf_fd_write(fd, data, len, name, why));
    return vf_desk_receive(d, &file, 1, NULL, NULL, why);
}

void desk_take_policy(struct desk_world *w, struct vf_desk *d)
{
    struct vf_vault *v = open_as(&w->p, VF_VAULT_PUBLIC, 0);
    const struct vf_policy_chain *chain = vf_vault_policy(v);

    OK(desk_take(d, chain->bytes, chain->len, "force.policy"));
    close_vault(v);
}

/* ----------------------------------------------------------------------------------------------------------------- its clients */

void desk_client_make(struct desk_world *w, const char *name, int64_t for_us, uint64_t budget, struct desk_client *c)
{
    desk_client_make_from(w, name, vf_clock_wall_us(), for_us, budget, c);
}

void desk_client_make_from(struct desk_world *w, const char *name, int64_t from_us, int64_t for_us, uint64_t budget,
                           struct desk_client *c)
{
    static const struct vf_log_options batch = {.batch = true};
    struct vf_vault *v = open_as(&w->p, VF_VAULT_WRITE, ALICE);

    *c = (struct desk_client){0};
    bureau_make(&w->p, vf_vault_id_get(v), name, &c->b);
    struct vf_issue_options opt = options_for(&c->b, "cards", vf_field_set_card_print());
    opt.now_us = vf_clock_wall_us();
    opt.from_us = from_us;
    opt.until_us = from_us + for_us;
    opt.release = VF_RELEASE_ONLINE;
    opt.budget = budget;
    opt.allow_incomplete = true;
    issue(v, ALICE, &opt, &c->i);
    close_vault(v);
    OK(vf_log_open(c->b.log, c->b.seal, &batch, &c->log, why));
    c->key = vf_secret_new(sizeof(*c->key));
    MUST(c->key != NULL);
    vf_buf_init(&c->receipt, VF_NOTE_MAX);
    vf_buf_init(&c->checkpoints, VF_REQUEST_MAX);
    vf_buf_init(&c->entries, VF_REQUEST_MAX);
}

void desk_client_done(struct desk_client *c)
{
    if (c->log != NULL)
        OK(vf_log_close(c->log, why));
    issued_done(&c->i);
    bureau_done(&c->b);
    vf_secret_free(c->key);
    vf_buf_done(&c->receipt);
    vf_buf_done(&c->checkpoints);
    vf_buf_done(&c->entries);
}

void desk_client_works(struct desk_client *c, unsigned entries)
{
    const struct vf_entry e = {.event = VF_EVENT_MOUNT, .part = -1, .result = "ok"};

    for (unsigned i = 0; i < entries; i++)
        OK(vf_log_commit(c->log, &e, why));
    OK(vf_log_seal(c->log, why));
}

struct vf_request desk_request(struct desk_client *c, bool first)
{
    struct vf_request req = {.vault = c->i.f.grant.vault,
                             .enrolment = c->b.enrol.id,
                             .grant = c->i.f.grant.id,
                             .grant_text = c->i.f.grant.text_hash,
                             .log_from = c->known};

    vf_random(req.nonce, sizeof(req.nonce));
    vf_answer_key_new(c->key);
    req.answer_to = c->key->pub;
    vf_buf_reset(&c->checkpoints);
    vf_buf_reset(&c->entries);
    OK(vf_log_tail(c->log, c->known, VF_REQUEST_MAX / 2, &c->checkpoints, &c->entries, &req.log_size, why));
    struct vf_log_state log;
    vf_log_state_get(c->log, &log);
    req.log_end = log.sealed;
    req.log_end_us = log.sealed_us;
    req.checkpoints = (struct vf_slice){c->checkpoints.data, c->checkpoints.len};
    req.entries = (struct vf_slice){c->entries.data, c->entries.len};
    req.receipt = (struct vf_slice){c->receipt.data, c->receipt.len};
    if (first) {
        req.grant_note = (struct vf_slice){c->i.f.note_bytes, c->i.f.note_len};
        req.manifest = (struct vf_slice){c->i.f.manifest_bytes, c->i.f.manifest_len};
        req.enrol = (struct vf_slice){c->b.enrol_bytes.data, c->b.enrol_bytes.len};
    }
    return req;
}

void desk_want(const struct desk_client *c, struct vf_request *req, uint32_t row, enum vf_part part)
{
    struct vf_want *want = &req->wants[req->nwants++];

    MUST(req->nwants <= VF_REQUEST_WANTS_MAX);
    vf_manifest_ref(&c->i.f.manifest, row, &want->ref);
    want->part = part;
}

void desk_request_seal(struct desk_world *w, const struct vf_identity *by, struct vf_request *req, struct vf_buf *sealed)
{
    vf_buf_init(sealed, VF_REQUEST_MAX);
    OK(vf_request_make(req, by, vf_identity_pub_get(w->desk), sealed, why));
}

void desk_reply_done(struct desk_reply *r)
{
    vf_secret_free(r->shares);
    vf_buf_done(&r->rest);
}

static void take_receipt(struct desk_world *w, struct desk_client *c, const struct desk_reply *r)
{
    struct vf_note_key key;
    struct vf_checkpoint at;
    VF_FREE struct vf_note *note = calloc(1, sizeof(*note));
    int64_t time_us = 0;

    MUST(note != NULL);
    vf_note_cosigner_key_of(vf_identity_pub_get(w->desk), &key);
    OK(vf_note_parse(r->answer.receipt.data, r->answer.receipt.len, note, why));
    OK(vf_receipt_verify(note, &key, 1, &at, &time_us, why));
    MUST(at.size == r->answer.log_size);
    vf_buf_reset(&c->receipt);
    vf_buf_put(&c->receipt, r->answer.receipt.data, r->answer.receipt.len);
}

struct desk_reply desk_ask_sealed(struct desk_world *w, struct vf_desk *d, struct desk_client *c, const struct vf_hash *hash,
                                  const void *sealed, size_t len, int64_t lease_us, bool by_hand)
{
    VF_BUF out = {.max = VF_ANSWER_MAX};
    struct desk_reply r = {0};

    r.err = vf_desk_answer(d, sealed, len, lease_us, by_hand, &out, &r.outcome, why);
    if (r.err != VF_OK) {
        MUST(out.len == 0);
        return r;
    }
    OK(vf_answer_open(c->key, vf_identity_pub_get(w->desk), hash, out.data, out.len, &r.rest, &r.answer, &r.shares, why));
    MUST(r.answer.status == r.outcome.status && r.answer.nshares == r.outcome.shares);
    MUST(r.answer.nshares == 0 || r.answer.status == VF_ANSWER_OK);
    if (r.answer.receipt.len > 0) {
        take_receipt(w, c, &r);
        c->known = r.answer.log_size;
    }
    return r;
}

struct desk_reply desk_ask_as(struct desk_world *w, struct vf_desk *d, struct desk_client *c, struct vf_request *req,
                              int64_t lease_us, bool by_hand)
{
    VF_BUF sealed = {0};

    desk_request_seal(w, c->b.device, req, &sealed);
    return desk_ask_sealed(w, d, c, &req->hash, sealed.data, sealed.len, lease_us, by_hand);
}

struct desk_reply desk_ask(struct desk_world *w, struct vf_desk *d, struct desk_client *c, struct vf_request *req)
{
    return desk_ask_as(w, d, c, req, 0, false);
}

enum vf_answer_status desk_status_of(struct desk_world *w, struct vf_desk *d, struct desk_client *c, bool first,
                                     uint32_t row, enum vf_part part)
{
    desk_client_works(c, 1);
    struct vf_request req = desk_request(c, first);
    desk_want(c, &req, row, part);
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(w, d, c, &req);
    OK(r.err);
    if (r.answer.nshares > 0)
        desk_shares_open(c, &r);
    return r.answer.status;
}

void desk_introduce(struct desk_world *w, struct vf_desk *d, struct desk_client *c)
{
    desk_client_works(c, 1);
    struct vf_request req = desk_request(c, true);
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(w, d, c, &req);

    OK(r.err);
    if (r.answer.status != VF_ANSWER_OK) {
        (void)fprintf(stderr, "%s: %s\n", vf_answer_text(r.answer.status), r.answer.text);
        abort();
    }
}

void desk_shares_open(const struct desk_client *c, const struct desk_reply *r)
{
    const struct vf_grant *g = &c->i.f.grant;
    struct vf_grant_layout l;
    struct vf_grant_share gs;

    vf_grant_layout_of(g->fields, &l);
    OK(vf_grant_share_open(c->b.device, g->sealed_share, &gs));
    for (size_t i = 0; i < r->answer.nshares; i++) {
        const struct vf_share *s = &r->shares[i];
        struct vf_field_key keys[VF_FIELD_COUNT];
        uint32_t row = 0;
        size_t len = 0;
        MUST(vf_manifest_find(&c->i.f.manifest, &s->ref, &row));
        size_t at = vf_envelope_at(&l, row, s->part, &len);
        MUST(len > 0);
        OK(vf_grant_open_keys(g, &l, &gs, &s->share, &s->ref, s->part, c->i.f.envelopes + at, keys));
    }
}

/* -------------------------------------------------------------------------------------------------------------------- evidence */

struct count {
    enum vf_event event;
    const char *result;
    unsigned n;
};

static enum vf_err tally_entry(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *unused)
{
    struct count *c = user;

    (void)sealed;
    (void)unused;
    c->n +=
        e->event == c->event &&
        (c->result == NULL || (e->result.len == strlen(c->result) && memcmp(e->result.p, c->result, e->result.len) == 0));
    return VF_OK;
}

unsigned desk_log_counts(struct desk_world *w, enum vf_event event, const char *result)
{
    struct count c = {.event = event, .result = result};
    struct vf_note_key key;
    const struct vf_verify_options opt = {.signers = &key, .nsigners = 1, .each = tally_entry, .user = &c};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    char dir[500];

    MUST(v != NULL);
    vf_note_key_of(vf_identity_pub_get(w->desk), &key);
    (void)snprintf(dir, sizeof(dir), "%s/log", w->store);
    OK(vf_log_verify(dir, &opt, v, why));
    if (!v->good)
        (void)fprintf(stderr, "%s\n", v->findings[0]);
    MUST(v->good);
    return c.n;
}

void desk_revocation(struct desk_world *w, const struct vf_revocation *r, struct vf_buf *out)
{
    (void)w;
    vf_buf_init(out, VF_NOTE_MAX);
    OK(vf_revocation_make(r, admin[ALICE], out, why));
}

struct vf_revocation desk_revokes(const struct desk_client *c)
{
    const struct vf_grant *g = &c->i.f.grant;
    struct vf_revocation r = {.vault = g->vault,
                              .grant = g->id,
                              .prekey_batch = g->prekey_batch,
                              .prekey_number = g->prekey_number,
                              .reason = "lost",
                              .time_us = vf_clock_wall_us()};

    (void)snprintf(r.name, sizeof(r.name), "%s", c->b.enrol.name);
    return r;
}

int desk_and_force(void **state, struct desk_world *w, unsigned officers, uint32_t prekeys, bool policy,
                   struct vf_desk **ret)
{
    if (desk_set_up(state) != 0)
        return -1;
    desk_world_make(w, officers, prekeys, 0);
    *ret = desk_open(w);
    if (policy)
        desk_take_policy(w, *ret);
    return 0;
}

int desk_and_force_done(void **state, struct desk_world *w, struct vf_desk *d)
{
    desk_close(d);
    desk_world_done(w);
    return desk_tear_down(state);
}
