/* SPDX-License-Identifier: MIT */
#include "grant_place.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static void make_officers(const struct place *p, struct vf_vault *v, unsigned n, bool photos)
{
    VF_BUF csv = {0};

    vf_buf_init(&csv, 16u << 20);
    vf_buf_text(
        &csv,
        "warrant_no,name_on_card,rank,card_type,card_serial,issue_no,valid_from,valid_to,surname,vetting,protect,status\n");
    for (unsigned i = 0; i < n; i++) {
        char photo[64];
        vf_buf_fmt(&csv, "%u,\"Officer \"\"No\"\" %u\",%s,WARRANT,S%06u,1,2026-12-01,2031-12-01,Surname%u,CTC,,\n",
                   10001 + i, i, i % 2 == 0 ? "Constable" : "Sergeant", i, i);
        (void)snprintf(photo, sizeof(photo), "photos/%u.jpg", 10001 + i);
        if (photos)
            put_photo(p, photo, i);
    }
    MUST(vf_buf_cstr(&csv) != NULL);
    import_csv(v, p, vf_buf_cstr(&csv), photos ? "photos" : NULL, VF_OK, NULL);
}

void officers_make(const struct place *p, struct vf_vault *v, unsigned n)
{
    make_officers(p, v, n, true);
}

void officers_without_photos(const struct place *p, struct vf_vault *v, unsigned n)
{
    make_officers(p, v, n, false);
}

struct vf_ref officer(struct vf_vault *v, unsigned i)
{
    char number[16];

    (void)snprintf(number, sizeof(number), "%u", 10001 + i);
    return ref_of(v, number);
}

/* ------------------------------------------------------------------------------------------------------------------- suppliers */

void bureau_make(const struct place *p, const struct vf_vault_id *vault, const char *name, struct bureau *b)
{
    char origin[520];
    VF_BUF note = {0};

    *b = (struct bureau){0};
    OK(vf_identity_new(VF_ROLE_DEVICE, name, &b->device, why));
    (void)snprintf(b->log, sizeof(b->log), "%s/%s-log", p->dir.path, name);
    (void)snprintf(b->seal, sizeof(b->seal), "%s/%s-seal", p->dir.path, name);
    (void)snprintf(origin, sizeof(origin), "%s/origin", b->log);
    OK(vf_log_create(b->log, b->seal, VF_LOG_STATION, b->device, NULL, NULL, why));
    OK(vf_file_read(origin, 4096, &note, why));
    vf_buf_init(&b->enrol_bytes, VF_ENROL_MAX);
    OK(vf_enrol_make(b->device, vault, (const char *)note.data, note.len, NOW_US, &b->enrol_bytes, why));
    OK(vf_enrol_parse(b->enrol_bytes.data, b->enrol_bytes.len, name, &b->enrol, why));
}

void bureau_done(struct bureau *b)
{
    vf_identity_free(b->device);
    b->device = NULL;
    vf_buf_done(&b->enrol_bytes);
}

int force_and_bureau(void **state, struct place *p, struct bureau *b, unsigned n)
{
    if (vault_set_up(state) != 0)
        return -1;
    place_make(p, 2, 1);
    struct vf_vault *v = open_as(p, VF_VAULT_WRITE, ALICE);
    officers_make(p, v, n);
    bureau_make(p, vf_vault_id_get(v), "bureau-7", b);
    close_vault(v);
    return 0;
}

int force_and_bureau_done(void **state, struct place *p, struct bureau *b)
{
    bureau_done(b);
    place_done(p);
    return vault_tear_down(state);
}

void bureau_works(const struct bureau *b, unsigned n)
{
    const struct vf_log_options opt = {.batch = true};
    const struct vf_entry e = {.event = VF_EVENT_MOUNT, .part = -1, .result = "ok"};
    struct vf_log *log = NULL;

    OK(vf_log_open(b->log, b->seal, &opt, &log, why));
    for (unsigned i = 0; i < n; i++)
        OK(vf_log_commit(log, &e, why));
    OK(vf_log_close(log, why));
}

void bureau_hands_in(const struct bureau *b, const char *path)
{
    VF_FD fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    uint64_t size = 0;

    MUST(fd >= 0);
    OK(vf_handin_write(b->log, fd, &size, why));
}

/* ---------------------------------------------------------------------------------------------------------------------- grants */

void issued_done(struct issued *i)
{
    vf_buf_done(&i->file);
    vf_issue_report_done(&i->report);
}

void parse_issued(struct issued *i)
{
    OK(vf_grant_file_parse(i->file.data, i->file.len, "a grant", &i->f, why));
}

struct vf_issue_options options_for(const struct bureau *b, const char *job, vf_field_set fields)
{
    return (struct vf_issue_options){.to = &b->enrol,
                                     .enrol_bytes = b->enrol_bytes.data,
                                     .enrol_len = b->enrol_bytes.len,
                                     .job = job,
                                     .fields = fields,
                                     .records = {.all = true},
                                     .now_us = NOW_US,
                                     .from_us = NOW_US,
                                     .until_us = NOW_US + 7 * VF_DAY_US,
                                     .purpose = "Reissue of warrant cards",
                                     .release = VF_RELEASE_OFFLINE};
}

enum vf_err try_issue(struct vf_vault *v, unsigned who, const struct vf_issue_options *opt, struct issued *ret)
{
    struct vf_grant_id id;

    *ret = (struct issued){0};
    vf_buf_init(&ret->file, VF_GRANT_FILE_MAX);
    enum vf_err err = vf_grant_issue(v, admin[who], opt, &id, &ret->file, &ret->report, why);
    if (err != VF_OK || opt->check) {
        MUST(ret->file.len == 0);
        return err;
    }
    parse_issued(ret);
    MUST(memcmp(&id, &ret->f.grant.id, sizeof(id)) == 0);
    return VF_OK;
}

void issue(struct vf_vault *v, unsigned who, const struct vf_issue_options *opt, struct issued *ret)
{
    OK(try_issue(v, who, opt, ret));
}

enum vf_err try_sign(struct vf_vault *v, unsigned who, const struct issued *from, struct issued *ret)
{
    *ret = (struct issued){0};
    vf_buf_init(&ret->file, VF_GRANT_FILE_MAX);
    enum vf_err err = vf_grant_sign(&from->f, admin[who], v, &ret->file, why);
    if (err == VF_OK)
        parse_issued(ret);
    else
        MUST(ret->file.len == 0);
    return err;
}

enum vf_err try_export(struct vf_vault *v, const struct issued *i, bool all, const char *path, struct vf_export_report *ret)
{
    VF_FD fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

    MUST(fd >= 0);
    return vf_bundle_export(v, &i->f, all, fd, NULL, NULL, ret, why);
}

/* -------------------------------------------------------------------------------------------------------- reading as a device */

struct seen { /* which places of the manifest have arrived */
    uint8_t *at;
    size_t n, got;
};

static void read_value(const struct bureau *b, struct vf_view *view, const struct issued *i, const struct vf_grant_share *gs,
                       const struct vf_catalogue *cat, const struct vf_bundle_value *v, const uint8_t *data,
                       struct seen *seen)
{
    static uint8_t scratch[VF_VALUE_MAX + 16384];
    struct vf_grant_layout l;
    struct vf_manifest_item item;
    struct vf_field_key keys[VF_FIELD_COUNT];
    struct vf_release_share rs;
    struct vf_hash hash;
    const uint8_t *plain;
    size_t len, env_len;
    uint32_t row;
    unsigned k = 0;
    VF_BUF want = {0};
    enum vf_part part = vf_field_is_image(v->field) ? VF_PART_IMAGE : VF_PART_TEXT;
    int column = vf_manifest_column(&i->f.manifest, v->field);

    (void)b;
    if (column < 0 || !vf_manifest_find(&i->f.manifest, &v->ref, &row))
        return; /* of an earlier grant */
    vf_manifest_item(&i->f.manifest, row, (unsigned)column, &item);
    if (item.generation != v->generation)
        return;
    vf_sha256(data, v->len, &hash);
    MUST(memcmp(&hash, &item.hash, sizeof(hash)) == 0);
    vf_grant_layout_of(i->f.grant.fields, &l);
    vf_kdf_release_share_offline(&v->ref, part, &rs);
    OK(vf_grant_open_keys(&i->f.grant, &l, gs, &rs, &v->ref, part, i->f.envelopes + vf_envelope_at(&l, row, part, &env_len),
                          keys));
    while ((part == VF_PART_TEXT ? l.text_field : l.image_field)[k] != v->field)
        k++;
    const struct vf_value_id id = {.vault = i->f.grant.vault, .ref = v->ref, .field = v->field, .generation = v->generation};
    OK(vf_value_open(&keys[k], &id, data, v->len, scratch, sizeof(scratch), &plain, &len));
    OK(vf_view_value(view, &v->ref, v->field, v->generation, &want, why));
    MUST(len == want.len && (len == 0 || memcmp(plain, want.data, len) == 0));
    MUST(vf_catalogue_len(cat, row, v->field) == len);
    if (part == VF_PART_TEXT)
        MUST(vf_catalogue_quoted_len(cat, row, v->field) == vf_csv_quoted_len((const char *)plain, len));
    size_t place = (size_t)row * l.nfields + (size_t)column;
    seen->got += seen->at[place] == 0;
    seen->at[place] = 1;
}

static size_t places_named(const struct vf_manifest *m)
{
    size_t n = 0;

    for (uint32_t row = 0; row < m->nrecords; row++)
        for (unsigned c = 0; c < m->nfields; c++) {
            struct vf_manifest_item item;
            vf_manifest_item(m, row, c, &item);
            n += item.generation != 0;
        }
    return n;
}

void bureau_reads(const struct bureau *b, struct vf_vault *v, const struct issued *i, const char *const *paths, size_t n)
{
    struct seen seen = {.n = (size_t)i->f.manifest.nrecords * i->f.manifest.nfields};
    struct vf_grant_share gs;
    struct vf_catalogue *cat = NULL;
    VF_VIEW view = NULL;

    seen.at = calloc(seen.n, 1);
    MUST(seen.at != NULL);
    OK(vf_grant_share_open(b->device, i->f.grant.sealed_share, &gs));
    OK(vf_catalogue_decode(&i->f.grant, &gs, &i->f.manifest, i->f.catalogue, i->f.catalogue_len, &cat, why));
    OK(vf_view_open(v, &view, why));
    for (size_t k = 0; k < n; k++) {
        struct vf_bundle_reader *r = NULL;
        struct vf_bundle_value value;
        const uint8_t *data;
        enum vf_err err;
        VF_FD fd = -1;
        OK(vf_file_open(paths[k], &fd, NULL, why));
        OK(vf_bundle_open(fd, paths[k], &r, why));
        while ((err = vf_bundle_next(r, &value, &data, why)) == VF_OK)
            read_value(b, view, i, &gs, cat, &value, data, &seen);
        MUST(err == VF_E_NOT_FOUND);
        vf_bundle_close(r);
    }
    MUST(seen.got == places_named(&i->f.manifest));
    vf_catalogue_free(cat);
    free(seen.at);
}

void copy_folder(const char *from, const char *to)
{
    char cp[] = "cp", a[] = "-a", source[600], target[600];
    char *const argv[] = {cp, a, source, target, NULL};
    pid_t pid = 0;
    int status = 0;

    (void)snprintf(source, sizeof(source), "%s", from);
    (void)snprintf(target, sizeof(target), "%s", to);
    MUST(posix_spawnp(&pid, "cp", NULL, NULL, argv, environ) == 0);
    MUST(waitpid(pid, &status, 0) == pid && status == 0);
}

enum vf_err count_entry(void *user, const struct vf_entry_view *entry, bool sealed, struct vf_why *w)
{
    struct counting *c = user;

    (void)w;
    (void)sealed;
    c->n += entry->event == c->event;
    return VF_OK;
}

unsigned log_counts(const struct place *p, enum vf_event event)
{
    struct counting c = {.event = event};
    const struct vf_verify_options opt = {.each = count_entry, .user = &c};
    struct vf_verdict verdict;
    char path[400];

    (void)snprintf(path, sizeof(path), "%s/log", p->vault);
    OK(vf_log_verify(path, &opt, &verdict, why));
    MUST(verdict.good);
    return c.n;
}

void next_policy(const struct place *p, const struct vf_policy_change *change, const char *name, char path[400])
{
    struct vf_vault *v = open_as(p, VF_VAULT_READ, ALICE);
    VF_BUF next = {0};
    bool pending = true;

    vf_buf_init(&next, VF_POLICY_MAX);
    OK(vf_policy_change_make(v, change, admin[ALICE], &next, why));
    close_vault(v);
    OK(vf_policy_install(p->vault, next.data, next.len, admin[ALICE], &pending, why));
    MUST(!pending);
    if (name == NULL)
        return;
    put_file(p, name, next.data, next.len);
    (void)place_path(p, name, path);
}
