/* SPDX-License-Identifier: MIT */
/*
 * A log that comes piece by piece: the input is a hand-in file. In one piece it is taken if and only if verifying the file calls it good; what is
 * good is taken checkpoint by checkpoint too, and comes to the same tree.
 */
#include "../../vaultfs/audit/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* The end of `n` lines. */
static size_t lines(struct vf_slice text, uint64_t n)
{
    size_t at = 0;

    for (; n > 0; n--) {
        const uint8_t *nl = memchr(text.data + at, '\n', text.len - at);
        check(nl != NULL);
        at = (size_t)(nl - text.data) + 1;
    }
    return at;
}

static struct vf_verify_place piecewise(const struct vf_origin *origin, struct vf_slice cps, struct vf_slice entries)
{
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    struct vf_verify_place at = {.last_us = 0};

    check(vf_record_reader_of(&r, cps, NULL) == VF_OK);
    for (;;) {
        enum vf_record_kind kind = VF_RECORD_END;
        struct vf_checkpoint c;
        struct vf_note note;
        const char *p = NULL;
        size_t n = 0;
        check(vf_record_reader_peek(&r, "", &kind, &p, &n, NULL) == VF_OK);
        if (kind == VF_RECORD_END)
            return at;
        check(kind == VF_RECORD_WHOLE && vf_note_parse(p, n, &note, NULL) == VF_OK &&
              vf_checkpoint_parse(&note, &c, NULL) == VF_OK);
        struct vf_slice cp = {cps.data + r.at, n + 1};
        struct vf_slice piece = {entries.data, lines(entries, c.size - at.tree.size)};
        check(vf_verify_extension(origin, &at, cp, piece, NULL) == VF_OK && at.tree.size == c.size);
        check(at.cp_at == 0 && at.cp_end == n + 1 && at.seg_at == piece.len);
        entries.data += piece.len;
        entries.len -= piece.len;
        vf_record_reader_pass(&r, n);
    }
}

static bool verify(const uint8_t *data, size_t len, struct vf_verdict *v)
{
    VF_FD fd = memfd_create("log", MFD_CLOEXEC);
    char path[64];

    check(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return vf_log_verify(path, NULL, v, NULL) == VF_OK && v->good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct vf_verdict v;
    static bool started;
    struct vf_verify_place at = {.last_us = 0};
    struct vf_handin_head head;
    struct vf_origin origin;
    struct vf_note note;

    if (!started)
        check(vf_crypto_init(65536, NULL) == VF_OK);
    started = true;
    if (len < VF_HANDIN_HEAD_LEN || vf_handin_head_decode(data, &head, NULL) != VF_OK ||
        head.origin_len > len - VF_HANDIN_HEAD_LEN || head.checkpoints_len > len - VF_HANDIN_HEAD_LEN - head.origin_len)
        return 0;
    const uint8_t *p = data + VF_HANDIN_HEAD_LEN;
    if (vf_note_parse(p, head.origin_len, &note, NULL) != VF_OK || vf_origin_parse(&note, &origin, NULL) != VF_OK)
        return 0;
    struct vf_slice cps = {p + head.origin_len, (size_t)head.checkpoints_len};
    struct vf_slice entries = {cps.data + cps.len, (size_t)(data + len - cps.data) - cps.len};
    enum vf_err err = vf_verify_extension(&origin, &at, cps, entries, NULL);
    check(err == VF_OK || err == VF_E_FORGED || err == VF_E_FORMAT);
    bool good = verify(data, len, &v);
    /* Only the head is not looked at by who gets pieces. */
    check((err == VF_OK && at.tree.size == head.entries) == good);
    check(err == VF_OK || at.tree.size == 0);
    if (!good)
        return 0;
    struct vf_verify_place end = piecewise(&origin, cps, entries);
    check(end.tree.size == at.tree.size && end.last_us == at.last_us && end.key_seq == at.key_seq &&
          end.checkpoints == at.checkpoints && memcmp(end.key, at.key, sizeof(at.key)) == 0);
    check(at.tree.size == 0 || memcmp(end.leaf.b, at.leaf.b, sizeof(at.leaf.b)) == 0);
    struct vf_hash a, b;
    vf_tree_root(&end.tree, &a);
    vf_tree_root(&at.tree, &b);
    check(memcmp(a.b, b.b, sizeof(a.b)) == 0);
    return 0;
}
