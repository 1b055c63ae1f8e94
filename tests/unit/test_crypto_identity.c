/* SPDX-License-Identifier: MIT */
#include "crypto_test.h"

#include "faults.h"
#include "scratch.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define CHEAP ((struct vf_argon2){65536, 2}) /* the least that is accepted */

static struct vf_passphrase *pass_of(const char *text)
{
    struct vf_passphrase *pass = vf_secret_new(sizeof(*pass));

    assert_non_null(pass);
    pass->len = strlen(text);
    memcpy(pass->text, text, pass->len);
    return pass;
}

/* ------------------------------------------------------------------------------------------------------------- public halves */

static void lines_of_the_second_implementation(void **state)
{
    static const char *const lines[] = {V_ADMIN_LINE, V_DESK_LINE};
    static const enum vf_role roles[] = {VF_ROLE_ADMIN, VF_ROLE_DESK};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct vf_identity_pub pub;
        VF_BUF out = {.max = 300};
        OK(vf_identity_pub_parse(lines[i], strlen(lines[i]), &pub, NULL));
        assert_int_equal(pub.role, roles[i]);
        vf_identity_pub_put(&pub, &out);
        assert_string_equal(vf_buf_cstr(&out), lines[i]);
    }
}

static void fingerprints(void **state)
{
    struct vf_identity_pub pub;
    struct vf_hash h;
    struct vf_hash want;
    char text[VF_FINGERPRINT_TEXT_LEN + 1];

    (void)state;
    OK(vf_identity_pub_parse(V_ADMIN_LINE, strlen(V_ADMIN_LINE), &pub, NULL));
    vf_identity_fingerprint(&pub, &h);
    vf_sha256(V_ADMIN_LINE, strlen(V_ADMIN_LINE), &want);
    assert_memory_equal(h.b, want.b, 32);
    memset(text, 'x', sizeof(text));
    vf_fingerprint_text(&h, text);
    assert_string_equal(text, V_ADMIN_FINGERPRINT);
}

static void malformed_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "vaultfs-identity-v1",
        "vaultfs-identity-v1 admin",
        "vaultfs-identity-v1 admin inspector.a",
        "vaultfs-identity-v1 admin inspector.a ",
        "vaultfs-identity-v2 admin inspector.a " /* and the keys */,
        "vaultfs-identity-v1 root inspector.a ",
        "vaultfs-identity-v1 Admin inspector.a ",
        "vaultfs-identity-v1  admin inspector.a ",
        "vaultfs-identity-v1 admin  inspector.a ",
        "vaultfs-identity-v1 admin Inspector.a ",
        "vaultfs-identity-v1 admin .inspector ",
        "vaultfs-identity-v1 admin inspector.a  ",
        " vaultfs-identity-v1 admin inspector.a ",
        "vaultfs-identity-v1 device inspector.a extra ",
        "vaultfs-identity-v1 admin aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ",
    };
    const char *keys = strrchr(V_ADMIN_LINE, ' ') + 1;
    struct vf_identity_pub pub;

    (void)state;
    memset(&pub, 0x5a, sizeof(pub));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[400];
        struct vf_why why = {0};
        (void)snprintf(line, sizeof(line), "%s%s", bad[i], i >= 5 ? keys : "");
        assert_int_equal(vf_identity_pub_parse(line, strlen(line), &pub, &why), VF_E_FORMAT);
        assert_int_equal(why.err, VF_E_FORMAT);
        assert_true(strlen(why.text) > 10);
    }
    static const char *const behind[] = {"\n", " ", "=", "A", "AAAA", "\r\n"};
    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        char line[400];
        (void)snprintf(line, sizeof(line), "%s%s", V_ADMIN_LINE, behind[i]);
        assert_int_equal(vf_identity_pub_parse(line, strlen(line), &pub, NULL), VF_E_FORMAT);
    }
    assert_int_equal(((uint8_t *)&pub)[0], 0x5a);
}

/* Whatever is changed in a line, it is refused, or it is another identity with another fingerprint. */
static void a_line_has_one_spelling(void **state)
{
    struct vf_identity_pub right;
    char line[300] = V_DESK_LINE;
    size_t len = strlen(line);

    (void)state;
    OK(vf_identity_pub_parse(line, len, &right, NULL));
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(vf_identity_pub_parse(line, i, &right, NULL), VF_E_FORMAT);
        for (unsigned c = 1; c < 256; c++) {
            struct vf_identity_pub pub;
            char was = line[i];
            /* Most changes of the base64 need costly curve work: every character of one key in turn, a few of the rest. */
            if ((char)c == was || (i > 30 && c % 16 != i % 16))
                continue;
            line[i] = (char)c;
            if (vf_identity_pub_parse(line, len, &pub, NULL) == VF_OK) {
                VF_BUF out = {.max = 300};
                assert_false(vf_identity_pub_equal(&pub, &right));
                vf_identity_pub_put(&pub, &out);
                assert_string_equal(vf_buf_cstr(&out), line);
            }
            line[i] = was;
        }
    }
}

static enum vf_err parse_keys(enum vf_role role, const uint8_t sign[32], const uint8_t box[32], const uint8_t cosign[32])
{
    struct vf_identity_pub pub = {.role = role, .name = "x"};
    struct vf_identity_pub back;
    VF_BUF out = {.max = 300};

    memcpy(pub.sign, sign, 32);
    memcpy(pub.box, box, 32);
    memcpy(pub.cosign, cosign, 32);
    vf_identity_pub_put(&pub, &out);
    return vf_identity_pub_parse((const char *)out.data, out.len, &back, NULL);
}

static void keys_that_are_none_are_refused(void **state)
{
    static const char *const low_order_x25519[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    static const char *const bad_ed25519[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* not canonical */
    };
    static const uint8_t none[32];
    struct vf_identity_pub d;
    size_t n = 0;

    (void)state;
    OK(vf_identity_pub_parse(V_DESK_LINE, strlen(V_DESK_LINE), &d, NULL));
    OK(parse_keys(VF_ROLE_DESK, d.sign, d.box, d.cosign));
    OK(parse_keys(VF_ROLE_DEVICE, d.sign, d.box, none));
    for (size_t i = 0; i < sizeof(low_order_x25519) / sizeof(low_order_x25519[0]); i++) {
        VF_FREE uint8_t *key = from_hex(low_order_x25519[i], &n);
        assert_int_equal(parse_keys(VF_ROLE_DEVICE, d.sign, key, none), VF_E_FORMAT);
    }
    for (size_t i = 0; i < sizeof(bad_ed25519) / sizeof(bad_ed25519[0]); i++) {
        VF_FREE uint8_t *key = from_hex(bad_ed25519[i], &n);
        assert_int_equal(parse_keys(VF_ROLE_DEVICE, key, d.box, none), VF_E_FORMAT);
        assert_int_equal(parse_keys(VF_ROLE_DESK, d.sign, d.box, key), VF_E_FORMAT);
    }
    uint8_t high[32];
    memcpy(high, d.box, 32);
    high[31] |= 0x80;
    assert_int_equal(parse_keys(VF_ROLE_DEVICE, d.sign, high, none), VF_E_FORMAT);
    assert_int_equal(parse_keys(VF_ROLE_DESK, d.sign, d.box, none), VF_E_FORMAT);
    assert_int_equal(parse_keys(VF_ROLE_DESK, d.sign, d.box, d.sign), VF_E_FORMAT);
    assert_int_equal(parse_keys(VF_ROLE_ADMIN, d.sign, d.box, d.cosign), VF_E_FORMAT);
    assert_int_equal(parse_keys(VF_ROLE_DEVICE, d.sign, d.box, d.cosign), VF_E_FORMAT);
}

static void public_files(void **state)
{
    struct scratch s;
    char path[300];
    struct vf_identity_pub pub;
    struct vf_why why = {0};

    (void)state;
    scratch_make(&s);
    scratch_path(&s, "a.key.pub", path, sizeof(path));
    assert_int_equal(vf_identity_pub_read(path, &pub, &why), VF_E_NOT_FOUND);
    OK(vf_file_write(path, V_ADMIN_LINE "\n", strlen(V_ADMIN_LINE) + 1, 0644, false, NULL));
    OK(vf_identity_pub_read(path, &pub, &why));
    assert_string_equal(pub.name, "inspector.a");
    OK(vf_file_write(path, V_ADMIN_LINE, strlen(V_ADMIN_LINE), 0644, true, NULL));
    OK(vf_identity_pub_read(path, &pub, &why));
    static const char *const bad[] = {
        "", "\n", V_ADMIN_LINE "\n\n", V_ADMIN_LINE "\r\n", "\n" V_ADMIN_LINE, V_ADMIN_LINE "\n" V_ADMIN_LINE "\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        OK(vf_file_write(path, bad[i], strlen(bad[i]), 0644, true, NULL));
        assert_int_equal(vf_identity_pub_read(path, &pub, &why), VF_E_FORMAT);
        assert_non_null(strstr(why.text, path));
    }
    VF_FREE char *long_one = calloc(1, VF_IDENTITY_FILE_MAX + 1);
    OK(vf_file_write(path, long_one, VF_IDENTITY_FILE_MAX + 1, 0644, true, NULL));
    assert_int_equal(vf_identity_pub_read(path, &pub, &why), VF_E_LIMIT);
    scratch_remove(&s);
}

/* ------------------------------------------------------------------------------------------------------------- secret halves */

static void new_identities(void **state)
{
    static const enum vf_role roles[] = {VF_ROLE_ADMIN, VF_ROLE_DESK, VF_ROLE_DEVICE};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        VF_IDENTITY id = NULL;
        VF_IDENTITY other = NULL;
        OK(vf_identity_new(roles[i], "a-name.1", &id, NULL));
        OK(vf_identity_new(roles[i], "a-name.1", &other, NULL));
        const struct vf_identity_pub *pub = vf_identity_pub_get(id);
        assert_int_equal(pub->role, roles[i]);
        assert_string_equal(pub->name, "a-name.1");
        assert_int_equal(is_zero(pub->cosign, 32), roles[i] != VF_ROLE_DESK);
        assert_memory_not_equal(pub->sign, pub->box, 32);
        assert_false(vf_identity_pub_equal(pub, vf_identity_pub_get(other)));
        VF_BUF line = {.max = 300};
        struct vf_identity_pub back;
        vf_identity_pub_put(pub, &line);
        OK(vf_identity_pub_parse((const char *)line.data, line.len, &back, NULL));
        assert_true(vf_identity_pub_equal(&back, pub));
        enum vf_role role;
        const char *text = vf_role_text(roles[i]);
        assert_true(vf_role_parse(text, strlen(text), &role));
        assert_int_equal(role, roles[i]);
    }
    enum vf_role role;
    assert_false(vf_role_parse("admi", 4, &role));
    assert_false(vf_role_parse("admins", 6, &role));
    assert_false(vf_role_parse("", 0, &role));
    struct vf_identity *none = NULL;
    assert_int_equal(vf_identity_new(VF_ROLE_ADMIN, "No Name", &none, NULL), VF_E_INPUT);
    assert_int_equal(vf_identity_new(VF_ROLE_ADMIN, "", &none, NULL), VF_E_INPUT);
    assert_null(none);
}

static void a_full_arena_is_an_error(void **state)
{
    void *all[VF_ARENA_TOOL / 4096];
    struct vf_identity *id = NULL;
    size_t len = 0;
    VF_FREE uint8_t *file = from_hex(V_ADMIN_FILE, &len);
    VF_IDENTITY good = NULL;
    VF_BUF out = {.max = VF_IDENTITY_FILE_MAX};
    size_t n = 0;

    (void)state;
    OK(vf_identity_new(VF_ROLE_ADMIN, "a", &good, NULL));
    while ((all[n] = vf_secret_new(4096)) != NULL)
        n++;
    size_t small = n;
    void *rest[64];
    size_t nrest = 0;
    while (nrest < 64 && (rest[nrest] = vf_secret_new(64)) != NULL)
        nrest++;
    assert_null(vf_secret_new(64));
    assert_int_equal(vf_identity_new(VF_ROLE_ADMIN, "a", &id, NULL), VF_E_LOCKED_MEMORY);
    assert_int_equal(vf_identity_decode(file, len, NULL, &id, NULL), VF_E_LOCKED_MEMORY);
    assert_int_equal(vf_identity_encode(good, NULL, VF_ARGON2_DEFAULT, &out, NULL), VF_E_LOCKED_MEMORY);
    assert_int_equal(out.len, 0);
    assert_null(id);
    for (size_t i = 0; i < small; i++)
        vf_secret_free(all[i]);
    for (size_t i = 0; i < nrest; i++)
        vf_secret_free(rest[i]);
    OK(vf_identity_decode(file, len, NULL, &id, NULL));
    vf_identity_free(id);
}

static void files_of_the_second_implementation(void **state)
{
    static const char *const files[] = {V_ADMIN_FILE, V_DESK_FILE, V_LOCKED_FILE};
    static const char *const lines[] = {V_ADMIN_LINE, V_DESK_LINE, V_DESK_LINE};
    VF_SECRET struct vf_passphrase *pass = pass_of("correct horse");
    VF_SECRET struct vf_passphrase *wrong = pass_of("correct horsf");
    VF_SECRET struct vf_passphrase *empty = pass_of("");

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t len = 0;
        VF_FREE uint8_t *file = from_hex(files[i], &len);
        VF_IDENTITY id = NULL;
        struct vf_identity_pub pub;
        bool locked = i < 2;
        OK(vf_identity_peek(file, len, &pub, &locked, NULL));
        assert_int_equal(locked, i == 2);
        VF_BUF line = {.max = 300};
        vf_identity_pub_put(&pub, &line);
        assert_string_equal(vf_buf_cstr(&line), lines[i]);
        if (locked) {
            assert_int_equal(vf_identity_decode(file, len, NULL, &id, NULL), VF_E_PASSPHRASE);
            assert_int_equal(vf_identity_decode(file, len, empty, &id, NULL), VF_E_PASSPHRASE);
            assert_int_equal(vf_identity_decode(file, len, wrong, &id, NULL), VF_E_PASSPHRASE);
            assert_null(id);
        }
        OK(vf_identity_decode(file, len, pass, &id, NULL));
        assert_true(vf_identity_pub_equal(vf_identity_pub_get(id), &pub));
    }
}

static void wrong_inside_though_whole(void **state)
{
    static const struct {
        const char *file;
        enum vf_err err;
    } bad[] = {
        {V_FILE_VERSION, VF_E_VERSION},   {V_FILE_OTHER_KEY, VF_E_DAMAGED},   {V_FILE_THIRD_KEY, VF_E_DAMAGED},
        {V_FILE_LINE, VF_E_FORMAT},       {V_FILE_COST_LOW, VF_E_REFUSED},    {V_FILE_COST_ONE, VF_E_REFUSED},
        {V_FILE_COST_HIGH, VF_E_REFUSED}, {V_FILE_COST_ELEVEN, VF_E_REFUSED},
    };
    VF_SECRET struct vf_passphrase *pass = pass_of("correct horse");

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t len = 0;
        VF_FREE uint8_t *file = from_hex(bad[i].file, &len);
        struct vf_identity *id = NULL;
        struct vf_why why = {0};
        assert_int_equal(vf_identity_decode(file, len, pass, &id, &why), bad[i].err);
        assert_int_equal(why.err, bad[i].err);
        assert_null(id);
    }
}

static void written_and_read_again(void **state)
{
    VF_IDENTITY id = NULL;
    VF_SECRET struct vf_passphrase *pass = pass_of("pässwörd with spaces");

    (void)state;
    OK(vf_identity_new(VF_ROLE_DEVICE, "printer-7", &id, NULL));
    for (unsigned locked = 0; locked < 2; locked++) {
        VF_BUF out = {.max = VF_IDENTITY_FILE_MAX};
        VF_BUF again = {.max = VF_IDENTITY_FILE_MAX};
        VF_IDENTITY back = NULL;
        struct vf_identity_pub pub;
        bool is_locked = false;
        struct vf_station_key k1;
        struct vf_station_key k2;
        vf_buf_text(&out, "before");
        OK(vf_identity_encode(id, locked ? pass : NULL, CHEAP, &out, NULL));
        OK(vf_identity_peek(out.data + 6, out.len - 6, &pub, &is_locked, NULL));
        assert_int_equal(is_locked, locked);
        OK(vf_identity_decode(out.data + 6, out.len - 6, locked ? pass : NULL, &back, NULL));
        assert_true(vf_identity_pub_equal(vf_identity_pub_get(back), vf_identity_pub_get(id)));
        vf_station_key_of(id, &k1);
        vf_station_key_of(back, &k2);
        assert_memory_equal(k1.b, k2.b, 32);
        /* Fresh salt and nonce each time; what needs none is the same each time. */
        OK(vf_identity_encode(back, locked ? pass : NULL, CHEAP, &again, NULL));
        assert_int_equal(again.len, out.len - 6);
        assert_int_equal(memcmp(again.data, out.data + 6, again.len) == 0, locked == 0);
    }
}

static void passphrase_and_cost_are_checked_when_writing(void **state)
{
    static const struct vf_argon2 bad[] = {{65535, 2}, {65536, 1}, {1048577, 2}, {65536, 11}, {0, 0}};
    VF_IDENTITY id = NULL;
    VF_SECRET struct vf_passphrase *pass = pass_of("x");
    VF_BUF out = {.max = VF_IDENTITY_FILE_MAX};

    (void)state;
    OK(vf_identity_new(VF_ROLE_ADMIN, "a", &id, NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(vf_identity_encode(id, pass, bad[i], &out, NULL), VF_E_REFUSED);
    pass->len = 0;
    assert_int_equal(vf_identity_encode(id, pass, CHEAP, &out, NULL), VF_E_INPUT);
    pass->len = sizeof(pass->text) + 1;
    assert_int_equal(vf_identity_encode(id, pass, CHEAP, &out, NULL), VF_E_INPUT);
    assert_int_equal(out.len, 0);
    VF_BUF small = {.max = 100};
    assert_int_equal(vf_identity_encode(id, NULL, CHEAP, &small, NULL), VF_E_LIMIT);
}

/* Every byte changed, every length: never an identity, never a crash, and damage is called damage. */
static void a_changed_file_is_refused(void **state)
{
    static const char *const files[] = {V_DESK_FILE, V_LOCKED_FILE};
    VF_SECRET struct vf_passphrase *pass = pass_of("correct horse");

    (void)state;
    for (size_t f = 0; f < 2; f++) {
        size_t len = 0;
        VF_FREE uint8_t *file = from_hex(files[f], &len);
        struct vf_identity *id = NULL;
        for (size_t i = 0; i < len; i++)
            for (unsigned bit = 0; bit < 8; bit++) {
                file[i] ^= (uint8_t)(1u << bit);
                enum vf_err err = vf_identity_decode(file, len, pass, &id, NULL);
                enum vf_err want = i < 8 ? VF_E_FORMAT : i < 12 ? VF_E_VERSION : VF_E_DAMAGED;
                assert_true(err == want || (want == VF_E_DAMAGED && err == VF_E_FORMAT));
                assert_null(id);
                file[i] ^= (uint8_t)(1u << bit);
            }
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(vf_identity_decode(file, cut, pass, &id, NULL), VF_E_FORMAT);
        VF_FREE uint8_t *longer = calloc(1, len + 1);
        memcpy(longer, file, len);
        assert_int_equal(vf_identity_decode(longer, len + 1, pass, &id, NULL), VF_E_FORMAT);
        assert_null(id);
    }
}

/* Somebody who can write the file mends the checksum too. Under a passphrase nothing may pass for all that. */
static void a_forged_file_does_not_open(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *file = from_hex(V_LOCKED_FILE, &len);
    VF_SECRET struct vf_passphrase *pass = pass_of("correct horse");
    size_t line_at = 14;
    size_t secrets_at = len - 32 - 112;
    const size_t at[] = {
        line_at + 25,    /* the name */
        secrets_at - 43, /* the last byte of passes: 2 becomes 3 */
        secrets_at - 42, /* salt */
        secrets_at - 3,  /* nonce */
        secrets_at,      secrets_at + 95, secrets_at + 111,
    };

    (void)state;
    assert_int_equal(file[line_at + 25], 'd');
    assert_int_equal(file[secrets_at - 43], 2);
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        struct vf_identity *id = NULL;
        struct vf_hash sum;
        file[at[i]] ^= 0x01;
        vf_sha256(file, len - 32, &sum);
        memcpy(file + len - 32, sum.b, 32);
        assert_int_equal(vf_identity_decode(file, len, pass, &id, NULL), VF_E_PASSPHRASE);
        assert_null(id);
        file[at[i]] ^= 0x01;
    }
}

static void sealed_boxes_open_for_one(void **state)
{
    VF_IDENTITY id = NULL;
    VF_IDENTITY other = NULL;
    struct vf_vault_key vk;
    struct vf_vault_key back;
    struct vf_grant_share gs;
    struct vf_grant_share gs_back;
    uint8_t a[VF_SEALED_KEY_LEN];
    uint8_t b[VF_SEALED_KEY_LEN];

    (void)state;
    OK(vf_identity_new(VF_ROLE_ADMIN, "a", &id, NULL));
    OK(vf_identity_new(VF_ROLE_ADMIN, "b", &other, NULL));
    counting(vk.b, 1, 32);
    counting(gs.b, 100, 32);
    vf_vault_key_seal(&vk, vf_identity_pub_get(id), a);
    vf_vault_key_seal(&vk, vf_identity_pub_get(id), b);
    assert_memory_not_equal(a, b, sizeof(a));
    OK(vf_vault_key_open(id, a, &back));
    assert_memory_equal(back.b, vk.b, 32);
    memset(back.b, 0x5a, 32);
    assert_int_equal(vf_vault_key_open(other, a, &back), VF_E_DAMAGED);
    for (size_t i = 0; i < sizeof(a); i++) {
        a[i] ^= 0x04;
        assert_int_equal(vf_vault_key_open(id, a, &back), VF_E_DAMAGED);
        a[i] ^= 0x04;
    }
    assert_int_equal(back.b[0], 0x5a);
    vf_grant_share_seal(&gs, vf_identity_pub_get(other), b);
    OK(vf_grant_share_open(other, b, &gs_back));
    assert_memory_equal(gs_back.b, gs.b, 32);
    assert_int_equal(vf_grant_share_open(id, b, &gs_back), VF_E_DAMAGED);
}

static void station_keys(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *file = from_hex(V_ADMIN_FILE, &len);
    VF_IDENTITY id = NULL;
    VF_IDENTITY other = NULL;
    struct vf_station_key key;
    struct vf_station_key wrong;
    struct vf_hash mac;
    struct vf_hash mac2;

    (void)state;
    OK(vf_identity_decode(file, len, NULL, &id, NULL));
    vf_station_key_of(id, &key);
    assert_hex(key.b, 32, V_STATION_KEY);
    vf_station_mac(&key, "clock", 5, &mac);
    assert_hex(mac.b, 32, V_STATION_MAC);
    vf_station_mac(&key, "clocl", 5, &mac2);
    assert_memory_not_equal(mac.b, mac2.b, 32);
    OK(vf_identity_new(VF_ROLE_DEVICE, "d", &other, NULL));
    vf_station_key_of(other, &wrong);
    vf_station_mac(&wrong, "clock", 5, &mac2);
    assert_memory_not_equal(mac.b, mac2.b, 32);
    /* Longer than any internal buffer. */
    uint8_t big[5000] = {0};
    vf_station_mac(&key, big, sizeof(big), &mac);
    big[4999] = 1;
    vf_station_mac(&key, big, sizeof(big), &mac2);
    assert_memory_not_equal(mac.b, mac2.b, 32);
}

static void every_allocation_may_fail(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *file = from_hex(V_DESK_FILE, &len);

    (void)state;
    for (unsigned n = 1;; n++) {
        VF_IDENTITY id = NULL;
        VF_BUF out = {.max = VF_IDENTITY_FILE_MAX};
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_identity_decode(file, len, NULL, &id, NULL);
        if (err == VF_OK)
            err = vf_identity_encode(id, NULL, VF_ARGON2_DEFAULT, &out, NULL);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            assert_int_equal(out.len, len);
            assert_memory_equal(out.data, file, len);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_the_second_implementation),
        cmocka_unit_test(fingerprints),
        cmocka_unit_test(malformed_lines_are_refused),
        cmocka_unit_test(a_line_has_one_spelling),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(public_files),
        cmocka_unit_test(new_identities),
        cmocka_unit_test(a_full_arena_is_an_error),
        cmocka_unit_test(files_of_the_second_implementation),
        cmocka_unit_test(wrong_inside_though_whole),
        cmocka_unit_test(written_and_read_again),
        cmocka_unit_test(passphrase_and_cost_are_checked_when_writing),
        cmocka_unit_test(a_changed_file_is_refused),
        cmocka_unit_test(a_forged_file_does_not_open),
        cmocka_unit_test(sealed_boxes_open_for_one),
        cmocka_unit_test(station_keys),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("crypto identity", tests, with_crypto, without_crypto);
}
