/* SPDX-License-Identifier: MIT */
/* Signed notes: what parses is found again whole, and merging, signing and checking keep its text. */
#include "vaultfs/crypto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* The keys of the corpus, so that a changed note meets a signature that is checked. */
static const struct {
    const char *name;
    const char *key;
} known[] = {
    {"PeterNeumann", "GlzZBxQ8OExB6DDFvOEqqIF+xWSaqr8sMTiLNbLXRNY="},
    {"arche2025h1.staging.ct.transparency.dev", "TS8eaUYJL8903xvY5oaYqmssjwcoz50njvbGAViHXl8="},
    {"inspector.a", NULL},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static struct vf_identity *signer;
static struct vf_note_key keys[KNOWN];

static void start(void)
{
    if (signer != NULL)
        return;
    check(vf_crypto_init(65536, NULL) == VF_OK);
    check(vf_identity_new(VF_ROLE_ADMIN, "inspector.a", &signer, NULL) == VF_OK);
    for (size_t i = 0; i < KNOWN; i++) {
        memcpy(keys[i].name, known[i].name, strlen(known[i].name));
        if (known[i].key != NULL)
            check(vf_base64_get(known[i].key, strlen(known[i].key), keys[i].key, 32));
        else
            vf_note_key_of(vf_identity_pub_get(signer), &keys[i]);
    }
}

static void same_text(const struct vf_buf *b, const struct vf_note *note, size_t nsigs)
{
    struct vf_note back;

    check(vf_note_parse(b->data, b->len, &back, NULL) == VF_OK);
    check(back.nsigs == nsigs && back.text_len == note->text_len && memcmp(back.text, note->text, note->text_len) == 0);
}

static void use(const struct vf_note *note)
{
    bool signed_by[KNOWN];
    size_t count = 0;
    VF_BUF merged = {.max = 2 * VF_NOTE_MAX};
    VF_BUF more = {.max = 2 * VF_NOTE_MAX};

    if (vf_note_verify(note, keys, KNOWN, signed_by, &count, NULL) == VF_OK)
        check(count <= KNOWN && count <= note->nsigs);
    check(vf_note_merge(note, note, &merged, NULL) == VF_OK);
    check(merged.len == note->total_len && memcmp(merged.data, note->text, merged.len) == 0);
    if (vf_note_cosign(note, signer, &more, NULL) == VF_OK) {
        same_text(&more, note, note->nsigs + 1);
        check(memcmp(more.data, note->text, note->total_len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct vf_note note;

    start();
    if (vf_note_parse(data, len, &note, NULL) != VF_OK)
        return 0;
    check(note.total_len == len && note.text == (const char *)data && note.text_len + 1 < len);
    check(note.nsigs > 0 && note.nsigs <= VF_NOTE_SIGS_MAX);
    size_t at = note.text_len + 1;
    for (size_t i = 0; i < note.nsigs; i++) {
        const struct vf_note_sig *sig = &note.sigs[i];
        check(sig->line == note.text + at && sig->name == sig->line + 4 && sig->name_len + 5 < sig->line_len);
        at += sig->line_len + 1;
    }
    check(at == len);
    use(&note);
    return 0;
}
