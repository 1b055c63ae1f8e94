/* SPDX-License-Identifier: MIT */
/*
 * A bundle from a vault: (1) what the device was not yet sent, (2) where each value lies in the map, (3) the log's entry, durable, (4) head,
 * index and values to the file, each value's hash compared with the manifest on its way, (5) the vault remembers that it was sent.
 */
#include "bundle_write.h"
#include "issue.h"
#include "rows.h"
#include "sent.h"

#include <string.h>

#define STEP_BYTES  (8u * 1024 * 1024)
#define STEP_VALUES 4096u

struct planned { /* one value to send; borrowed from the view */
    struct vf_slice sealed;
    uint32_t row;
    uint32_t column;
};

struct export
{
    struct vf_vault *v;
    const struct vf_grant_file *file;
    struct vf_view *view;
    struct vf_buf plan;  /* struct planned */
    struct vf_buf index; /* head and items, as they are written */
    struct vf_export_report report;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};

static size_t plan_count(const struct export *x)
{
    return x->plan.len / sizeof(struct planned);
}

static const struct planned *plan_at(const struct export *x, size_t i)
{
    return (const struct planned *)(const void *)x->plan.data + i;
}

/* The grant is one that this vault made or signed, and still to be served. */
static enum vf_err check_kept(struct vf_vault *v, const struct vf_grant *g, int64_t now_us, struct vf_why *why)
{
    VF_KEPT_GRANT kept = {0};
    char when[64];

    VF_TRY(vf_kept_grant_get(v, &g->id, &kept, why));
    if (memcmp(&kept.grant.text_hash, &g->text_hash, VF_HASH_LEN) != 0)
        return vf_fail(why, VF_E_FORGED, "the vault knows another grant under the id %.*s", VF_GRANT_ID_LEN, g->id.c);
    if (kept.revoked)
        return vf_fail(why, VF_E_REVOKED, "grant %.*s was revoked: nothing is sent for it", VF_GRANT_ID_LEN, g->id.c);
    if (now_us >= g->until_us) {
        vf_time_format_person(g->until_us, when, sizeof(when));
        return vf_fail(why, VF_E_EXPIRED, "grant %.*s ended on %s: nothing is sent for it", VF_GRANT_ID_LEN, g->id.c, when);
    }
    return VF_OK;
}

static enum vf_err check_device(struct vf_vault *v, const struct vf_grant *g, struct vf_why *why)
{
    struct vf_device device;
    bool known; /* a co-signer's copy of the vault may not have the enrolment */

    VF_TRY(vf_device_look(v, &g->enrolment, &device, &known, why));
    if (known && device.revoked)
        return vf_fail(why, VF_E_REVOKED, "%s was revoked: nothing is sent to it", g->recipient);
    return VF_OK;
}

static enum vf_err plan_value(struct export *x, uint32_t row, unsigned column, const struct vf_manifest_item *item,
                              struct vf_why *why)
{
    const struct vf_manifest *m = &x->file->manifest;
    struct vf_bundle_value value = {.field = m->fields[column], .generation = item->generation};
    struct planned p = {.row = row, .column = column};

    vf_manifest_ref(m, row, &value.ref);
    enum vf_err err = vf_view_sealed(x->view, &value.ref, value.field, value.generation, &p.sealed, why);
    if (err == VF_E_NOT_FOUND)
        return vf_fail(why, VF_E_REFUSED,
                       "record %.*s, %s: the granted version of it is not in the vault any more; issue a new grant",
                       VF_REF_LEN, value.ref.c, vf_field_info(value.field)->name);
    VF_TRY(err);
    value.len = (uint32_t)p.sealed.len;
    if (p.sealed.len > VF_SEALED_MAX || !vf_sealed_size_valid(value.field, value.len))
        return vf_fail(why, VF_E_DAMAGED, "record %.*s, %s: its value in the vault is damaged; check the vault", VF_REF_LEN,
                       value.ref.c, vf_field_info(value.field)->name);
    vf_bundle_put_item(&x->index, &value);
    vf_buf_put(&x->plan, &p, sizeof(p));
    x->report.values++;
    x->report.bytes += value.len;
    return VF_OK;
}

static enum vf_err plan_all(struct export *x, const struct vf_sent *sent, struct vf_why *why)
{
    const struct vf_manifest *m = &x->file->manifest;

    vf_buf_init(&x->plan, (size_t)VF_BUNDLE_VALUES_MAX * sizeof(struct planned));
    vf_buf_init(&x->index, VF_BUNDLE_HEAD + (size_t)VF_BUNDLE_VALUES_MAX * VF_BUNDLE_ITEM_LEN);
    vf_bundle_put_head(&x->index, &m->vault, 0); /* the number follows */
    for (uint32_t row = 0; row < m->nrecords; row++) {
        for (unsigned c = 0; c < m->nfields; c++) {
            struct vf_manifest_item item;
            vf_manifest_item(m, row, c, &item);
            if (item.generation == 0)
                continue;
            if (sent != NULL && vf_sent_has(sent, row, c))
                x->report.already_sent++;
            else
                VF_TRY(plan_value(x, row, c, &item, why));
        }
    }
    VF_TRY(vf_buf_check(&x->plan, "the bundle's index", why));
    VF_TRY(vf_buf_check(&x->index, "the bundle's index", why));
    vf_put_be32(x->index.data + VF_MAGIC_LEN + VF_VAULT_ID_LEN, (uint32_t)x->report.values);
    return VF_OK;
}

static enum vf_err log_export(const struct export *x, struct vf_why *why)
{
    const struct vf_grant *g = &x->file->grant;
    char words[VF_NAME_MAX + 4];
    const char *admin = vf_vault_admin(x->v);
    const struct vf_entry e = {.event = VF_EVENT_EXPORT,
                               .grant = &g->id,
                               .job = g->job,
                               .recipient = g->recipient,
                               .all = &g->manifest_hash,
                               .part = -1,
                               .fields = g->fields,
                               .has_bytes = true,
                               .bytes = x->report.bytes,
                               .has_count = true,
                               .count = x->report.values,
                               .object = words,
                               .result = "ok"};

    (void)snprintf(words, sizeof(words), "by %s", admin != NULL ? admin : "nobody");
    return vf_vault_log(x->v, &e, why);
}

static enum vf_err check_value(const struct export *x, const struct planned *p, struct vf_why *why)
{
    struct vf_manifest_item item;
    struct vf_hash got;
    struct vf_ref ref;

    vf_manifest_item(&x->file->manifest, p->row, p->column, &item);
    vf_sha256(p->sealed.data, p->sealed.len, &got);
    if (memcmp(&got, &item.hash, sizeof(got)) == 0)
        return VF_OK;
    vf_manifest_ref(&x->file->manifest, p->row, &ref);
    return vf_fail(why, VF_E_DAMAGED, "record %.*s, %s: its value in the vault is not the granted one; check the vault",
                   VF_REF_LEN, ref.c, vf_field_info(x->file->manifest.fields[p->column])->name);
}

/* Values from `from` on, as many as make a step: checked, then written while they are still in the cache. */
static enum vf_err write_step(const struct export *x, int fd, size_t from, struct vf_slice *slices, size_t *ret_n,
                              uint64_t *ret_bytes, struct vf_why *why)
{
    size_t n = 0;
    uint64_t bytes = 0;

    while (from + n < plan_count(x) && n < STEP_VALUES && bytes < STEP_BYTES) {
        const struct planned *p = plan_at(x, from + n);
        VF_TRY(check_value(x, p, why));
        bytes += p->sealed.len;
        slices[n++] = p->sealed;
    }
    *ret_n = n;
    *ret_bytes = bytes;
    return vf_bundle_write(fd, slices, n, why);
}

static enum vf_err write_values(const struct export *x, int fd, struct vf_why *why)
{
    VF_BUF slices = {0};
    uint64_t done = 0;

    vf_buf_init(&slices, STEP_VALUES * sizeof(struct vf_slice));
    struct vf_slice *s = (struct vf_slice *)(void *)vf_buf_grow(&slices, STEP_VALUES * sizeof(struct vf_slice));
    VF_TRY(vf_buf_check(&slices, "the bundle", why));
    for (size_t at = 0; at < plan_count(x);) {
        size_t n;
        uint64_t bytes;
        VF_TRY(write_step(x, fd, at, s, &n, &bytes, why));
        at += n;
        done += bytes;
        if (x->progress != NULL)
            x->progress(x->user, done, x->report.bytes);
    }
    return VF_OK;
}

/* Steps 2 to 4. The view's snapshot lives as long as the borrowed values. */
static enum vf_err send(struct export *x, const struct vf_sent *sent, int fd, struct vf_why *why)
{
    VF_VIEW view = NULL;

    VF_TRY(vf_view_open(x->v, &view, why));
    x->view = view;
    VF_TRY(plan_all(x, sent, why));
    VF_TRY(log_export(x, why));
    VF_TRY(vf_fd_write(fd, x->index.data, x->index.len, "the bundle", why));
    return write_values(x, fd, why);
}

enum vf_err vf_bundle_export(struct vf_vault *v, const struct vf_grant_file *file, bool all, int fd,
                             void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                             struct vf_export_report *ret, struct vf_why *why)
{
    struct export x = {.v = v, .file = file, .progress = progress, .user = user};
    int64_t now_us = vf_clock_wall_us();
    VF_SENT sent = {0};

    VF_TRY(check_kept(v, &file->grant, now_us, why));
    VF_TRY(check_device(v, &file->grant, why));
    /* This grant's own earlier bundle does not count: it may never have left the house. */
    if (!all)
        VF_TRY(vf_sent_load(v, &file->grant.enrolment, &file->grant.id, now_us, &file->manifest, &sent, why));
    enum vf_err err = send(&x, all ? NULL : &sent, fd, why);
    vf_buf_done(&x.plan);
    vf_buf_done(&x.index);
    VF_TRY(err);
    const struct vf_rows_change keep = {
        .grant = &file->grant, .note = {file->note_bytes, file->note_len}, .mark_exported = true};
    VF_TRY(vf_rows_keep(v, &keep, why));
    *ret = x.report;
    return VF_OK;
}
