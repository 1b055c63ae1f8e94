/* SPDX-License-Identifier: MIT */
/*
 * What a person hands to the desk: policies first, then enrolments, revocations, grants, logs. Each is checked in full before anything of it
 * counts, each is idempotent, a bad one stops none of the others.
 */
#include "desk_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RANKS 6

static void say(struct vf_received *told, const char *fmt, ...) VF_PRINTF(2, 3);
static void say(struct vf_received *told, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(told->text, sizeof(told->text), fmt, args);
    va_end(args);
}

static enum vf_err slurp(int fd, const char *name, size_t max, struct vf_buf *ret, struct vf_why *why)
{
    struct stat s;

    if (fstat(fd, &s) != 0)
        return vf_fail_sys(why, "%s", name);
    if (!S_ISREG(s.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: not a file", name);
    if (s.st_size <= 0)
        return vf_fail(why, VF_E_FORMAT, "%s: empty", name);
    if ((uint64_t)s.st_size > max)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than a file of its kind can be", name);
    vf_buf_init(ret, max);
    uint8_t *at = vf_buf_grow(ret, (size_t)s.st_size);
    VF_TRY(vf_buf_check(ret, name, why));
    return vf_fd_pread(fd, at, (size_t)s.st_size, 0, name, why);
}

/* ---------------------------------------------------------------------------------------------------------------------- policy */

/* lock is held. Which way is it from the one that rules here, or ruled last by the own log? */
static enum vf_err policy_fits(struct vf_desk *d, const struct vf_policy_chain *chain, const char *name, int *ret_cmp,
                               struct vf_why *why)
{
    if (chain->ruling == 0)
        return vf_fail(why, VF_E_UNSIGNED, "%s: no version of this policy is in force yet", name);
    *ret_cmp = 1;
    if (d->policy.ruling > 0)
        VF_TRY(vf_fail_prefix(why, vf_policy_chain_compare(&d->policy, chain, ret_cmp, why), "%s", name));
    if (*ret_cmp < 0 || chain->ruling < d->policy_floor)
        return vf_fail(why, VF_E_STALE, "%s: policy version %zu is older than the one this desk has had (%u)", name,
                       chain->ruling, d->policy_floor);
    if (d->policy_floor > 0 && memcmp(&chain->hashes[d->policy_floor - 1], &d->policy_hash, sizeof(d->policy_hash)) != 0)
        return vf_fail(why, VF_E_FORGED, "%s: not the policy that this desk has had: another force's, or a forgery", name);
    /* The first one says whose desk this is, and must say that it is this one. */
    if (d->policy_floor == 0 && (!chain->policy.has_desk || !vf_identity_pub_equal(&chain->policy.desk, &d->pub)))
        return vf_fail(why, VF_E_REFUSED, "%s: the policy of %s does not name this desk", name, chain->policy.force_name);
    return VF_OK;
}

/* Entry first: a policy in the database that the log does not know is not believed at the next start. */
static enum vf_err policy_keep(struct vf_desk *d, const struct vf_policy_chain *chain, struct vf_why *why)
{
    char object[128], hex[2 * VF_HASH_LEN + 1];
    const struct vf_entry e = {.event = VF_EVENT_RECEIVE, .part = -1, .object = object, .result = "ok"};
    const struct vf_desk_change row = {VF_DT_POLICY, "chain", 5, chain->bytes, chain->len};

    vf_hex(chain->policy.text_hash.b, VF_HASH_LEN, hex);
    (void)snprintf(object, sizeof(object), VF_DESK_LOG_POLICY "%zu sha256:%s", chain->ruling, hex);
    VF_TRY(vf_desk_tell_now(d, &e, why));
    return vf_desk_store_commit(d->store, &row, 1, why);
}

static enum vf_err policy_set(struct vf_desk *d, struct vf_policy_chain *chain, const char *name, struct vf_received *told,
                              struct vf_why *why)
{
    int cmp = 0;

    pthread_rwlock_rdlock(&d->lock);
    enum vf_err err = policy_fits(d, chain, name, &cmp, why);
    pthread_rwlock_unlock(&d->lock);
    VF_TRY(err);
    told->already = cmp == 0;
    if (cmp > 0) {
        VF_TRY(policy_keep(d, chain, why));
        pthread_rwlock_wrlock(&d->lock);
        struct vf_policy_chain old = d->policy;
        d->policy = *chain;
        d->policy_floor = (uint32_t)chain->ruling;
        d->policy_hash = chain->policy.text_hash;
        for (size_t i = 0; i < d->ngrants; i++) /* until it is judged, nothing that others agreed on */
            d->grants[i]->agreed = false;
        *chain = old;
        pthread_rwlock_unlock(&d->lock);
        VF_TRY(vf_desk_grants_judge(d, why));
    }
    say(told, "policy version %u of %s%s%s", d->policy.policy.version, d->policy.policy.force_name,
        told->already ? " (here already)" : "",
        d->policy.policy.has_desk && vf_identity_pub_equal(&d->policy.policy.desk, &d->pub)
            ? ""
            : "; it does not name this desk, which releases nothing any more");
    return VF_OK;
}

static enum vf_err take_policy(struct vf_desk *d, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF data = {0};
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};

    VF_TRY(slurp(fd, told->name, VF_POLICY_MAX, &data, why));
    VF_TRY(vf_policy_chain_parse(data.data, data.len, told->name, &chain, why));
    pthread_mutex_lock(&d->take_lock);
    enum vf_err err = policy_set(d, &chain, told->name, told, why);
    pthread_mutex_unlock(&d->take_lock);
    return err;
}

/* ------------------------------------------------------------------------------------------------------------------- enrolment */

static enum vf_err take_enrol(struct vf_desk *d, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF data = {0};
    struct vf_desk_device *dev = NULL;

    VF_TRY(slurp(fd, told->name, VF_ENROL_MAX, &data, why));
    VF_TRY(vf_desk_enrol_take(d, (struct vf_slice){data.data, data.len}, told->name, &dev, &told->already, why));
    say(told, "device %s%s", dev->enrol.name, told->already ? " (here already)" : "");
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ revocation */

/* In memory, at once: whatever the disk says, nobody gets anything any more. take_lock is held. */
static void revocation_mark(struct vf_desk *d, const struct vf_revocation *r)
{
    const enum vf_desk_named_as as = r->is_device ? VF_DESK_NAMED_DEVICE : VF_DESK_NAMED_GRANT;
    /* For a grant, or device, that comes later; its row says the same. */
    enum vf_err ignored =
        vf_desk_named_add(d, as, r->is_device ? (const void *)r->device.b : (const void *)r->grant.c, NULL);

    (void)ignored;
    pthread_rwlock_rdlock(&d->lock);
    struct vf_desk_device *dev = r->is_device ? vf_desk_device_find(d, &r->device) : NULL;
    struct vf_desk_grant *g = r->is_device ? NULL : vf_desk_grant_find(d, &r->grant);
    if (dev != NULL)
        atomic_store(&dev->revoked, true);
    if (g != NULL)
        atomic_store(&g->revoked, true);
    pthread_rwlock_unlock(&d->lock);
}

/* Entry and note, both durable. take_lock is held. */
static enum vf_err revocation_keep(struct vf_desk *d, const struct vf_revocation *r, const struct vf_buf *note,
                                   struct vf_received *told, struct vf_why *why)
{
    char object[128], hex[2 * VF_HASH_LEN + 1];
    const struct vf_entry e = {.event = VF_EVENT_RECEIVE,
                               .grant = r->is_device ? NULL : &r->grant,
                               .recipient = r->name,
                               .part = -1,
                               .object = object,
                               .result = "ok"};
    const void *key = r->is_device ? (const void *)r->device.b : (const void *)r->grant.c;
    const struct vf_desk_change row = {VF_DT_REVOCATION, key, r->is_device ? sizeof(r->device.b) : sizeof(r->grant.c),
                                       note->data, note->len};
    VF_BUF had = {.max = VF_NOTE_MAX};

    vf_hex(r->device.b, sizeof(r->device.b), hex);
    if (r->is_device)
        (void)snprintf(object, sizeof(object), VF_DESK_LOG_REVOKED_DEVICE "%s", hex);
    else
        (void)snprintf(object, sizeof(object), VF_DESK_LOG_REVOKED_GRANT "%.16s", r->grant.c);
    VF_TRY(vf_desk_store_get(d->store, row.table, row.key, row.key_len, &had, &told->already, why));
    if (!told->already) {
        VF_TRY(vf_desk_tell_now(d, &e, why));
        VF_TRY(vf_desk_store_commit(d->store, &row, 1, why));
    }
    return VF_OK;
}

/*
 * A key that it names, of a grant that never came here. Whose key belongs to another grant has made a mistake: that one stays. What was destroyed for
 * this note before is not destroyed once more each time that it is handed in.
 */
static enum vf_err end_unseen(struct vf_desk *d, const struct vf_revoked_key *k, bool already, unsigned *ret_n,
                              struct vf_why *why)
{
    struct vf_prekey_slot slot;

    pthread_rwlock_rdlock(&d->lock);
    struct vf_desk_batch *b = k->batch > 0 ? vf_desk_batch_find(d, k->batch) : NULL;
    bool unknown = b != NULL && k->number < b->count && b->owner[k->number] == NULL;
    pthread_rwlock_unlock(&d->lock);
    if (!unknown ||
        (already && vf_prekeys_slot(b->file, k->number, &slot, NULL) == VF_OK && slot.state == VF_PREKEY_DESTROYED))
        return VF_OK;
    ++*ret_n;
    return vf_desk_end_prekey(d, b, k->number, VF_PREKEY_REVOKED, &k->grant, why);
}

/* take_lock is held. One that cannot be destroyed yet keeps none of the others. */
static enum vf_err revocation_prekeys(struct vf_desk *d, const struct vf_revocation *r, bool already, unsigned *ret_n,
                                      struct vf_why *why)
{
    const struct vf_revoked_key one = {r->grant, r->prekey_batch, r->prekey_number};
    enum vf_err worst = r->is_device ? VF_OK : end_unseen(d, &one, already, ret_n, why);

    for (size_t i = 0; i < r->nkeys; i++) {
        enum vf_err err = end_unseen(d, &r->keys[i], already, ret_n, why);
        worst = err != VF_OK ? err : worst;
    }
    return worst;
}

static enum vf_err take_revocation(struct vf_desk *d, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF data = {0};
    VF_FREE struct vf_revocation *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", told->name);
    VF_TRY(slurp(fd, told->name, VF_NOTE_MAX, &data, why));
    pthread_mutex_lock(&d->take_lock);
    pthread_rwlock_rdlock(&d->lock);
    enum vf_err err = vf_revocation_parse(data.data, data.len, told->name, &d->policy, r, why);
    pthread_rwlock_unlock(&d->lock);
    enum vf_err ended = VF_OK;
    unsigned unseen = 0;
    const bool genuine = err == VF_OK;
    if (genuine) {
        revocation_mark(d, r);
        err = revocation_keep(d, r, &data, told, why);
        if (err == VF_E_DISK_FULL) { /* the log looks at a disk again after a tenth of a second */
            vf_desk_reserve_give(d);
            (void)nanosleep(&(const struct timespec){.tv_nsec = 150 * 1000000L}, NULL);
            err = revocation_keep(d, r, &data, told, why);
        }
        ended = revocation_prekeys(d, r, err == VF_OK && told->already, &unseen, err == VF_OK ? why : NULL);
    }
    pthread_mutex_unlock(&d->take_lock);
    if (!genuine)
        return err;
    atomic_store(&d->ends_due, true);
    enum vf_err all = vf_desk_end(d, err == VF_OK && ended == VF_OK ? why : NULL);
    if (err != VF_OK)
        return vf_fail_prefix(
            why, err, "%s: nothing is released any more, but that could not be written down; hand it in again", told->name);
    VF_TRY(ended);
    VF_TRY(all);
    if (r->is_device)
        say(told, "device %s is revoked, with all its grants, and their one-time keys are destroyed%s%s", r->name,
            unseen > 0 ? "; those of grants that this desk had not seen, too" : "", told->already ? " (known already)" : "");
    else
        say(told, "grant %.16s is revoked, and its one-time key is destroyed%s", r->grant.c,
            told->already ? " (known already)" : "");
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------------- grant */

/* Note and manifest; envelopes and catalogue are the station's. The manifest is as long as the text, which is signed, makes it. */
static enum vf_err grant_parts(struct vf_desk *d, int fd, const char *name, struct vf_buf *note, struct vf_buf *manifest,
                               struct vf_why *why)
{
    VF_FREE struct vf_grant *g = calloc(1, sizeof(*g));
    struct vf_grant_layout layout;
    uint8_t head[12], len[8];
    struct stat s;

    if (g == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", name);
    if (fstat(fd, &s) != 0)
        return vf_fail_sys(why, "%s", name);
    if (!S_ISREG(s.st_mode) || s.st_size < (off_t)sizeof(head))
        return vf_fail(why, VF_E_FORMAT, "%s: the grant is cut short; fetch it again", name);
    uint64_t size = (uint64_t)s.st_size;
    VF_TRY(vf_fd_pread(fd, head, sizeof(head), 0, name, why));
    uint32_t note_len = vf_get_be32(head + 8);
    if (note_len == 0 || note_len > VF_NOTE_MAX || note_len + sizeof(head) + sizeof(len) > size)
        return vf_fail(why, VF_E_FORMAT, "%s: the grant is cut short; fetch it again", name);
    vf_buf_init(note, note_len);
    uint8_t *at = vf_buf_grow(note, note_len);
    VF_TRY(vf_buf_check(note, name, why));
    VF_TRY(vf_fd_pread(fd, at, note_len, sizeof(head), name, why));
    pthread_rwlock_rdlock(&d->lock);
    enum vf_err err = vf_desk_grant_judge(d, note->data, note->len, g, why);
    pthread_rwlock_unlock(&d->lock);
    VF_TRY(vf_fail_prefix(why, err, "%s", name));
    vf_grant_layout_of(g->fields, &layout);
    VF_TRY(vf_fd_pread(fd, len, sizeof(len), sizeof(head) + note_len, name, why));
    uint64_t manifest_at = sizeof(head) + note_len + sizeof(len), manifest_len = vf_get_be64(len);
    if (manifest_len == 0 || manifest_len > 64 + (uint64_t)g->records * layout.manifest_stride ||
        manifest_len > size - manifest_at)
        return vf_fail(why, VF_E_FORMAT, "%s: the grant is cut short; fetch it again", name);
    vf_buf_init(manifest, (size_t)manifest_len);
    at = vf_buf_grow(manifest, (size_t)manifest_len);
    VF_TRY(vf_buf_check(manifest, name, why));
    return vf_fd_pread(fd, at, (size_t)manifest_len, manifest_at, name, why);
}

static enum vf_err take_grant(struct vf_desk *d, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF note = {0}, manifest = {0};
    const struct vf_slice no_enrol = {0};
    struct vf_desk_grant *g = NULL;
    char until[64];

    VF_TRY(grant_parts(d, fd, told->name, &note, &manifest, why));
    VF_TRY(vf_desk_grant_take(d, (struct vf_slice){note.data, note.len}, (struct vf_slice){manifest.data, manifest.len},
                              no_enrol, told->name, &g, &told->already, why));
    vf_time_format_person(g->g.until_us, until, sizeof(until));
    bool revoked = atomic_load(&g->revoked) || atomic_load(&g->device->revoked);
    say(told, "grant %.16s for job %s of %s: %u record%s until %s%s%s", g->g.id.c, g->g.job, g->g.recipient, g->g.records,
        g->g.records == 1 ? "" : "s", until, revoked ? "; it is revoked" : "", told->already ? " (here already)" : "");
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- all of them */

/* Rank of a kind in the order of taking; what is not for a desk comes last and is refused. */
static int rank_of(enum vf_artefact kind)
{
    switch (kind) {
    case VF_ARTEFACT_POLICY:
        return 0;
    case VF_ARTEFACT_ENROL:
        return 1;
    case VF_ARTEFACT_REVOCATION:
        return 2;
    case VF_ARTEFACT_GRANT:
        return 3;
    case VF_ARTEFACT_HANDIN:
        return 4;
    case VF_ARTEFACT_UNKNOWN:
    case VF_ARTEFACT_BUNDLE:
    case VF_ARTEFACT_RECEIPT:
    case VF_ARTEFACT_PREKEYS:
    case VF_ARTEFACT_IDENTITY:
    default:
        return RANKS - 1;
    }
}

static enum vf_err take_one(struct vf_desk *d, int fd, struct vf_received *told, struct vf_why *why)
{
    switch (told->kind) {
    case VF_ARTEFACT_POLICY:
        return take_policy(d, fd, told, why);
    case VF_ARTEFACT_ENROL:
        return take_enrol(d, fd, told, why);
    case VF_ARTEFACT_REVOCATION:
        return take_revocation(d, fd, told, why);
    case VF_ARTEFACT_GRANT:
        return take_grant(d, fd, told, why);
    case VF_ARTEFACT_HANDIN:
        return vf_desk_handin_take(d, fd, told, why);
    case VF_ARTEFACT_UNKNOWN:
        return vf_fail(why, VF_E_FORMAT, "%s: not a file that is handed to a desk", told->name);
    case VF_ARTEFACT_BUNDLE:
    case VF_ARTEFACT_RECEIPT:
    case VF_ARTEFACT_PREKEYS:
    case VF_ARTEFACT_IDENTITY:
    default:
        return vf_fail(why, VF_E_INPUT, "%s: %s, which is not for a desk to receive", told->name,
                       vf_artefact_text(told->kind));
    }
}

enum vf_err vf_desk_receive(struct vf_desk *d, const struct vf_receive_file *files, size_t n,
                            void (*told_fn)(void *user, const struct vf_received *one), void *user, struct vf_why *why)
{
    VF_FREE enum vf_artefact *kinds = calloc(n > 0 ? n : 1, sizeof(*kinds));
    size_t failed = 0;
    enum vf_err last = VF_OK;

    if (d->mode != VF_DESK_SERVE)
        return vf_fail(why, VF_E_USAGE, "%s: is open for looking only", d->path);
    if (kinds == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        uint8_t head[64];
        ssize_t got = pread(files[i].fd, head, sizeof(head), 0);
        kinds[i] = vf_artefact_of(head, got > 0 ? (size_t)got : 0);
    }
    for (int rank = 0; rank < RANKS; rank++) {
        for (size_t i = 0; i < n; i++) {
            struct vf_why one = {0};
            struct vf_received told = {.name = files[i].name, .kind = kinds[i]};
            if (rank_of(kinds[i]) != rank)
                continue;
            told.err = take_one(d, files[i].fd, &told, &one);
            if (told.err != VF_OK) {
                (void)snprintf(told.text, sizeof(told.text), "%s", one.text);
                failed++;
                last = told.err;
                if (why != NULL)
                    *why = one;
            }
            if (told_fn != NULL)
                told_fn(user, &told);
        }
    }
    if (failed == 0 || failed == n)
        return last;
    return vf_fail(why, VF_E_PARTIAL, "%zu of %zu files %s not taken", failed, n, failed == 1 ? "was" : "were");
}
