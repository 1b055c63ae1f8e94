/* SPDX-License-Identifier: MIT */
/* A bundle, read as a station does: every value is touched, and all that was announced came. */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_all(int fd, size_t len)
{
    VF_CLEANUP(vf_bundle_cleanup) struct vf_bundle_reader *r = NULL;
    struct vf_bundle_value v;
    struct vf_why why = {0};
    const uint8_t *value;
    uint64_t bytes = 0;
    uint32_t n = 0;
    enum vf_err err;
    volatile uint8_t sum = 0;

    if (vf_bundle_open(fd, "fuzz", &r, &why) != VF_OK)
        return;
    while ((err = vf_bundle_next(r, &v, &value, &why)) == VF_OK) {
        for (uint32_t i = 0; i < v.len; i++)
            sum = (uint8_t)(sum ^ value[i]);
        bytes += v.len;
        n++;
    }
    if (err == VF_E_NOT_FOUND &&
        (n != vf_bundle_count(r) || bytes != vf_bundle_bytes(r) || 28 + (uint64_t)n * 17 + bytes != len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    VF_FD fd = memfd_create("bundle", MFD_CLOEXEC);

    if (fd < 0 || vf_fd_write(fd, data, len, "fuzz", NULL) != VF_OK || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    read_all(fd, len);
    return 0;
}
