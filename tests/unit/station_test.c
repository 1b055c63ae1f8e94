/* SPDX-License-Identifier: MIT */
#include "station_test.h"

#include <fcntl.h>
#include <unistd.h>

int station_set_up(void **state)
{
    (void)state;
    return admins_set_up(6u << 20);
}

int station_tear_down(void **state)
{
    return vault_tear_down(state);
}

void force_make(struct place *p, unsigned threshold)
{
    place_make(p, 2, threshold);
    if (threshold == 2) {
        struct vf_vault *v = open_as(p, VF_VAULT_PUBLIC, 0);
        VF_BUF out = {0};
        bool pending = true;
        vf_buf_init(&out, VF_POLICY_MAX);
        OK(vf_policy_chain_sign(vf_vault_policy(v), admin[BOB], &out, why));
        close_vault(v);
        OK(vf_policy_install(p->vault, out.data, out.len, admin[BOB], &pending, why));
        MUST(!pending);
    }
    struct vf_vault *v = open_as(p, VF_VAULT_WRITE, ALICE);
    officers_make(p, v, OFFICERS);
    close_vault(v);
}

int station_and_force(void **state, struct place *p)
{
    if (station_set_up(state) != 0)
        return -1;
    force_make(p, 1);
    return 0;
}

int station_and_force_done(void **state, struct place *p)
{
    place_done(p);
    return station_tear_down(state);
}

/* ------------------------------------------------------------------------------------------------------------------- stations */

void site_make(const struct place *p, const char *name, struct site *s)
{
    struct vf_vault *v = open_as(p, VF_VAULT_PUBLIC, 0);
    const struct vf_policy_chain *chain = vf_vault_policy(v);
    char file[100];

    *s = (struct site){0};
    (void)place_path(p, name, s->path);
    (void)snprintf(file, sizeof(file), "%s.policy", name);
    put_file(p, file, chain->bytes, chain->len);
    (void)place_path(p, file, s->policy);
    vf_buf_init(&s->b.enrol_bytes, VF_ENROL_MAX);
    OK(vf_station_create(s->path, name, chain->bytes, chain->len, NULL, VF_ARGON2_DEFAULT, &s->b.enrol_bytes, why));
    OK(vf_enrol_parse(s->b.enrol_bytes.data, s->b.enrol_bytes.len, name, &s->b.enrol, why));
    close_vault(v);
}

void site_done(struct site *s)
{
    bureau_done(&s->b);
}

struct vf_station *site_open(const struct site *s, enum vf_station_mode mode)
{
    struct vf_station *st = NULL;

    OK(vf_station_open(s->path, mode, NULL, &st, why));
    return st;
}

void site_close(struct vf_station *st)
{
    OK(vf_station_close(st, why));
}

/* ------------------------------------------------------------------------------------------------------------------ deliveries */

struct vf_issue_options site_options(const struct site *s, const char *job)
{
    struct vf_issue_options opt = options_for(&s->b, job, CARD);

    opt.now_us = opt.from_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + 3 * VF_DAY_US;
    return opt;
}

static void write_delivery(const struct place *p, struct vf_vault *v, const char *name, struct delivery *d)
{
    char file[100];

    (void)snprintf(file, sizeof(file), "%s.grant", name);
    put_file(p, file, d->i.file.data, d->i.file.len);
    (void)place_path(p, file, d->grant);
    (void)snprintf(file, sizeof(file), "%s.bundle", name);
    (void)place_path(p, file, d->bundle);
    OK(try_export(v, &d->i, false, d->bundle, &d->sent));
}

void deliver(const struct place *p, const struct vf_issue_options *opt, struct delivery *d)
{
    struct vf_vault *v = open_as(p, VF_VAULT_WRITE, ALICE);

    *d = (struct delivery){0};
    issue(v, ALICE, opt, &d->i);
    write_delivery(p, v, opt->job, d);
    close_vault(v);
}

void deliver_renewal(const struct place *p, const struct delivery *old, const char *name, int64_t for_us, bool clock_reset,
                     struct delivery *d)
{
    struct vf_vault *v = open_as(p, VF_VAULT_WRITE, ALICE);
    const struct vf_renew_options opt = {.now_us = vf_clock_wall_us(),
                                         .until_us = vf_clock_wall_us() + for_us,
                                         .no_handin = true,
                                         .clock_reset = clock_reset};
    struct vf_grant_id id;

    *d = (struct delivery){0};
    vf_buf_init(&d->i.file, VF_GRANT_FILE_MAX);
    OK(vf_grant_renew(v, admin[ALICE], &old->i.f.grant.id, &opt, &id, &d->i.file, why));
    parse_issued(&d->i);
    write_delivery(p, v, name, d);
    close_vault(v);
}

void revoke_grant(const struct place *p, const struct vf_grant_id *id, const char *name, char path[400])
{
    struct vf_vault *v = open_as(p, VF_VAULT_WRITE, ALICE);
    VF_BUF out = {0};
    char file[100];

    vf_buf_init(&out, VF_NOTE_MAX);
    OK(vf_grant_revoke(v, admin[ALICE], id, "no longer needed", vf_clock_wall_us(), &out, why));
    close_vault(v);
    (void)snprintf(file, sizeof(file), "%s.revoked", name);
    put_file(p, file, out.data, out.len);
    (void)place_path(p, file, path);
}

void delivery_done(struct delivery *d)
{
    issued_done(&d->i);
}

/* --------------------------------------------------------------------------------------------------------------------- receive */

static void keep(void *user, const struct vf_received *one)
{
    struct told *t = user;

    MUST(t->n < TOLD_MAX);
    t->one[t->n] = *one;
    (void)snprintf(t->name[t->n], sizeof(t->name[0]), "%s", one->name);
    t->one[t->n].name = t->name[t->n];
    t->n++;
}

enum vf_err take(struct vf_station *st, const char *const *paths, size_t n, struct told *told)
{
    struct vf_receive_file files[TOLD_MAX] = {0};
    struct told mine = {0};

    MUST(n <= TOLD_MAX);
    for (size_t i = 0; i < n; i++) {
        files[i] = (struct vf_receive_file){.fd = open(paths[i], O_RDONLY | O_CLOEXEC), .name = paths[i]};
        MUST(files[i].fd >= 0);
    }
    enum vf_err err = vf_station_receive(st, files, n, keep, NULL, &mine, why);
    for (size_t i = 0; i < n; i++)
        (void)close(files[i].fd);
    MUST(mine.n == n);
    if (told != NULL)
        *told = mine;
    for (size_t i = 0; told != NULL && i < n; i++)
        told->one[i].name = told->name[i];
    return err;
}

enum vf_err take1(struct vf_station *st, const char *path)
{
    struct told told;
    enum vf_err err = take(st, &path, 1, &told);

    MUST(err == told.one[0].err);
    MUST(told.one[0].text[0] != '\0');
    return err;
}

void take_delivery(struct vf_station *st, const struct delivery *d)
{
    const char *const paths[] = {d->grant, d->bundle};

    OK(take(st, paths, 2, NULL));
}

/* ------------------------------------------------------------------------------------------------------------------------ jobs */

struct vf_job *job_of(struct vf_station *st, const char *name)
{
    struct vf_job **jobs = NULL, *found = NULL;
    size_t n = 0;

    OK(vf_station_jobs(st, &jobs, &n, why));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(vf_job_grant(jobs[i])->job, name) == 0)
            found = jobs[i];
        else
            vf_job_unref(jobs[i]);
    }
    free(jobs);
    return found;
}

enum vf_err read_value_of(struct vf_station *st, struct vf_value_reader *r, struct vf_job *job, uint32_t index,
                          unsigned field, const uint8_t **plain, size_t *len)
{
    VF_TRY(vf_job_may(st, job, why));
    return vf_value_reader_get(r, job, index, field, plain, len, why);
}

unsigned reads_all(struct vf_station *st, const struct place *p, const char *name)
{
    struct vf_vault *v = open_as(p, VF_VAULT_READ, ALICE);
    struct vf_job *job = job_of(st, name);
    struct vf_value_reader *r = NULL;
    VF_VIEW view = NULL;
    unsigned n = 0;

    MUST(job != NULL);
    OK(vf_view_open(v, &view, why));
    OK(vf_value_reader_new(st, &r, why));
    const struct vf_grant_layout *l = vf_job_layout(job);
    for (uint32_t i = 0; i < vf_job_count(job); i++) {
        struct vf_job_item item;
        vf_job_item_get(job, i, &item);
        MUST(!item.missing);
        for (unsigned f = 0; f < l->nfields; f++) {
            VF_BUF want = {0};
            const uint8_t *plain = NULL;
            size_t len = 0;
            vf_buf_init(&want, VF_VALUE_MAX + 1);
            OK(vf_view_value(view, &item.ref, l->field[f], 0, &want, why));
            if (vf_field_is_image(l->field[f]) && want.len == 0) {
                MUST(read_value_of(st, r, job, i, l->field[f], &plain, &len) == VF_E_NOT_FOUND);
                continue;
            }
            OK(read_value_of(st, r, job, i, l->field[f], &plain, &len));
            MUST(len == want.len && (len == 0 || memcmp(plain, want.data, len) == 0));
            n++;
        }
        vf_value_reader_wipe(r);
    }
    vf_value_reader_free(r);
    vf_view_cleanup(&view);
    vf_job_unref(job);
    close_vault(v);
    return n;
}

struct count {
    const char *job;
    int64_t issued_us;
    uint64_t present, named;
    bool found;
};

static enum vf_err count_values(void *user, const struct vf_station_grant_item *item, struct vf_why *w)
{
    struct count *c = user;

    (void)w;
    if (strcmp(item->grant.job, c->job) != 0 || (c->found && item->grant.issued_us < c->issued_us))
        return VF_OK;
    c->found = true;
    c->issued_us = item->grant.issued_us;
    c->present = item->values_present;
    c->named = item->values_named;
    return VF_OK;
}

void values_of(struct vf_station *st, const char *job, uint64_t *present, uint64_t *named)
{
    struct count c = {.job = job};

    OK(vf_station_grant_each(st, count_values, &c, why));
    MUST(c.found);
    *present = c.present;
    *named = c.named;
}

struct vf_station_state state_of_station(struct vf_station *st)
{
    struct vf_station_state state;

    OK(vf_station_state_get(st, &state, why));
    return state;
}

unsigned site_log_counts(const struct site *s, enum vf_event event)
{
    struct counting c = {.event = event};
    struct vf_note_key key;
    const struct vf_verify_options opt = {
        .signers = &key, .nsigners = 1, .log_id = &s->b.enrol.log_id, .each = count_entry, .user = &c};
    struct vf_verdict verdict;
    char path[420];

    vf_note_key_of(&s->b.enrol.device, &key);
    (void)snprintf(path, sizeof(path), "%s/log", s->path);
    OK(vf_log_verify(path, &opt, &verdict, why));
    MUST(verdict.good && verdict.origin_checked);
    return c.n;
}
