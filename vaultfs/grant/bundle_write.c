/* SPDX-License-Identifier: MIT */
#include "bundle_write.h"

#include <errno.h>
#include <limits.h>
#include <sys/uio.h>

#define BATCH 256u

_Static_assert(BATCH <= IOV_MAX, "one writev takes a batch");

void vf_bundle_put_head(struct vf_buf *out, const struct vf_vault_id *vault, uint32_t nvalues)
{
    vf_buf_put(out, VF_BUNDLE_MAGIC, VF_MAGIC_LEN);
    vf_buf_put(out, vault->b, sizeof(vault->b));
    vf_buf_u32(out, nvalues);
}

void vf_bundle_put_item(struct vf_buf *out, const struct vf_bundle_value *v)
{
    vf_buf_put(out, v->ref.c, VF_REF_LEN);
    vf_buf_u8(out, v->field);
    vf_buf_u32(out, v->generation);
    vf_buf_u32(out, v->len);
}

/* What was written is taken off the front. */
static void advance(struct iovec **iov, size_t *n, size_t written)
{
    while (*n > 0 && written >= (*iov)->iov_len) {
        written -= (*iov)->iov_len;
        ++*iov;
        --*n;
    }
    if (*n > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + written;
        (*iov)->iov_len -= written;
    }
}

static enum vf_err write_batch(int fd, struct iovec *iov, size_t n, struct vf_why *why)
{
    while (n > 0) {
        ssize_t got = writev(fd, iov, (int)n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return vf_fail_sys(why, "the bundle cannot be written");
        advance(&iov, &n, (size_t)got);
    }
    return VF_OK;
}

enum vf_err vf_bundle_write(int fd, const struct vf_slice *slices, size_t n, struct vf_why *why)
{
    struct iovec iov[BATCH];
    size_t filled = 0;

    for (size_t i = 0; i < n; i++) {
        /* writev only reads what it is given; its type does not say so. */
        union {
            const uint8_t *from;
            void *to;
        } cast = {.from = slices[i].data};
        iov[filled++] = (struct iovec){.iov_base = cast.to, .iov_len = slices[i].len};
        if (filled == BATCH || i + 1 == n) {
            VF_TRY(write_batch(fd, iov, filled, why));
            filled = 0;
        }
    }
    return VF_OK;
}
