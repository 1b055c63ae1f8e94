/* SPDX-License-Identifier: MIT */
/* A handed-in log, verified from the first byte to the last: never more entries than lines, nothing told as sealed that is not. */
#include "vaultfs/audit.h"

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

struct told {
    uint64_t n, sealed, last;
};

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct told *t = user;

    (void)why;
    check(t->n == 0 || e->seq > t->last);
    check(!sealed || e->seq == t->sealed);
    t->last = e->seq;
    t->n++;
    t->sealed += sealed ? 1 : 0;
    return VF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct vf_verdict v;
    static bool started;
    struct told told = {0};
    struct vf_verify_options opt = {.each = each, .user = &told};
    VF_FD fd = memfd_create("handin", MFD_CLOEXEC);
    char path[64];

    if (!started)
        check(vf_crypto_init(65536, NULL) == VF_OK);
    started = true;
    check(fd >= 0 && (len == 0 || write(fd, data, len) == (ssize_t)len));
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    enum vf_err err = vf_log_verify(path, &opt, &v, NULL);
    check(err == VF_OK || err == VF_E_FORMAT || err == VF_E_VERSION);
    if (err != VF_OK)
        return 0;
    check(v.good == (v.nfindings == 0) && v.nfindings <= VF_VERDICT_FINDINGS_MAX && v.nnotes <= VF_VERDICT_NOTES_MAX);
    check(told.n == v.entries && told.sealed == v.sealed && v.sealed <= v.entries && v.tree.size == v.sealed);
    for (size_t i = 0; i < v.nfindings; i++)
        check(v.findings[i][0] != '\0' && vf_text_printable(v.findings[i], strlen(v.findings[i])));
    return 0;
}
