/* SPDX-License-Identifier: MIT */
/*
 * After a breach: names come to the refs. The list of those who have to be told, and the answer for one. exposed.csv comes from outside: it is
 * parsed strictly, and compared with the summary beside it, since a list that was cut short tells nobody whom it leaves out.
 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vaultfs/report.h>

#define SUMMARY_MAX (64u * 1024 * 1024)
#define NOTIFY_MAX  (UINT64_C(1) << 30)

static const enum vf_field shown[] = {VF_FIELD_NAME_ON_CARD, VF_FIELD_RANK, VF_FIELD_WARRANT_NO, VF_FIELD_NOTIFY_TO};
#define SHOWN (sizeof(shown) / sizeof(shown[0]))
#define SHOWN_SET                                                                                            \
    (VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD) | VF_FIELD_BIT(VF_FIELD_RANK) | VF_FIELD_BIT(VF_FIELD_WARRANT_NO) | \
     VF_FIELD_BIT(VF_FIELD_NOTIFY_TO) | VF_FIELD_BIT(VF_FIELD_PROTECT))

/* ----------------------------------------------------------------------------------------------------------- exposed.csv */

/* What the summary beside exposed.csv says of it. */
struct summary {
    bool there;
    struct vf_hash hash;
    struct vf_vault_id vault;
};

static enum vf_err summary_read(const char *csv, struct summary *ret, struct vf_why *why)
{
    VF_FREE char *parent = vf_path_parent(csv);
    VF_FREE char *path = parent ? vf_path_join(parent, "summary.json") : NULL;
    struct stat st;
    VF_BUF text = {0};
    json_error_t error;

    if (!path)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    ret->there = stat(path, &st) == 0 || errno != ENOENT;
    if (!ret->there)
        return VF_OK;
    VF_TRY(vf_file_read(path, SUMMARY_MAX, &text, why));
    json_t *doc = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    const char *hex = json_string_value(json_object_get(doc, "exposed_csv_sha256"));
    const char *vault = json_string_value(json_object_get(json_object_get(doc, "inputs"), "vault_id"));
    bool good = hex && vf_unhex(hex, strlen(hex), ret->hash.b, VF_HASH_LEN) && vault &&
                vf_unhex(vault, strlen(vault), ret->vault.b, VF_VAULT_ID_LEN);
    json_decref(doc);
    return good ? VF_OK : vf_fail(why, VF_E_FORMAT, "%s: not a summary that `audit exposure` wrote", path);
}

static enum vf_err exposed_read(const struct kt_args *a, struct vf_exposed *ret, struct summary *s, struct vf_why *why)
{
    const char *path = kt_get(a, KT_FROM_EXPOSED);
    struct vf_hash have;
    VF_BUF data = {0};

    VF_TRY(vf_file_read(path, VF_EXPOSED_MAX, &data, why));
    if (!kt_has(a, KT_FORCE)) {
        VF_TRY(summary_read(path, s, why));
        vf_sha256(data.data, data.len, &have);
        if (s->there && memcmp(s->hash.b, have.b, VF_HASH_LEN) != 0)
            return vf_fail(why, VF_E_FORGED,
                           "%s: not as `audit exposure` wrote it (the summary beside it says so): people may be missing "
                           "from it. Make it "
                           "anew, or use --force if you know what was changed",
                           path);
        if (!s->there) /* with --quiet too */
            (void)fprintf(
                stderr, "warning: there is no summary.json beside %s: nothing shows that nobody is missing from it\n", path);
    }
    return vf_exposed_parse(data.data, data.len, path, ret, why);
}

static enum vf_err check_force(const struct kt_args *a, const struct summary *s, const struct vf_vault *v,
                               struct vf_why *why)
{
    if (!s->there || memcmp(&s->vault, vf_vault_id_get(v), sizeof(s->vault)) == 0)
        return VF_OK;
    return vf_fail(why, VF_E_REFUSED, "%s: made of another vault than %s: its refs are of other people",
                   kt_get(a, KT_FROM_EXPOSED), a->argv[0]);
}

/* ------------------------------------------------------------------------------------------------------------- the list */

enum standing { COVERT, RESTRICTED, UNKNOWN, STANDARD }; /* the order in which people are told */
struct person {
    const struct vf_exposed_row *row;
    enum standing standing;
    bool in_vault, leaver;
    unsigned tier;
    bool read; /* a log shows it */
    int64_t erased_us;
};
struct list {
    struct person *v;
    size_t n;
    struct vf_erased *erased;
    size_t nerased;
};

static void list_done(struct list *l)
{
    free(l->v);
    free(l->erased);
}

static int told_first(const void *a, const void *b)
{
    const struct person *x = a, *y = b;
    if (x->standing != y->standing)
        return x->standing < y->standing ? -1 : 1;
    if (x->tier != y->tier)
        return x->tier > y->tier ? -1 : 1;
    if (x->read != y->read)
        return x->read ? -1 : 1;
    return vf_ref_cmp(&x->row->ref, &y->row->ref);
}

static int64_t erased_when(const struct list *l, const struct vf_ref *ref)
{
    size_t low = 0, high = l->nerased;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int cmp = vf_ref_cmp(&l->erased[mid].ref, ref);
        if (cmp == 0)
            return l->erased[mid].time_us;
        if (cmp < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

static enum vf_err stand(struct vf_view *view, struct list *l, struct person *p, struct vf_why *why)
{
    static const enum standing by_protect[] = {
        [VF_PROTECT_STANDARD] = STANDARD, [VF_PROTECT_RESTRICTED] = RESTRICTED, [VF_PROTECT_COVERT] = COVERT};
    struct vf_head head;
    enum vf_err err = vf_view_head(view, &p->row->ref, &head, why);
    if (err == VF_E_NOT_FOUND) {
        /* Nobody can tell any more whether this was a protected officer. */
        p->standing = UNKNOWN;
        p->erased_us = erased_when(l, &p->row->ref);
        return VF_OK;
    }
    VF_TRY(err);
    p->in_vault = true;
    p->leaver = head.status == VF_STATUS_LEAVER;
    p->standing = by_protect[head.protect];
    vf_wipe(&head, sizeof(head));
    return VF_OK;
}

/* Everybody above tier 0. */
static enum vf_err choose(struct vf_view *view, const struct vf_exposed *e, struct list *l, struct vf_why *why)
{
    l->v = calloc(e->n + 1, sizeof(*l->v));
    if (!l->v)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    for (size_t i = 0; i < e->n; i++) {
        const struct vf_exposed_row *row = &e->rows[i];
        const struct vf_exposed_part *text = &row->part[VF_PART_TEXT], *image = &row->part[VF_PART_IMAGE];
        struct person *p = &l->v[l->n];
        *p = (struct person){.row = row,
                             .tier = text->tier > image->tier ? text->tier : image->tier,
                             .read = text->read != 0 || image->read != 0};
        if (p->tier == 0)
            continue;
        VF_TRY(stand(view, l, p, why));
        l->n++;
    }
    if (l->n > 1)
        qsort(l->v, l->n, sizeof(*l->v), told_first);
    return VF_OK;
}

/* A spreadsheet runs what begins so; a telephone number may. An apostrophe in front makes it text. */
static void put_safe(struct vf_buf *out, const struct vf_buf *value)
{
    VF_BUF safe;
    vf_buf_init(&safe, VF_VALUE_MAX + 2);
    if (value->len > 0 && vf_csv_runs((const char *)value->data, value->len))
        vf_buf_u8(&safe, '\'');
    vf_buf_put(&safe, value->data, value->len);
    if (safe.bad)
        out->bad = true;
    vf_csv_quote(out, safe.data ? (const char *)safe.data : "", safe.len);
}

static void put_part(struct vf_buf *out, const struct vf_exposed_part *p, enum vf_part part)
{
    VF_BUF words;
    vf_buf_init(&words, 8192);
    vf_exposed_sentence(p, part, &words);
    if (words.bad)
        out->bad = true;
    vf_buf_fmt(out, ",%u,", p->tier);
    vf_csv_quote(out, words.data ? (const char *)words.data : "", words.len);
}

static enum vf_err put_person(struct vf_view *view, const struct person *p, struct vf_buf *out, struct vf_why *why)
{
    static const char *const standings[] = {"COVERT", "RESTRICTED", "not known", "STANDARD"};
    VF_BUF value;
    char when[64];

    vf_buf_init(&value, VF_VALUE_MAX + 1);
    vf_buf_fmt(out, "\"%.8s\",\"%s\",%u", p->row->ref.c, standings[p->standing], p->tier);
    for (size_t i = 0; i < SHOWN; i++) {
        vf_buf_reset(&value);
        if (p->in_vault)
            VF_TRY(vf_view_value(view, &p->row->ref, shown[i], 0, &value, why));
        vf_buf_text(out, ",");
        put_safe(out, &value);
    }
    put_part(out, &p->row->part[VF_PART_TEXT], VF_PART_TEXT);
    put_part(out, &p->row->part[VF_PART_IMAGE], VF_PART_IMAGE);
    if (p->in_vault) {
        vf_buf_text(out, p->leaver ? ",\"has left the force\"\n" : ",\"\"\n");
    } else if (p->erased_us != 0) {
        vf_time_format_person(p->erased_us, when, sizeof(when));
        vf_buf_fmt(out, ",\"erased on %s; not in this vault: see personnel\"\n", when);
    } else {
        vf_buf_text(out, ",\"not in this vault, and no erasure of it is known: see personnel, and other backups\"\n");
    }
    return vf_buf_check(out, "the list", why);
}

static enum vf_err log_people(struct vf_vault *v, const struct list *l, struct vf_why *why)
{
    VF_FREE struct vf_ref *refs = calloc(l->n + 1, sizeof(*refs));
    size_t n = 0;
    if (!refs)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].in_vault)
            refs[n++] = l->v[i].row->ref;
    return kt_record_log_view(v, refs, n, SHOWN_SET, why);
}

static void say_result(const struct list *l, const char *path)
{
    size_t n[4] = {0}, gone = 0;
    for (size_t i = 0; i < l->n; i++) {
        n[l->v[i].standing]++;
        gone += l->v[i].in_vault ? 0 : 1;
    }
    kt_say("Wrote %s: %zu %s to tell: %zu covert, %zu restricted, %zu not in this vault any more, %zu others, in this "
           "order. It holds "
           "names: keep it as you keep the vault, and destroy it when everybody was told.",
           path, l->n, l->n == 1 ? "person" : "people", n[COVERT], n[RESTRICTED], gone, n[STANDARD]);
}

static enum vf_err notify_with(const struct kt_args *a, struct vf_vault *v, const struct vf_exposed *e, struct vf_why *why)
{
    VF_CLEANUP(list_done) struct list l = {0};
    VF_VIEW view = NULL;
    VF_BUF out;

    vf_buf_init(&out, NOTIFY_MAX);
    VF_TRY(vf_erased_list(a->argv[0], &l.erased, &l.nerased, why));
    VF_TRY(vf_view_open(v, &view, why));
    VF_TRY(choose(view, e, &l, why));
    VF_TRY(log_people(v, &l, why));
    vf_buf_text(&out, "ref,protect,tier,name_on_card,rank,warrant_no,notify_to,text_tier,text,image_tier,image,remark\n");
    for (size_t i = 0; i < l.n; i++)
        VF_TRY(put_person(view, &l.v[i], &out, why));
    VF_TRY(kt_output_write(a, kt_get(a, KT_OUTPUT), &out, 0600, why));
    say_result(&l, kt_get(a, KT_OUTPUT));
    return VF_OK;
}

static void exposed_done(struct vf_exposed *e)
{
    vf_exposed_done(e);
}

enum vf_err kt_record_notify_list(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(exposed_done) struct vf_exposed e = {0};
    struct summary s = {0};
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;

    VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    VF_TRY(exposed_read(a, &e, &s, why));
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_READ, &id, &v, why));
    enum vf_err err = check_force(a, &s, v, why);
    if (!err)
        err = notify_with(a, v, &e, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}

/* ------------------------------------------------------------------------------------------------------------- affected */

static json_t *part_json(const struct vf_exposed_part *p, const char *sentence)
{
    json_t *o = json_pack("{s:i,s:s,s:b,s:b,s:o,s:s}", "tier", (int)p->tier, "evidence",
                          vf_exposed_word_text((enum vf_exposed_word)(p->read != 0 ? p->read : p->presumed)),
                          "read_by_a_log", (int)(p->read != 0), "presumed", (int)(p->tier == 2 && p->presumed != 0),
                          "fields", kt_json_fields(p->fields), "sentence", sentence);
    (void)json_object_set_new(o, "grant", p->has_grant ? json_stringn(p->grant.c, VF_GRANT_ID_LEN) : json_null());
    (void)json_object_set_new(o, "first_read", p->has_times ? kt_json_time(p->first_us) : json_null());
    (void)json_object_set_new(o, "last_read", p->has_times ? kt_json_time(p->last_us) : json_null());
    return o;
}

/* Nothing that was in question ever named this record. */
static enum vf_err answer_no(const struct kt_args *a, struct vf_why *why)
{
    const char *words = "Not affected: nothing that was in question ever named this record.";
    if (kt_has(a, KT_JSON))
        return kt_print_json(json_pack("{s:b,s:b,s:i,s:s}", "known", 1, "affected", 0, "tier", 0, "words", words), why);
    (void)printf("%s\n", words);
    return VF_OK;
}

/* Affected records that the vault has no more: whoever asks may have been one of them. */
static enum vf_err count_gone(const struct vf_exposed *e, struct vf_view *view, uint64_t *ret, struct vf_why *why)
{
    VF_SECRET struct vf_head *head = vf_secret_new(sizeof(*head));
    if (!head)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the head of a record");
    for (size_t i = 0; i < e->n; i++) {
        const struct vf_exposed_part *part = e->rows[i].part;
        if (part[0].tier == 0 && part[1].tier == 0)
            continue;
        enum vf_err err = vf_view_head(view, &e->rows[i].ref, head, why);
        if (err && err != VF_E_NOT_FOUND)
            return err;
        *ret += err == VF_E_NOT_FOUND;
    }
    return VF_OK;
}

/* No record has the number. That is no "not affected": of an erased record the number is not known any more. */
static enum vf_err answer_unknown(const struct kt_args *a, const struct vf_exposed *e, struct vf_view *view,
                                  struct vf_why *why)
{
    char words[400];
    uint64_t gone = 0;
    VF_TRY(count_gone(e, view, &gone, why));
    int n =
        snprintf(words, sizeof(words),
                 "This cannot be answered here: no record in this vault has this number. Was it written as on the card? ");
    if (gone)
        (void)snprintf(words + n, sizeof(words) - (size_t)n,
                       "%llu affected record%s in the vault no more, and of %s the number is not known: this may be one of "
                       "them. See the notify-list, by ref.",
                       (unsigned long long)gone, gone == 1 ? " is" : "s are", gone == 1 ? "it" : "them");
    else
        (void)snprintf(words + n, sizeof(words) - (size_t)n, "Every affected record is still in the vault.");
    if (kt_has(a, KT_JSON))
        VF_TRY(kt_print_json(json_pack("{s:b,s:n,s:n,s:I,s:s}", "known", 0, "affected", "tier", "erased_affected",
                                       (json_int_t)gone, "words", words),
                             why));
    else
        (void)printf("%s\n", words);
    return vf_fail(why, VF_E_NOT_FOUND, "%s: no such number in this vault", a->argv[0]);
}

static enum vf_err answer(const struct kt_args *a, const struct vf_exposed_row *row, struct vf_why *why)
{
    const struct vf_exposed_part *part = row->part;
    unsigned tier = part[0].tier > part[1].tier ? part[0].tier : part[1].tier;
    const char *text, *image;
    VF_BUF s, t;
    vf_buf_init(&s, 8192);
    vf_buf_init(&t, 8192);
    vf_exposed_sentence(&part[VF_PART_TEXT], VF_PART_TEXT, &s);
    vf_exposed_sentence(&part[VF_PART_IMAGE], VF_PART_IMAGE, &t);
    text = vf_buf_cstr(&s);
    image = vf_buf_cstr(&t);
    if (!text || !image)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (kt_has(a, KT_JSON))
        return kt_print_json(json_pack("{s:b,s:b,s:i,s:s#,s:o,s:o}", "known", 1, "affected", (int)(tier > 0), "tier",
                                       (int)tier, "ref", row->ref.c, VF_REF_LEN, "text",
                                       part_json(&part[VF_PART_TEXT], text), "image",
                                       part_json(&part[VF_PART_IMAGE], image)),
                             why);
    (void)printf("%s\n%s\n%s\n",
                 tier == 0   ? "Not affected: the record could not be read."
                 : tier == 1 ? "Affected (tier 1): the record could have been read."
                             : "Affected (tier 2): the record was read, or has to be presumed read.",
                 text, image);
    if (part[0].read || part[1].read)
        kt_say("By which user and program, on which computer: %s audit show --ref %.8s LOG, for each of the logs.",
               a->program, row->ref.c);
    return VF_OK;
}

static enum vf_err affected_with(const struct kt_args *a, struct vf_vault *v, const struct vf_exposed *e, struct vf_why *why)
{
    const char *number = kt_get(a, KT_WARRANT_NO);
    VF_VIEW view = NULL;
    struct vf_ref ref;

    VF_TRY(vf_view_open(v, &view, why));
    enum vf_err err = vf_view_find(view, number, strlen(number), &ref, why);
    if (err && err != VF_E_NOT_FOUND)
        return err;
    bool known = err == VF_OK;
    VF_TRY(kt_record_log_view(v, &ref, known ? 1 : 0, VF_FIELD_BIT(VF_FIELD_WARRANT_NO), why));
    const struct vf_exposed_row *row = known ? vf_exposed_find(e, &ref) : NULL;
    if (!known)
        return answer_unknown(a, e, view, why);
    return row ? answer(a, row, why) : answer_no(a, why);
}

enum vf_err kt_record_affected(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(exposed_done) struct vf_exposed e = {0};
    struct summary s = {0};
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;

    VF_TRY(exposed_read(a, &e, &s, why));
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_READ, &id, &v, why));
    enum vf_err err = check_force(a, &s, v, why);
    if (!err)
        err = affected_with(a, v, &e, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}
