/* SPDX-License-Identifier: MIT */
/* The key desk: made, given prekeys, told things. While it is served, its server does what is asked here. */
#include "desk.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

enum vf_err kt_desk_key_open(const struct kt_args *a, struct vf_identity **ret, struct vf_why *why)
{
    VF_TRY(kt_key_open(a, ret, why));
    enum vf_role role = vf_identity_pub_get(*ret)->role;
    if (role != VF_ROLE_DESK)
        return vf_fail(why, VF_E_INPUT, "%s: the identity of an %s; a desk has its own (identity new --role desk)",
                       kt_get(a, KT_KEY), vf_role_text(role));
    return VF_OK;
}

/* A vault and a station have a database too: told before it is called damaged. */
enum vf_err kt_desk_check(const char *store, struct vf_why *why)
{
    VF_FREE char *prekeys = vf_path_join(store, "prekeys");
    struct stat st;
    if (!prekeys)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (stat(store, &st))
        return vf_fail_sys(why, "%s", store);
    if (stat(prekeys, &st) || !S_ISDIR(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: not the folder of a key desk (desk create makes one)", store);
    return VF_OK;
}

enum vf_err kt_desk_open(const struct kt_args *a, const char *store, struct vf_identity **ret_id, struct vf_desk **ret,
                         struct vf_why *why)
{
    VF_TRY(kt_desk_check(store, why));
    VF_TRY(kt_desk_key_open(a, ret_id, why));
    return vf_desk_open(store, VF_DESK_SERVE, *ret_id, ret, why);
}

enum vf_err kt_desk_close(struct vf_desk *d, enum vf_err err, struct vf_why *why)
{
    struct vf_why closing = {0};
    enum vf_err sealed = d ? vf_desk_close(d, &closing) : VF_OK;
    if (!err && sealed) {
        *why = closing;
        return sealed;
    }
    return err;
}

/* ------------------------------------------------------------------------------------------------------- create, prekeys */

/* "2027-01-22", to its last second; or a time as everywhere. */
static enum vf_err last_day(const struct kt_args *a, int64_t *ret, struct vf_why *why)
{
    const char *text = kt_get(a, KT_LAST_DAY);
    char whole[VF_TIME_LEN + 1];
    *ret = 0;
    if (!text)
        return VF_OK;
    if (strlen(text) == 10) {
        (void)snprintf(whole, sizeof(whole), "%sT23:59:59Z", text);
        if (vf_time_parse(whole, strlen(whole), ret))
            return VF_OK;
    }
    if (!vf_time_parse_arg(text, vf_clock_wall_us(), ret))
        return kt_usage(why, "--last-day: \"%s\" is no day; write 2027-01-22, or +62d", text);
    return VF_OK;
}

static enum vf_err count_of(const struct kt_args *a, enum kt_option_id id, uint32_t *ret, struct vf_why *why)
{
    uint64_t n = 0;
    *ret = 0;
    if (!kt_has(a, id))
        return VF_OK;
    VF_TRY(kt_number_arg(kt_option_name(id), kt_get(a, id), VF_PREKEYS_MAX, &n, why));
    if (n == 0)
        return kt_usage(why, "--%s is at least 1", kt_option_name(id));
    *ret = (uint32_t)n;
    return VF_OK;
}

/* The batch is in the store by now, and its public halves can be had nowhere else. */
static enum vf_err write_batch(const struct kt_args *a, const struct vf_buf *batch, struct vf_why *why)
{
    enum vf_err err = kt_output_write(a, kt_get(a, KT_OUTPUT), batch, 0644, why);
    return err ? vf_fail_prefix(why, err, "the prekeys were made and their file was not: make others (desk prekeys)")
               : VF_OK;
}

static void say_next(const struct kt_args *a)
{
    kt_say("Take %s to the force:\n  %s vault set --prekeys %s --key ADMIN.key VAULT", kt_get(a, KT_OUTPUT), a->program,
           kt_get(a, KT_OUTPUT));
}

static enum vf_err desk_create(const struct kt_args *a, struct vf_why *why)
{
    struct vf_desk_options opt = {.cow_ok = kt_has(a, KT_COPY_ON_WRITE)};
    struct vf_hash hash;
    char words[VF_FINGERPRINT_TEXT_LEN + 1];
    VF_IDENTITY id = NULL;
    VF_BUF batch;

    vf_buf_init(&batch, VF_PREKEYS_FILE_MAX);
    VF_TRY(count_of(a, KT_PREKEYS_COUNT, &opt.prekeys, why));
    VF_TRY(last_day(a, &opt.last_us, why));
    VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    VF_TRY(kt_desk_key_open(a, &id, why));
    VF_TRY(vf_desk_create(a->argv[0], id, &opt, &batch, why));
    VF_TRY(write_batch(a, &batch, why));
    const struct vf_identity_pub *pub = vf_identity_pub_get(id);
    vf_identity_fingerprint(pub, &hash);
    vf_fingerprint_text(&hash, words);
    (void)printf("desk        %s\nfingerprint %s\nstore       %s\nprekeys     %s\n", pub->name, words, a->argv[0],
                 kt_get(a, KT_OUTPUT));
    say_next(a);
    if (opt.cow_ok)
        kt_say("warning: if the disk keeps what is overwritten (copy-on-write, snapshots), the end of a grant is not "
               "cryptographic.");
    return VF_OK;
}

static enum vf_err desk_prekeys(const struct kt_args *a, struct vf_why *why)
{
    uint32_t count;
    int64_t last;
    char what[96];
    VF_IDENTITY id = NULL;
    struct vf_desk *d = NULL;
    VF_BUF batch;

    vf_buf_init(&batch, VF_PREKEYS_FILE_MAX);
    VF_TRY(count_of(a, KT_ADD, &count, why));
    VF_TRY(last_day(a, &last, why));
    VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    (void)snprintf(what, sizeof(what), "prekeys?count=%u&last=%" PRId64, count, last);
    enum vf_err err = vf_desk_control(a->argv[0], what, NULL, &batch, why);
    if (err == VF_E_NOT_FOUND) {
        err = kt_desk_open(a, a->argv[0], &id, &d, why);
        if (!err)
            err = vf_desk_prekeys_add(d, count, last, &batch, why);
        err = kt_desk_close(d, err, why);
    }
    VF_TRY(err);
    VF_TRY(write_batch(a, &batch, why));
    (void)printf("%s: %u new prekey%s\n", kt_get(a, KT_OUTPUT), count, kt_s(count));
    say_next(a);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------- receive */

static enum vf_err by_ourselves(const struct kt_args *a, const struct vf_receive_file *files, size_t n,
                                struct kt_receiving *r, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    struct vf_desk *d = NULL;
    struct vf_why one = {0};
    size_t before = r->taken + r->refused;
    enum vf_err err = kt_desk_open(a, a->argv[0], &id, &d, why);
    if (!err)
        err = kt_receive_judge(vf_desk_receive(d, files, n, kt_receive_told, r, &one), r, before, &one, why);
    return kt_desk_close(d, err, why);
}

static enum vf_err give(const struct kt_args *a, const struct vf_receive_file *files, size_t n, struct kt_receiving *r,
                        struct vf_why *why)
{
    for (size_t i = 0; i < n; i++) {
        VF_BUF told = {0};
        enum vf_err err = vf_desk_control(a->argv[0], "receive", &files[i], &told, why);
        if (err == VF_E_NOT_FOUND && i == 0)
            return by_ourselves(a, files, n, r, why);
        VF_TRY(err);
        size_t before = r->taken + r->refused;
        vf_received_read(told.data, told.len, kt_receive_told, r);
        if (r->taken + r->refused == before)
            return vf_fail(why, VF_E_FORMAT, "%s: the desk's server gave an answer that could not be read", files[i].name);
    }
    if (r->taken)
        kt_say("The running server took them up.");
    return VF_OK;
}

static enum vf_err desk_receive(const struct kt_args *a, struct vf_why *why)
{
    return kt_receive(a, give, why);
}

/* ----------------------------------------------------------------------------------------------------------------- clock */

static enum vf_err desk_clock(const struct kt_args *a, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    struct vf_desk *d = NULL;
    VF_BUF none = {0};
    char now[64];

    if (!kt_has(a, KT_CONFIRM))
        return kt_usage(why, "desk clock needs --confirm: it says that you have looked at clock and store");
    /* With a server too: who says this has the desk's key. */
    VF_TRY(kt_desk_check(a->argv[0], why));
    VF_TRY(kt_desk_key_open(a, &id, why));
    enum vf_err err = vf_desk_control(a->argv[0], "clock", NULL, &none, why);
    if (err == VF_E_NOT_FOUND) {
        err = vf_desk_open(a->argv[0], VF_DESK_SERVE, id, &d, why);
        if (!err)
            err = vf_desk_confirm(d, why);
        err = kt_desk_close(d, err, why);
    }
    VF_TRY(err);
    vf_time_format_person(vf_clock_wall_us(), now, sizeof(now));
    kt_say("Confirmed: it is %s, and this store is the newest there is. What has ended by now is destroyed.", now);
    return VF_OK;
}

const struct kt_verb kt_desk_verbs[] = {
    {"desk", "create", "STORE", 1, 1,
     KT_BIT(PREKEYS_COUNT) | KT_BIT(LAST_DAY) | KT_BIT(COPY_ON_WRITE) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(KEY) | PASS,
     KT_BIT(OUTPUT) | KT_BIT(KEY), true, "Make a key desk and its first prekeys", desk_create},
    {"desk", "prekeys", "STORE", 1, 1, KT_BIT(ADD) | KT_BIT(LAST_DAY) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(KEY) | PASS,
     KT_BIT(ADD) | KT_BIT(OUTPUT) | KT_BIT(KEY), true, "Make another batch of prekeys, for grants to come", desk_prekeys},
    {"desk", "serve", "STORE", 1, 1,
     KT_BIT(POLICY) | KT_BIT(LISTEN) | KT_BIT(METRICS) | KT_BIT(CONNECTIONS) | KT_BIT(PER_ADDRESS) | KT_BIT(KEY) | PASS,
     KT_BIT(KEY), KT_LARGE, "Answer the stations, until told to stop", kt_desk_serve},
    {"desk", "receive", "STORE FILE...", 2, -1, KT_BIT(JSON) | KT_BIT(KEY) | PASS, KT_BIT(KEY), true,
     "Take in policies, grants, enrolments, revocations and handed-in logs", desk_receive},
    {"desk", "status", "STORE", 1, 1, KT_BIT(JSON), 0, false, "Show what a desk has; needs no key", kt_desk_status},
    {"desk", "clock", "STORE", 1, 1, KT_BIT(CONFIRM) | KT_BIT(KEY) | PASS, KT_BIT(KEY), true,
     "Say that the desk's clock and store are right, after it stopped to ask", desk_clock},
    {"desk", "answer", "REQUEST STORE", 2, 2, KT_BIT(LEASE) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(KEY) | PASS,
     KT_BIT(OUTPUT) | KT_BIT(KEY), KT_LARGE, "Answer a station's request that came as a file", kt_desk_answer},
    {0},
};
