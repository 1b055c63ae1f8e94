/* SPDX-License-Identifier: MIT */
/* A file of checkpoints, read record by record as a verifier does, with damage in it; and each as a receipt. */
#include "../../vaultfs/audit/checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE "vaultfs.log/00112233445566778899aabbccddeeff" /* of the corpus */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Of the Ed25519 seed 00 01 … 1f: the desk of the corpus. */
static const struct vf_note_key desk = {
    .name = "desk",
    .key = {0x03, 0xa1, 0x07, 0xbf, 0xf3, 0xce, 0x10, 0xbe, 0x1d, 0x70, 0xdd, 0x18, 0xe7, 0x4b, 0xc0, 0x99,
            0x67, 0xe4, 0xd6, 0x30, 0x9b, 0xa5, 0x0d, 0x5f, 0x1d, 0xdc, 0x86, 0x64, 0x12, 0x55, 0x31, 0xb8},
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void use(const char *p, size_t len)
{
    struct vf_checkpoint c;
    struct vf_checkpoint r;
    struct vf_note note;
    int64_t when = 0;

    if (vf_note_parse(p, len, &note, NULL) != VF_OK || vf_checkpoint_parse(&note, &c, NULL) != VF_OK)
        return;
    check(c.size <= INT64_MAX && memchr(c.origin, 0, sizeof(c.origin)) != NULL && c.origin[0] != '\0');
    VF_BUF text = {.max = 4096};
    vf_checkpoint_put(c.origin, c.size, &c.root, &text);
    check(text.len <= note.text_len && memcmp(text.data, note.text, text.len) == 0);
    /* Only what the desk signed is its receipt: the one of the corpus. */
    if (vf_receipt_verify(&note, &desk, 1, &r, &when, NULL) == VF_OK)
        check(r.size == 0 && when == INT64_C(1795262400000000) && note.text_len == text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    VF_FD fd = memfd_create("checkpoints", MFD_CLOEXEC);
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    bool more = true;
    uint64_t before = 0;

    check(fd >= 0 && (len == 0 || write(fd, data, len) == (ssize_t)len));
    check(vf_record_reader_init(&r, fd, 0, INT64_MAX, NULL) == VF_OK);
    /* The beginning of a record is not one, whatever follows. */
    check(!vf_record_torn((const char *)data, len, LINE) || len < VF_RECORD_MAX);
    while (more) {
        enum vf_record_kind kind = VF_RECORD_END;
        const char *p = NULL;
        size_t n = 0;
        check(vf_record_reader_peek(&r, "fuzz", &kind, &p, &n, NULL) == VF_OK);
        if (kind == VF_RECORD_END)
            break;
        check(n > 0 && n <= VF_RECORD_MAX && r.at + n <= len);
        check(memcmp(p, data + r.at, n) == 0);
        before = r.at;
        if (kind == VF_RECORD_WHOLE && (n % 7) != 3) {
            use(p, n);
            vf_record_reader_pass(&r, n);
        } else {
            check(vf_record_reader_resync(&r, "fuzz", LINE, &more, NULL) == VF_OK);
        }
        check(r.at > before || !more);
    }
    return 0;
}
