/* SPDX-License-Identifier: MIT */
/* Cosignatures with a time, type 0x04: a checkpoint of a public log with those of three witnesses, and our own. */
#include "crypto_test.h"

#include "faults.h"

#include <errno.h>
#include <stdio.h>

#define DASH "\xe2\x80\x94 "

/* A checkpoint of a Certificate Transparency log as its monitors hold it. Its first signature is of type 0x05, the second 0x01. */
#define TEXT                                    \
    "arche2025h1.staging.ct.transparency.dev\n" \
    "1432088532\n"                              \
    "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n"
#define LOG_NAME "arche2025h1.staging.ct.transparency.dev"
#define LOG_KEY  "TS8eaUYJL8903xvY5oaYqmssjwcoz50njvbGAViHXl8="
#define LOG_SIGS                                                                                                     \
    DASH LOG_NAME                                                                                                    \
        " zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5z" \
        "RNZ55lvGt0=\n" DASH LOG_NAME                                                                                \
        " ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n"
#define REMORA      "remora.n621.de"
#define REMORA_KEY  "683reOf9su+SJ7LB7xHpRgC1W01tmleHfjHuieWa3DY="
#define REMORA_SIG  "2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw=="
#define STAGEMOLE   "witness.stagemole.eu"
#define STAGEMOLE_K "SpIbfK71iuZwzcEe9BhPHAWPe5JZqRB6lp9p+lSqSW8="
#define STAGEMOLE_S \
    "Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg=="
#define SMARTIT     "witness1.smartit.nu/witness1"
#define SMARTIT_KEY "9IVaD0boo+I7tA+vJg7lerihgkn6QC8sotKKYOGjEw4="
#define SMARTIT_SIG \
    "pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ=="
#define WITNESS_TIME 0x6a122120u
#define CHECKPOINT \
    TEXT "\n" LOG_SIGS DASH SMARTIT " " SMARTIT_SIG "\n" DASH REMORA " " REMORA_SIG "\n" DASH STAGEMOLE " " STAGEMOLE_S "\n"

static struct vf_note_key key_of(const char *name, const char *base64)
{
    struct vf_note_key key = {0};

    (void)snprintf(key.name, sizeof(key.name), "%s", name);
    assert_true(vf_base64_get(base64, strlen(base64), key.key, 32));
    return key;
}

static void cosignatures_of_public_witnesses(void **state)
{
    struct vf_note_key witnesses[3] = {key_of(SMARTIT, SMARTIT_KEY), key_of(REMORA, REMORA_KEY),
                                       key_of(STAGEMOLE, STAGEMOLE_K)};
    struct vf_note_key log = key_of(LOG_NAME, LOG_KEY);
    struct vf_note note;
    bool by = false;
    size_t count = 0;
    size_t which = 9;
    uint64_t time_s = 0;

    (void)state;
    OK(vf_note_parse(CHECKPOINT, strlen(CHECKPOINT), &note, NULL));
    assert_int_equal(note.nsigs, 5);
    OK(vf_note_verify(&note, &log, 1, &by, &count, NULL));
    assert_int_equal(count, 1);
    for (size_t i = 0; i < 3; i++) {
        OK(vf_note_cosignature_verify(&note, &witnesses[i], 1, &which, &time_s, NULL));
        assert_int_equal(which, 0);
        assert_true(time_s == WITNESS_TIME);
    }
    OK(vf_note_cosignature_verify(&note, witnesses, 3, &which, &time_s, NULL));
    assert_int_equal(vf_note_cosignature_verify(&note, &log, 1, &which, &time_s, NULL), VF_E_UNSIGNED);
    assert_int_equal(vf_note_cosignature_verify(&note, witnesses, 0, &which, &time_s, NULL), VF_E_UNSIGNED);
    /* Neither kind passes for the other. */
    OK(vf_note_verify(&note, witnesses, 1, &by, &count, NULL));
    assert_int_equal(count, 0);
}

static void a_changed_checkpoint_is_refused(void **state)
{
    struct vf_note_key remora = key_of(REMORA, REMORA_KEY);
    char text[] = TEXT "\n" DASH REMORA " " REMORA_SIG "\n";
    struct vf_note note;
    size_t which = 9;
    uint64_t time_s = 77;

    (void)state;
    text[45] ^= 1; /* a digit of the size */
    OK(vf_note_parse(text, strlen(text), &note, NULL));
    assert_int_equal(vf_note_cosignature_verify(&note, &remora, 1, &which, &time_s, NULL), VF_E_FORGED);
    text[45] ^= 1;
    /* Every byte of time and signature. */
    uint8_t raw[76];
    assert_true(vf_base64_get(REMORA_SIG, strlen(REMORA_SIG), raw, sizeof(raw)));
    for (size_t len = 75; len <= 76; len++)
        for (size_t i = 0; i < len; i++) {
            VF_BUF b = {.max = 2000};
            raw[i] ^= 0x10;
            vf_buf_text(&b, TEXT "\n" DASH REMORA " ");
            vf_base64_put(&b, raw, len);
            vf_buf_text(&b, "\n");
            raw[i] ^= 0x10;
            OK(vf_note_parse(b.data, b.len, &note, NULL));
            assert_int_equal(vf_note_cosignature_verify(&note, &remora, 1, &which, &time_s, NULL),
                             i < 4 ? VF_E_UNSIGNED : VF_E_FORGED);
        }
    assert_int_equal(which, 9);
    assert_true(time_s == 77);
}

static void our_own(void **state)
{
    static const enum vf_role roles[] = {VF_ROLE_DESK, VF_ROLE_ADMIN};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        VF_IDENTITY id = NULL;
        VF_BUF once = {.max = 2000};
        VF_BUF twice = {.max = 2000};
        struct vf_note note;
        struct vf_note_key key;
        struct vf_note_key plain;
        size_t which = 9;
        uint64_t time_s = 0;
        bool by = false;
        size_t count = 0;
        OK(vf_identity_new(roles[i], "desk-1", &id, NULL));
        OK(vf_note_parse(CHECKPOINT, strlen(CHECKPOINT), &note, NULL));
        OK(vf_note_cosignature_put(&note, id, 1700000000, &once, NULL));
        OK(vf_note_parse(once.data, once.len, &note, NULL));
        assert_int_equal(note.nsigs, 6);
        OK(vf_note_cosignature_put(&note, id, 1700000001, &twice, NULL));
        OK(vf_note_parse(twice.data, twice.len, &note, NULL));
        vf_note_cosigner_key_of(vf_identity_pub_get(id), &key);
        vf_note_key_of(vf_identity_pub_get(id), &plain);
        assert_int_equal(memcmp(key.key, plain.key, 32) == 0, roles[i] != VF_ROLE_DESK);
        OK(vf_note_cosignature_verify(&note, &key, 1, &which, &time_s, NULL));
        assert_true(time_s == 1700000001);
        /* A cosignature is no signature. */
        OK(vf_note_verify(&note, &plain, 1, &by, &count, NULL));
        assert_int_equal(count, 0);
        VF_BUF out = {.max = 2000};
        OK(vf_note_cosignature_put(&note, id, 0, &out, NULL));
        vf_buf_reset(&out);
        OK(vf_note_cosignature_put(&note, id, UINT64_C(253402300799), &out, NULL));
        vf_buf_reset(&out);
        assert_int_equal(vf_note_cosignature_put(&note, id, UINT64_C(253402300800), &out, NULL), VF_E_INPUT);
        assert_int_equal(out.len, 0);
    }
}

static void limits_and_memory(void **state)
{
    VF_IDENTITY id = NULL;
    struct vf_note note;
    VF_BUF many = {.max = VF_NOTE_MAX};
    VF_BUF out = {.max = VF_NOTE_MAX};

    (void)state;
    OK(vf_identity_new(VF_ROLE_DESK, "desk-1", &id, NULL));
    vf_buf_text(&many, "a\n\n");
    for (unsigned i = 0; i < VF_NOTE_SIGS_MAX; i++)
        vf_buf_fmt(&many, DASH "n%u AAAAAAA=\n", i);
    OK(vf_note_parse(many.data, many.len, &note, NULL));
    assert_int_equal(vf_note_cosignature_put(&note, id, 1, &out, NULL), VF_E_LIMIT);
    /* A note that is full already: what comes out must be a note that can be read. */
    VF_FREE char *big = malloc(VF_NOTE_MAX);
    assert_non_null(big);
    memset(big, 'x', VF_NOTE_MAX);
    size_t text = VF_NOTE_MAX - 40;
    memcpy(big + text, "\n\n" DASH "n AAAAAAA=\n", 17);
    OK(vf_note_parse(big, text + 17, &note, NULL));
    VF_BUF room = {.max = 2 * VF_NOTE_MAX};
    assert_int_equal(vf_note_cosignature_put(&note, id, 1, &room, NULL), VF_E_LIMIT);
    assert_int_equal(room.len, 0);

    OK(vf_note_parse(CHECKPOINT, strlen(CHECKPOINT), &note, NULL));
    for (unsigned n = 1;; n++) {
        VF_BUF b = {.max = 2000};
        struct vf_note back;
        struct vf_note_key key;
        size_t which = 0;
        uint64_t time_s = 0;
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_note_cosignature_put(&note, id, 1, &b, NULL);
        if (err == VF_OK)
            err = vf_note_parse(b.data, b.len, &back, NULL);
        vf_note_cosigner_key_of(vf_identity_pub_get(id), &key);
        if (err == VF_OK)
            err = vf_note_cosignature_verify(&back, &key, 1, &which, &time_s, NULL);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosignatures_of_public_witnesses),
        cmocka_unit_test(a_changed_checkpoint_is_refused),
        cmocka_unit_test(our_own),
        cmocka_unit_test(limits_and_memory),
    };

    return cmocka_run_group_tests_name("crypto cosignature", tests, with_crypto, without_crypto);
}
