/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

/* ----------------------------------------------------------------------------------------------------------------- list */

struct listing {
    json_t *list; /* NULL: printed */
    size_t n;
};

static enum vf_err list_one(void *user, const struct vf_device_item *item, struct vf_why *why)
{
    struct listing *l = user;
    struct vf_hash hash;
    char words[VF_FINGERPRINT_TEXT_LEN + 1], hex[2 * VF_HASH_LEN + 1], when[64] = "never";
    (void)why;
    vf_identity_fingerprint(&item->enrol.device, &hash);
    vf_fingerprint_text(&hash, words);
    vf_hex(item->enrol.id.b, VF_HASH_LEN, hex);
    if (l->list) {
        (void)json_array_append_new(l->list, json_pack("{s:s,s:s,s:s,s:b,s:o,s:o,s:I}", "name", item->enrol.name,
                                                       "fingerprint", words, "enrolment", hex, "revoked", (int)item->revoked,
                                                       "enrolled", kt_json_time(item->enrol.created_us), "handed_in",
                                                       item->handin_us ? kt_json_time(item->handin_us) : json_null(),
                                                       "handed_in_entries", (json_int_t)item->handin_size));
        return VF_OK;
    }
    if (item->handin_us)
        vf_time_format_person(item->handin_us, when, sizeof(when));
    if (l->n++ == 0)
        (void)printf("%-20s %-39s %-8s %s\n", "device", "fingerprint", "state", "log handed in up to");
    (void)printf("%-20s %s %-8s %s", item->enrol.name, words, item->revoked ? "revoked" : "known", when);
    if (item->handin_us)
        (void)printf(", %llu entr%s", (unsigned long long)item->handin_size, kt_ies(item->handin_size));
    (void)printf("\n");
    return VF_OK;
}

static enum vf_err device_list(const struct kt_args *a, struct vf_why *why)
{
    VF_VAULT v = NULL;
    VF_TRY(vf_vault_open(a->argv[0], VF_VAULT_PUBLIC, NULL, &v, why));
    struct listing l = {.list = kt_has(a, KT_JSON) ? json_array() : NULL};
    enum vf_err err = vf_device_each(v, list_one, &l, why);
    if (err) {
        json_decref(l.list);
        return err;
    }
    if (l.list)
        return kt_print_json(l.list, why);
    if (l.n == 0)
        kt_say("No device is known yet: one becomes known by its first grant.");
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------- revoke */

static enum vf_err device_revoke(const struct kt_args *a, struct vf_why *why)
{
    const char *name = a->argv[0], *path = kt_get(a, KT_OUTPUT);
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_BUF out;
    vf_buf_init(&out, VF_NOTE_MAX);
    VF_TRY(kt_output_check(a, path, why));
    VF_TRY(kt_vault_open(a, a->argv[1], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = vf_device_revoke(v, id, name, kt_get(a, KT_REASON), vf_clock_wall_us(), &out, why);
    if (!err)
        err = kt_output_write(a, path, &out, 0644, why);
    bool desk = vf_vault_policy(v)->policy.has_desk;
    err = kt_vault_close(v, err, why);
    v = NULL;
    if (!err)
        kt_say("%s gets no further grant. %sThe station learns of it from %s (station receive): send it now. What it has of "
               "offline grants stays readable for whoever keeps the station from receiving it, until they end.",
               name,
               desk ? "Give the file to the key desk first (desk receive): that destroys the keys of its online grants. "
                    : "",
               path);
    return err;
}

/* --------------------------------------------------------------------------------------------------------------- handin */

static enum vf_err print_handin(const struct kt_args *a, const struct vf_verdict *d, const char *receipt, struct vf_why *why)
{
    if (kt_has(a, KT_JSON))
        return kt_print_json(json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:s?,s:s?}", "device", d->origin.owner, "entries",
                                       (json_int_t)d->sealed, "checkpoints", (json_int_t)d->checkpoints, "recoveries",
                                       (json_int_t)d->recoveries, "gaps", (json_int_t)d->gaps, "lost", (json_int_t)d->lost,
                                       "clock_steps", (json_int_t)d->clock_steps, "until", kt_json_time(d->sealed_until_us),
                                       "receipt", receipt, "damaged_copy", d->mended ? d->notes[d->nnotes - 1] : NULL),
                             why);
    char until[64];
    vf_time_format_person(d->sealed_until_us, until, sizeof(until));
    (void)printf("log of %s: %llu entr%s until %s, genuine and whole; kept in the vault\n", d->origin.owner,
                 (unsigned long long)d->sealed, kt_ies(d->sealed), until);
    if (d->mended)
        (void)printf("worth a look: %s\n", d->notes[d->nnotes - 1]);
    if (d->recoveries || d->gaps || d->clock_steps)
        (void)printf("worth a look: %llu recover%s, %llu gap%s (%llu entr%s lost), %llu clock step%s\n",
                     (unsigned long long)d->recoveries, kt_ies(d->recoveries), (unsigned long long)d->gaps, kt_s(d->gaps),
                     (unsigned long long)d->lost, kt_ies(d->lost), (unsigned long long)d->clock_steps, kt_s(d->clock_steps));
    if (d->sealed_until_us < vf_clock_wall_us() - 7 * VF_DAY_US)
        kt_say("It ends over 7 days ago: a renewal asks for a newer one (station handin).");
    if (receipt)
        kt_say("Wrote the receipt %s: send it to the station (station receive).", receipt);
    return VF_OK;
}

/*
 * A log folder is taken as the file that `station handin` would make of it: the copy that a key desk has of a device's log, say. *ret_fd: that
 * file, without a name; -1 when it is a file already.
 */
static enum vf_err file_of_folder(const char *path, int *ret_fd, struct vf_why *why)
{
    const char *tmp = getenv("TMPDIR");
    struct stat st;
    uint64_t size;
    VF_FD fd = -1;
    *ret_fd = -1;
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return VF_OK;
    fd = open(tmp && *tmp ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return vf_fail_sys(why, "no temporary file for %s", path);
    VF_TRY(vf_handin_write(path, fd, &size, why));
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}

static enum vf_err device_handin(const struct kt_args *a, struct vf_why *why)
{
    const char *path = kt_get(a, KT_OUTPUT);
    VF_FREE struct vf_verdict *verdict = calloc(1, sizeof(*verdict));
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_BUF receipt;
    VF_FD folder = -1;
    char unnamed[32];
    vf_buf_init(&receipt, VF_NOTE_MAX);
    if (!verdict)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (path)
        VF_TRY(kt_output_check(a, path, why));
    VF_TRY(file_of_folder(a->argv[0], &folder, why));
    if (folder >= 0)
        (void)snprintf(unnamed, sizeof(unnamed), "/proc/self/fd/%d", folder);
    VF_TRY(kt_vault_open(a, a->argv[1], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = vf_device_handin(v, id, folder >= 0 ? unnamed : a->argv[0], &receipt, verdict, why);
    if (err && folder >= 0)
        err = vf_fail_prefix(why, err, "%s", a->argv[0]);
    if (!err && path)
        err = kt_output_write(a, path, &receipt, 0644, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err ? err : print_handin(a, verdict, path, why);
}

const struct kt_verb kt_device_verbs[] = {
    {"device", "list", "VAULT", 1, 1, KT_BIT(JSON), 0, false, "List the devices that grants were issued to", device_list},
    {"device", "revoke", "NAME VAULT", 2, 2, KT_BIT(REASON) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(KEY) | PASS,
     KT_BIT(REASON) | KT_BIT(OUTPUT) | KT_BIT(KEY), true, "Take back all that a device was granted, for good",
     device_revoke},
    {"device", "handin", "FILE.log VAULT", 2, 2, KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(JSON) | KT_BIT(KEY) | PASS,
     KT_BIT(KEY), true, "Take in the log that a device handed in, and write a receipt", device_handin},
    {0},
};
