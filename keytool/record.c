/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

/* ----------------------------------------------------------------------------------------------------------------- set */

struct assignments {
    struct vf_field_value values[VF_FIELD_COUNT];
    struct vf_buf files[VF_FIELD_COUNT];
    size_t n;
};

static void assignments_done(struct assignments *as)
{
    for (size_t i = 0; i < as->n; i++)
        vf_buf_done(&as->files[i]);
}

/* FIELD=VALUE, FIELD=@FILE (pictures only so), FIELD=- (emptied). */
static enum vf_err parse_assignment(const char *text, struct assignments *as, struct vf_why *why)
{
    const char *equals = strchr(text, '=');
    enum vf_field field = equals ? vf_field_by_name(text, (size_t)(equals - text)) : VF_FIELD_NONE;
    if (equals && field == VF_FIELD_NONE)
        return kt_usage(why, "no field is called \"%.*s\"", (int)(equals - text), text);
    if (field == VF_FIELD_NONE)
        return kt_usage(why, "\"%.*s\" is not FIELD=VALUE, FIELD=@FILE or FIELD=-", equals ? (int)(equals - text) : 40,
                        text);
    for (size_t i = 0; i < as->n; i++)
        if (as->values[i].field == field)
            return kt_usage(why, "%s is set twice", vf_field_info((unsigned)field)->name);
    struct vf_field_value *v = &as->values[as->n];
    struct vf_buf *file = &as->files[as->n];
    *file = (struct vf_buf){0};
    as->n++;
    v->field = field;
    const char *value = equals + 1;
    if (value[0] == '@') {
        VF_TRY(vf_file_read(value + 1, VF_IMAGE_SOURCE_MAX, file, why));
        v->data = file->data;
        v->len = file->len;
        /* A text file's last newline is not part of the value. */
        if (!vf_field_is_image((unsigned)field) && v->len > 0 && file->data[v->len - 1] == '\n')
            v->len--;
    } else if (strcmp(value, "-") != 0) {
        if (vf_field_is_image((unsigned)field))
            return kt_usage(why, "a picture is set from a file: %s=@FILE", vf_field_info((unsigned)field)->name);
        v->data = value;
        v->len = strlen(value);
    }
    return VF_OK;
}

enum vf_err kt_record_set(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(assignments_done) struct assignments as = {0};
    const char *ref_text = kt_get(a, KT_REF);
    struct vf_ref ref;
    VF_IMAGE_SANDBOX sandbox = NULL;
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;

    if (!vf_ref_parse(ref_text, strlen(ref_text), &ref))
        return kt_usage(why, "--ref: a ref has 8 characters of A-Z and 2-7");
    bool pictures = false;
    for (int i = 0; i < a->argc - 1; i++) {
        VF_TRY(parse_assignment(a->argv[i], &as, why));
        pictures = pictures || (vf_field_is_image((unsigned)as.values[i].field) && as.values[i].len > 0);
    }
    if (pictures)
        VF_TRY(vf_image_sandbox_start(1, &sandbox, why));
    VF_TRY(kt_vault_open(a, a->argv[a->argc - 1], VF_VAULT_WRITE, &id, &v, why));
    vf_vault_sandbox(v, sandbox);
    enum vf_err err = vf_record_set(v, &ref, as.values, as.n, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    if (!err)
        kt_say("%.8s: set. Live grants go on with what they were issued for; issue a new one to send the change.", ref.c);
    return err;
}

/* --------------------------------------------------------------------------------------------------------------- erase */

static enum vf_err parse_reason(const char *text, enum vf_erase_reason *ret, struct vf_why *why)
{
    static const char *const names[] = {"leaver", "duplicate", "court", "other"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum vf_erase_reason)i;
            return VF_OK;
        }
    }
    return kt_usage(why, "--reason-code is leaver, duplicate, court or other");
}

static enum vf_err choose(const struct kt_args *a, struct vf_vault *v, struct vf_selected *ret, struct vf_why *why)
{
    const char *ref = kt_get(a, KT_REF);
    if ((ref != NULL) == kt_has(a, KT_LIST))
        return kt_usage(why, "say which records: --ref REF or --list FILE");
    if (!ref) {
        const struct vf_selection sel = {.list_path = kt_get(a, KT_LIST), .include_protected = true};
        return vf_select(v, &sel, ret, why);
    }
    struct vf_ref one;
    if (!vf_ref_parse(ref, strlen(ref), &one))
        return kt_usage(why, "--ref: a ref has 8 characters of A-Z and 2-7");
    ret->refs = malloc(sizeof(one));
    if (!ret->refs)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    ret->refs[0] = one;
    ret->n = 1;
    return VF_OK;
}

/* Grants that name what was erased, each with what ends it. Every doubt is told as "reads". */
struct still_reads {
    const struct vf_grant_id *ids;
    size_t n;
    struct kt_grants grants;
};

static enum vf_err take_grant(void *user, const struct vf_grant_item *item, struct vf_why *why)
{
    struct still_reads *s = user;
    for (size_t i = 0; i < s->n; i++)
        if (memcmp(&s->ids[i], &item->grant.id, sizeof(s->ids[i])) == 0)
            return kt_grants_add(&s->grants, item, why);
    return VF_OK;
}

static int by_job(const void *a, const void *b)
{
    const struct vf_grant *x = a, *y = b;
    int order = strcmp(x->job, y->job);
    return order ? order : memcmp(x->id.c, y->id.c, VF_GRANT_ID_LEN);
}

static void still_reads_done(struct still_reads *s)
{
    kt_grants_done(&s->grants);
}

static enum vf_err tell_grants(const struct kt_args *a, struct vf_vault *v, const struct vf_grant_id *ids, size_t n,
                               struct vf_why *why)
{
    unsigned threshold = vf_vault_policy(v)->policy.threshold;
    VF_CLEANUP(still_reads_done)
    struct still_reads s = {.ids = ids, .n = n, .grants.size = sizeof(struct vf_grant_item)};
    VF_TRY(vf_grant_each(v, take_grant, &s, why));
    if (s.grants.n > 1)
        qsort(s.grants.items, s.grants.n, s.grants.size, by_job);
    const struct vf_grant_item *items = (const struct vf_grant_item *)(const void *)s.grants.items;
    for (size_t i = 0; i < s.grants.n; i++) {
        const struct vf_grant_item *g = &items[i];
        (void)printf("grant %.16s, job %s on %s", g->grant.id.c, g->grant.job, g->device_name);
        if (g->revoked)
            (void)printf(" (revoked), still reads what it was issued for until %s has received the notice\n",
                         g->device_name);
        else if (g->signatures < threshold)
            /* The copy with the missing signature may be on its way already. */
            (void)printf(
                " (not fully signed as far as this vault knows: %zu of %u), reads what it was issued for once it is: "
                "%s grant revoke ends that\n",
                g->signatures, threshold, a->program);
        else
            (void)printf(", still reads what it was issued for: %s grant revoke ends that\n", a->program);
    }
    return VF_OK;
}

static enum vf_err erase_with(const struct kt_args *a, struct vf_vault *v, enum vf_erase_reason reason, struct vf_why *why)
{
    VF_CLEANUP(vf_selected_done) struct vf_selected chosen = {0};
    VF_FREE struct vf_grant_id *live = NULL;
    size_t nlive = 0;
    char question[120];

    VF_TRY(choose(a, v, &chosen, why));
    if (chosen.n == 0)
        return vf_fail(why, VF_E_NOT_FOUND, "no record was chosen");
    (void)snprintf(question, sizeof(question), "Erase %zu record%s for good?", chosen.n, chosen.n == 1 ? "" : "s");
    if (!kt_has(a, KT_YES) && !kt_confirm(question))
        return vf_fail(why, VF_E_INPUT, "nothing was erased: answer y, or give --yes where there is no terminal");
    VF_TRY(vf_record_erase(v, chosen.refs, chosen.n, reason, &live, &nlive, why));
    (void)printf("%zu record%s erased\n", chosen.n, chosen.n == 1 ? "" : "s");
    if (nlive)
        VF_TRY(tell_grants(a, v, live, nlive, why));
    kt_say("Backups made before, and deliveries that suppliers have, still hold what was erased: backups until they are "
           "destroyed, "
           "deliveries until their grants have ended.");
    return VF_OK;
}

enum vf_err kt_record_erase(const struct kt_args *a, struct vf_why *why)
{
    enum vf_erase_reason reason;
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_TRY(parse_reason(kt_get(a, KT_REASON_CODE), &reason, why));
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = erase_with(a, v, reason, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}

const struct kt_verb kt_record_verbs[] = {
    {"record", "import", "VAULT", 1, 1,
     KT_BIT(CSV) | KT_BIT(PHOTOS) | KT_BIT(PHOTO_KEY) | KT_BIT(MAP) | KT_BIT(CHECK) | KT_BIT(FULL_SNAPSHOT) |
         KT_BIT(PHOTO_FIT) | KT_BIT(DATE_FORMAT) | KT_BIT(REJECTS) | KT_BIT(REFS_OUT) | KT_BIT(FORCE) | KT_BIT(JSON) |
         KT_BIT(KEY) | PASS,
     KT_BIT(CSV) | KT_BIT(KEY), true, "Import a table of records and a folder of photos", kt_record_import},
    {"record", "list", "VAULT", 1, 1, KT_BIT(WHERE) | KT_BIT(LIST) | KT_BIT(FIELDS) | KT_BIT(JSON) | KT_BIT(KEY) | PASS,
     KT_BIT(KEY), true, "List records by ref, with the fields you name", kt_record_list},
    {"record", "show", "VAULT", 1, 1, KT_BIT(REF) | KT_BIT(WARRANT_NO) | KT_BIT(JSON) | KT_BIT(KEY) | PASS, KT_BIT(KEY),
     true, "Show one record", kt_record_show},
    {"record", "set", "FIELD=VALUE|FIELD=@FILE|FIELD=-... VAULT", 2, -1, KT_BIT(REF) | KT_BIT(KEY) | PASS,
     KT_BIT(REF) | KT_BIT(KEY), true, "Change fields of one record; @FILE takes a file's content, - empties the field",
     kt_record_set},
    {"record", "erase", "VAULT", 1, 1, KT_BIT(REF) | KT_BIT(LIST) | KT_BIT(REASON_CODE) | KT_BIT(YES) | KT_BIT(KEY) | PASS,
     KT_BIT(REASON_CODE) | KT_BIT(KEY), true, "Erase records for good", kt_record_erase},
    {"record", "notify-list", "VAULT", 1, 1, KT_BIT(FROM_EXPOSED) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(KEY) | PASS,
     KT_BIT(FROM_EXPOSED) | KT_BIT(OUTPUT) | KT_BIT(KEY), true,
     "Who has to be told after a breach, and how to reach them, protected officers first", kt_record_notify_list},
    {"record", "affected", "VAULT", 1, 1,
     KT_BIT(FROM_EXPOSED) | KT_BIT(WARRANT_NO) | KT_BIT(FORCE) | KT_BIT(JSON) | KT_BIT(KEY) | PASS,
     KT_BIT(FROM_EXPOSED) | KT_BIT(WARRANT_NO) | KT_BIT(KEY), true,
     "Is this person affected by a breach: what was read of the record, and when", kt_record_affected},
    {0},
};
