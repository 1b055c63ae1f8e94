/* SPDX-License-Identifier: MIT */
/*
 * Two ways. Without --ref the log is verified while it is read, and each entry is shown as soon as it is known whether it is proven. With --ref a
 * search on all cores shows the entries at once, unproven; then the log is verified, and it is said which of them are.
 */
#include "audit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define OUT_MAX   ((size_t)1 << 20)
#define OUT_WHEN  ((size_t)1 << 16)
#define DOUBTS    20
#define LISTS     64 /* looked up once; more of them each time */
#define NAP_NS    100000000L
#define UNPROVEN  "  [NOT PROVEN]"
#define UNCHECKED "  [not checked]"

typedef unsigned long long ull;

struct filter {
    const char *ref, *grant, *result;
    char quoted[VF_REF_LEN + 3]; /* "REF" with its quotes */
    bool has_event, has_since, has_until;
    enum vf_event event;
    int64_t since_us, until_us;
};

/* Of an entry of all records of a list: is the record that was asked for on it? */
enum listed { NOT_KNOWN, LISTED, NOT_LISTED };
struct list {
    struct vf_hash manifest;
    enum listed is;
};

struct show {
    struct filter f;
    struct vf_vault *vault; /* borrowed; NULL: which records a list has is not known */
    struct list lists[LISTS];
    size_t nlists;
    struct vf_buf out;
    bool json, unchecked, repeated; /* repeated: shown before by the search, and now being verified */
    uint64_t shown, seals_hidden;
    uint64_t doubts, doubt[DOUBTS]; /* shown and not proven: how many, the first of them */
    struct vf_hasher said[2];       /* over the lines that the search showed; that the verification met */
    uint64_t met;
    struct kt_progress progress;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* -------------------------------------------------------------------------------------------------------------- filters */

static enum vf_err take_filters(const struct kt_args *a, struct filter *f, struct vf_why *why)
{
    struct vf_ref ref;
    struct vf_grant_id id;

    f->ref = kt_get(a, KT_REF);
    f->grant = kt_get(a, KT_GRANT_ID);
    f->result = kt_get(a, KT_RESULT);
    if (f->ref && !vf_ref_parse(f->ref, strlen(f->ref), &ref))
        return kt_usage(why, "--ref: \"%s\" is no ref; a ref has 8 characters of A to Z and 2 to 7", f->ref);
    if (f->grant && !vf_grant_id_parse(f->grant, strlen(f->grant), &id))
        return kt_usage(why, "--grant: \"%s\" is no grant; a grant's id has 16 characters of A to Z and 2 to 7", f->grant);
    if (f->ref)
        (void)snprintf(f->quoted, sizeof(f->quoted), "\"%s\"", f->ref);
    const char *event = kt_get(a, KT_EVENT);
    f->has_event = event != NULL;
    if (event && !vf_event_parse(event, strlen(event), &f->event))
        return kt_usage(why, "--event: there is no event \"%s\"; the manual page lists them", event);
    f->has_since = kt_has(a, KT_SINCE);
    f->has_until = kt_has(a, KT_UNTIL_TIME);
    if (f->has_since)
        VF_TRY(kt_time_arg("since", kt_get(a, KT_SINCE), &f->since_us, why));
    if (f->has_until) {
        VF_TRY(kt_time_arg("until", kt_get(a, KT_UNTIL_TIME), &f->until_us, why));
        f->until_us += VF_SECOND_US - 1 - f->until_us % VF_SECOND_US; /* times are shown cut to seconds */
    }
    return VF_OK;
}

static enum listed look_up(const struct show *s, const struct vf_hash *hash)
{
    VF_TXN txn = NULL;
    struct vf_manifest m;
    struct vf_slice val;
    struct vf_ref ref;
    uint32_t row;

    if (!vf_ref_parse(s->f.ref, strlen(s->f.ref), &ref) || vf_txn_read(vf_vault_store(s->vault), &txn, NULL) ||
        !vf_txn_get(txn, VF_VT_MANIFEST, hash->b, sizeof(hash->b), &val) ||
        vf_manifest_parse(val.data, val.len, "a list in the vault", &m, NULL))
        return NOT_KNOWN;
    return vf_manifest_find(&m, &ref, &row) ? LISTED : NOT_LISTED;
}

static enum listed on_list(struct show *s, const struct vf_entry_view *e)
{
    struct vf_hash hash;

    if (!s->vault || !s->f.ref || !e->manifest.p || !vf_unhex(e->manifest.p, e->manifest.len, hash.b, sizeof(hash.b)))
        return NOT_KNOWN;
    for (size_t i = 0; i < s->nlists; i++)
        if (memcmp(s->lists[i].manifest.b, hash.b, sizeof(hash.b)) == 0)
            return s->lists[i].is;
    enum listed is = look_up(s, &hash);
    if (s->nlists < LISTS)
        s->lists[s->nlists++] = (struct list){hash, is};
    return is;
}

static bool text_is(const struct vf_entry_text *t, const char *want)
{
    return t->p && t->len == strlen(want) && memcmp(t->p, want, t->len) == 0;
}

/* Seal entries come once a second and say nothing about people: only when they are asked for. */
static bool wanted(struct show *s, const struct vf_entry_view *e)
{
    const struct filter *f = &s->f;
    if (f->has_event && e->event != f->event)
        return false;
    if ((f->has_since && e->time_us < f->since_us) || (f->has_until && e->time_us > f->until_us))
        return false;
    if ((f->grant && !text_is(&e->grant, f->grant)) || (f->result && !text_is(&e->result, f->result)))
        return false;
    if (f->ref && e->all && on_list(s, e) == NOT_LISTED)
        return false;
    if (f->ref && !e->all && (!e->refs.p || !memmem(e->refs.p, e->refs.len, f->quoted, VF_REF_LEN + 2)))
        return false;
    if (!f->has_event && e->event == VF_EVENT_SEAL) {
        s->seals_hidden++;
        return false;
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- output */

static enum vf_err flush(struct show *s, struct vf_why *why)
{
    VF_TRY(vf_buf_check(&s->out, "what is to be shown", why));
    if (s->out.len > 0 && fwrite(s->out.data, 1, s->out.len, stdout) != s->out.len)
        return vf_fail_sys(why, "standard output");
    vf_buf_reset(&s->out);
    return VF_OK;
}

static enum vf_err show_entry(struct show *s, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    if (s->json) {
        vf_buf_text(&s->out, s->shown > 0 ? ",\n  " : "\n  ");
        kt_entry_json(e, sealed, &s->out);
    } else {
        kt_entry_text(e, s->f.ref, e->all && on_list(s, e) == LISTED,
                      s->unchecked         ? UNCHECKED
                      : sealed || s->f.ref ? ""
                                           : UNPROVEN,
                      &s->out);
    }
    s->shown++;
    return s->out.len >= OUT_WHEN ? flush(s, why) : VF_OK;
}

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct show *s = user;
    if (!wanted(s, e))
        return VF_OK;
    if (!sealed && s->doubts++ < DOUBTS)
        s->doubt[s->doubts - 1] = e->seq;
    if (!s->repeated)
        return show_entry(s, e, sealed, why);
    vf_hasher_update(&s->said[1], e->line, e->line_len + 1); /* a newline stands behind each line */
    s->met++;
    return VF_OK;
}

static enum vf_err found(void *user, const struct vf_entry_view *e, struct vf_why *why)
{
    struct show *s = user;
    if (!wanted(s, e))
        return VF_OK;
    if (s->said[0].ctx)
        vf_hasher_update(&s->said[0], e->line, e->line_len + 1);
    return show_entry(s, e, false, why);
}

static void progress(void *user, uint64_t done, uint64_t total)
{
    struct show *s = user;
    kt_progress_show(&s->progress, done, total);
}

static bool wait_for_more(void *user)
{
    struct show *s = user;
    const struct timespec nap = {.tv_nsec = NAP_NS};
    struct vf_why why;
    kt_progress_done(&s->progress);
    if (flush(s, &why) || fflush(stdout) != 0)
        return false;
    if (!interrupted)
        (void)nanosleep(&nap, NULL);
    return !interrupted;
}

/* ----------------------------------------------------------------------------------------------------------------- ways */

static enum vf_err search(struct show *s, const char *log, struct vf_why *why)
{
    char grant[VF_GRANT_ID_LEN + 16];
    struct vf_search_options opt = {.each = found, .progress = progress, .user = s};
    (void)snprintf(grant, sizeof(grant), "\"grant\":\"%s\"", s->f.grant ? s->f.grant : "");
    if (s->f.ref) {
        opt.needles[opt.nneedles++] = s->f.quoted;
        opt.needles[opt.nneedles++] = "\"refs\":\"all\"";
    } else {
        opt.needles[opt.nneedles++] = s->f.grant ? grant : "{\"seq\":";
    }
    s->progress = (struct kt_progress){.what = "Searching", .unit = "bytes"};
    enum vf_err err = vf_log_search(log, &opt, why);
    kt_progress_done(&s->progress);
    VF_TRY(err);
    VF_TRY(flush(s, why));
    return fflush(stdout) != 0 ? vf_fail_sys(why, "standard output") : VF_OK;
}

static enum vf_err verify(struct show *s, const char *log, const struct kt_against *g, bool follow, struct vf_verdict *v,
                          struct vf_why *why)
{
    struct vf_verify_options opt = kt_against_options(g);
    opt.each = each;
    opt.progress = progress;
    opt.wait = follow ? wait_for_more : NULL;
    opt.user = s;
    s->progress = (struct kt_progress){.what = "Verifying", .unit = "bytes"};
    enum vf_err err = vf_log_verify(log, &opt, v, why);
    kt_progress_done(&s->progress);
    return err ? err : flush(s, why);
}

/* Are the lines that the search showed those that the verification met? */
static bool same_lines(struct show *s)
{
    struct vf_hash a, b;
    vf_hasher_final(&s->said[0], &a);
    vf_hasher_final(&s->said[1], &b);
    return s->met == s->shown && vf_equal(a.b, b.b, sizeof(a.b));
}

/* -------------------------------------------------------------------------------------------------------------- verdict */

static void print_doubts(const struct show *s)
{
    if (s->doubts == 0)
        return;
    (void)printf("Not proven: entr%s", kt_ies(s->doubts));
    for (uint64_t i = 0; i < s->doubts && i < DOUBTS; i++)
        (void)printf("%s%llu", i == 0 ? " " : ", ", (ull)s->doubt[i]);
    if (s->doubts > DOUBTS)
        (void)printf(" and %llu more", (ull)(s->doubts - DOUBTS));
    (void)printf("; no checkpoint that verified covers %s.\n", s->doubts == 1 ? "it" : "them");
}

static void print_end(const struct show *s, const struct vf_verdict *v, bool same)
{
    if (kt_quiet && v->good && same && s->doubts == 0)
        return;
    (void)printf("\n%llu entr%s shown", (ull)s->shown, kt_ies(s->shown));
    if (s->seals_hidden > 0)
        (void)printf(" (seal entries are left out: --event seal shows them)");
    (void)printf(". ");
    for (size_t i = 0; i < v->nfindings; i++)
        (void)printf("\nFOUND %s", v->findings[i]);
    if (!v->good)
        (void)printf("\nThis log is NOT GOOD: it was damaged or changed.\n");
    else
        (void)printf("Log of the %s %s verified: good, %llu of its %llu entr%s sealed%s.\n",
                     kt_log_kind_text(v->origin.kind), v->origin.owner, (ull)v->sealed, (ull)v->entries, kt_ies(v->entries),
                     v->origin_checked ? "" : "; whose log it is was not checked (--enrol or --vault does that)");
    if (!same)
        (void)printf(
            "Some of the lines shown are no entries of this log: they stand out of place, behind its end, or were changed "
            "meanwhile. Do not rely on them.\n");
    print_doubts(s);
}

static enum vf_err end(struct show *s, const char *log, const struct vf_verdict *v, bool same, struct vf_why *why)
{
    if (s->json) {
        VF_FREE char *verdict = NULL;
        json_t *doc = kt_verdict_json(v);
        verdict = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
        json_decref(doc);
        if (!verdict)
            return vf_fail(why, VF_E_NOMEM, "out of memory");
        (void)printf("\n],\n\"shown\": %llu,\n\"verdict\": %s}\n", (ull)s->shown, verdict);
    } else {
        print_end(s, v, same);
    }
    if (!v->good)
        return vf_fail(why, VF_E_FORGED, "%s: %.300s", log, v->nfindings ? v->findings[0] : "not good");
    return same ? VF_OK : vf_fail(why, VF_E_FORGED, "%s: some of the lines shown are no entries of this log", log);
}

/* Nothing was verified, and that is said. */
static enum vf_err end_unchecked(struct show *s)
{
    if (s->json)
        (void)printf("\n],\n\"shown\": %llu,\n\"verdict\": null}\n", (ull)s->shown);
    else
        (void)printf("\n%llu entr%s found. NOTHING WAS VERIFIED: these lines may have been changed, and others removed.\n",
                     (ull)s->shown, kt_ies(s->shown));
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- verb */

static enum vf_err check_usage(const struct kt_args *a, struct vf_why *why)
{
    struct stat st;
    if (kt_has(a, KT_NO_VERIFY) &&
        (kt_has(a, KT_FOLLOW) || kt_has(a, KT_ENROL) || kt_has(a, KT_VAULT) || kt_has(a, KT_CHECKPOINT)))
        return kt_usage(why, "--no-verify does not go with --follow, --enrol, --vault or --checkpoint");
    if (kt_has(a, KT_FOLLOW) && stat(a->argv[0], &st) == 0 && !S_ISDIR(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: a handed-in file does not grow; --follow needs the folder of a log",
                       a->argv[0]);
    return VF_OK;
}

static void show_done(struct show *s)
{
    vf_buf_done(&s->out);
    vf_hasher_done(&s->said[0]);
    vf_hasher_done(&s->said[1]);
}

static enum vf_err run(struct show *s, const struct kt_args *a, struct vf_verdict *v, struct vf_why *why)
{
    VF_CLEANUP(kt_against_done) struct kt_against g = {0};
    const char *log = a->argv[0];
    bool follow = kt_has(a, KT_FOLLOW), same = true;

    VF_TRY(kt_against_take(a, log, &g, why));
    s->vault = g.vault;
    if (s->json)
        (void)printf("{\"entries\": [");
    s->unchecked = kt_has(a, KT_NO_VERIFY);
    if (s->unchecked) {
        VF_TRY(search(s, log, why));
        return end_unchecked(s);
    }
    s->repeated = s->f.ref && !s->json && !follow;
    if (s->repeated) {
        VF_TRY(vf_hasher_init(&s->said[0], why));
        VF_TRY(vf_hasher_init(&s->said[1], why));
        VF_TRY(search(s, log, why));
    }
    VF_TRY(verify(s, log, &g, follow, v, why));
    if (s->repeated)
        same = same_lines(s);
    return end(s, log, v, same, why);
}

enum vf_err kt_audit_show(const struct kt_args *a, struct vf_why *why)
{
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    VF_CLEANUP(show_done) struct show s = {.json = kt_has(a, KT_JSON)};

    if (!v)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    vf_buf_init(&s.out, OUT_MAX);
    VF_TRY(check_usage(a, why));
    VF_TRY(take_filters(a, &s.f, why));
    if (kt_has(a, KT_FOLLOW)) {
        /* The first ends the following, a second one the program. */
        const struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
        (void)sigaction(SIGINT, &act, NULL);
        (void)sigaction(SIGTERM, &act, NULL);
    }
    return run(&s, a, v, why);
}
