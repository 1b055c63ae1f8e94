/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_identity(const struct vf_identity_pub *pub)
{
    struct vf_hash hash;
    char text[VF_FINGERPRINT_TEXT_LEN + 1];
    vf_identity_fingerprint(pub, &hash);
    vf_fingerprint_text(&hash, text);
    (void)printf("%s %s\nfingerprint %s\n", vf_role_text(pub->role), pub->name, text);
}

static enum vf_err print_identity_json(const struct vf_identity_pub *pub, const char *kind, bool locked, struct vf_why *why)
{
    struct vf_hash hash;
    char text[VF_FINGERPRINT_TEXT_LEN + 1];
    VF_BUF line;
    vf_buf_init(&line, 1024);
    vf_identity_pub_put(pub, &line);
    vf_identity_fingerprint(pub, &hash);
    vf_fingerprint_text(&hash, text);
    const char *public_line = vf_buf_cstr(&line);
    return kt_print_json(json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "role", vf_role_text(pub->role), "name", pub->name,
                                   "fingerprint", text, "file", kind, "passphrase", locked, "public",
                                   public_line ? public_line : ""),
                         why);
}

static enum vf_err write_pair(const struct kt_args *a, const char *path, const struct vf_identity *id,
                              const struct vf_passphrase *pass, struct vf_why *why)
{
    VF_BUF secret, line, pub_path;
    vf_buf_init(&secret, VF_IDENTITY_FILE_MAX);
    vf_buf_init(&line, 1024);
    vf_buf_init(&pub_path, 8192);
    vf_buf_fmt(&pub_path, "%s.pub", path);
    const char *pub_file = vf_buf_cstr(&pub_path);
    if (!pub_file)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (!kt_has(a, KT_FORCE) && access(pub_file, F_OK) == 0)
        return vf_fail(why, VF_E_EXISTS, "%s: exists already; --force overwrites it", pub_file);
    VF_TRY(vf_identity_encode(id, pass, VF_ARGON2_DEFAULT, &secret, why));
    vf_identity_pub_put(vf_identity_pub_get(id), &line);
    vf_buf_text(&line, "\n");
    VF_TRY(kt_output_write(a, path, &secret, 0600, why));
    return kt_output_write(a, pub_file, &line, 0644, why);
}

static enum vf_err identity_new(const struct kt_args *a, struct vf_why *why)
{
    const char *role_text = kt_get(a, KT_ROLE), *name = kt_get(a, KT_NAME), *path = a->argv[0];
    enum vf_role role;
    VF_IDENTITY id = NULL;
    VF_SECRET struct vf_passphrase *pass = NULL;

    if (!vf_role_parse(role_text, strlen(role_text), &role) || role == VF_ROLE_DEVICE)
        return kt_usage(why, "--role is admin or desk (a station makes its own device identity)");
    if (!vf_name_valid(name, strlen(name)))
        return kt_usage(why, "--name: \"%s\" is no name (a-z, 0-9, . and -, at most %d characters)", name, VF_NAME_MAX);
    if (!kt_has(a, KT_FORCE) && access(path, F_OK) == 0)
        return vf_fail(why, VF_E_EXISTS, "%s: exists already; --force overwrites it", path);
    VF_TRY(kt_new_passphrase(a, path, &pass, why));
    VF_TRY(vf_identity_new(role, name, &id, why));
    VF_TRY(write_pair(a, path, id, pass, why));
    print_identity(vf_identity_pub_get(id));
    kt_say("Wrote %s (secret: keep it) and %s.pub (give it away).%s", path, path,
           pass ? "" : " The secret has no passphrase: whoever has the file is you.");
    return VF_OK;
}

/* A .pub file is one line of text; anything else is a secret file. */
static enum vf_err read_either(const char *path, struct vf_identity_pub *ret, bool *ret_secret, bool *ret_locked,
                               struct vf_why *why)
{
    VF_BUF data = {0};
    VF_TRY(vf_file_read(path, VF_IDENTITY_FILE_MAX, &data, why));
    *ret_secret = data.len < 8 || memcmp(data.data, "vaultfs-", 8) != 0;
    *ret_locked = false;
    if (!*ret_secret)
        return vf_identity_pub_read(path, ret, why);
    enum vf_err err = vf_identity_peek(data.data, data.len, ret, ret_locked, why);
    return err ? vf_fail_prefix(why, err, "%s", path) : VF_OK;
}

static enum vf_err identity_show(const struct kt_args *a, struct vf_why *why)
{
    struct vf_identity_pub pub;
    bool secret, locked;
    VF_TRY(read_either(a->argv[0], &pub, &secret, &locked, why));
    if (kt_has(a, KT_JSON))
        return print_identity_json(&pub, secret ? "secret" : "public", locked, why);
    print_identity(&pub);
    (void)printf("%s\n", !secret  ? "public file"
                         : locked ? "secret file, with a passphrase"
                                  : "secret file, WITHOUT a passphrase");
    return VF_OK;
}

static enum vf_err identity_passphrase(const struct kt_args *a, struct vf_why *why)
{
    const char *path = a->argv[0];
    struct kt_args with_key = *a;
    VF_IDENTITY id = NULL;
    VF_SECRET struct vf_passphrase *pass = NULL;
    VF_BUF secret;

    vf_buf_init(&secret, VF_IDENTITY_FILE_MAX);
    with_key.opt[KT_KEY] = (struct kt_value){.n = 1, .v = {path}};
    VF_TRY(kt_key_open(&with_key, &id, why));
    VF_TRY(kt_changed_passphrase(a, path, &pass, why));
    VF_TRY(vf_identity_encode(id, pass, VF_ARGON2_DEFAULT, &secret, why));
    VF_TRY(vf_buf_check(&secret, path, why));
    VF_TRY(vf_file_write(path, secret.data, secret.len, 0600, true, why));
    kt_say("%s: the passphrase was %s. Copies of the old file still open with the old one.", path,
           pass ? "changed" : "removed");
    return VF_OK;
}

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

const struct kt_verb kt_identity_verbs[] = {
    {"identity", "new", "FILE", 1, 1, KT_BIT(ROLE) | KT_BIT(NAME) | KT_BIT(NO_PASSPHRASE) | KT_BIT(FORCE) | PASS,
     KT_BIT(ROLE) | KT_BIT(NAME), true, "Make the keys of an admin or a desk: FILE, secret, and FILE.pub", identity_new},
    {"identity", "show", "FILE|FILE.pub", 1, 1, KT_BIT(JSON), 0, false,
     "Show whose keys a file holds, and their fingerprint", identity_show},
    {"identity", "passphrase", "FILE", 1, 1, KT_BIT(NO_PASSPHRASE) | KT_BIT(NEW_PASSPHRASE_FILE) | PASS, 0, true,
     "Change the passphrase of a secret file", identity_passphrase},
    {0},
};
