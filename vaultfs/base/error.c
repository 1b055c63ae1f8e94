/* SPDX-License-Identifier: MIT */
#define VF_BASE_ERROR_C
#include "vaultfs/base.h"

#include "utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

struct err_row {
    const char *text;
    int eno;
    int status;
};

static const struct err_row table[VF_ERR_COUNT_] = {[VF_OK] = {"done", 0, 0},
#define VF_ERR_ROW_(code, text, eno, status) [VF_E_##code] = {text, eno, status},
                                                    VF_ERRORS(VF_ERR_ROW_)
#undef VF_ERR_ROW_
};

/* A code that is not in the table can only be a bug of the caller: it reads as the plainest failure, never as success. */
static const struct err_row *row_of(enum vf_err err)
{
    unsigned i = (unsigned)err;

    return &table[i < VF_ERR_COUNT_ ? i : (unsigned)VF_E_SYSTEM];
}

const char *vf_err_text(enum vf_err err)
{
    return row_of(err)->text;
}

int vf_err_errno(enum vf_err err)
{
    return row_of(err)->eno;
}

int vf_err_exit(enum vf_err err)
{
    return row_of(err)->status;
}

/* The beginning of a UTF-8 sequence whose rest was cut off. */
static bool cut_in_two(const uint8_t *s, size_t left)
{
    if (s[0] < 0xc2 || left >= 4)
        return false;
    for (size_t i = 1; i < left; i++)
        if ((s[i] & 0xc0) != 0x80)
            return false;
    return true;
}

/*
 * A reason is printed on terminals and names files that other people named. What could end the line, steer a terminal or
 * turn the reading direction becomes '?', and a character that the end of the buffer cut in two is dropped.
 */
void vf_text_one_line(char *text)
{
    uint8_t *bytes = (uint8_t *)text;
    size_t len = strlen(text);
    size_t in = 0;
    size_t out = 0;

    while (in < len) {
        uint32_t cp = 0;
        size_t n = vf_utf8_next(bytes + in, len - in, &cp);
        if (n == 0 && cut_in_two(bytes + in, len - in))
            break;
        if (n > 0 && vf_utf8_showable(cp)) {
            memmove(bytes + out, bytes + in, n);
            out += n;
        } else {
            bytes[out++] = '?';
        }
        in += n > 0 ? n : 1;
    }
    bytes[out] = '\0';
}

static enum vf_err set(struct vf_why *why, enum vf_err err, int sys_errno)
{
    why->err = err;
    why->sys_errno = sys_errno;
    vf_text_one_line(why->text);
    return err;
}

enum vf_err vf_fail(struct vf_why *why, enum vf_err err, const char *fmt, ...)
{
    va_list ap;

    if (why == NULL || err == VF_OK)
        return err;
    va_start(ap, fmt);
    (void)vsnprintf(why->text, sizeof(why->text), fmt, ap);
    va_end(ap);
    return set(why, err, 0);
}

static enum vf_err err_of_errno(int eno)
{
    switch (eno) {
    case ENOMEM:
        return VF_E_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return VF_E_DISK_FULL;
    case ENOENT:
    case ENOTDIR:
        return VF_E_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return VF_E_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return VF_E_DENIED;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
        return VF_E_BUSY;
    case EFBIG:
    case EOVERFLOW:
    case ENAMETOOLONG:
        return VF_E_LIMIT;
    case EISDIR:
    case ELOOP:
        return VF_E_INPUT;
    case ENOTSUP:
    case ENOSYS:
        return VF_E_UNSUPPORTED;
    default:
        return VF_E_SYSTEM;
    }
}

enum vf_err vf_fail_sys(struct vf_why *why, const char *fmt, ...)
{
    int eno = errno;
    enum vf_err err = err_of_errno(eno);
    const char *says = strerrordesc_np(eno);
    char what[sizeof(why->text)];
    va_list ap;

    if (why == NULL)
        return err;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    /* The system's words are the part that tells what to do: a name too long for the line gives way, not they. */
    (void)snprintf(why->text, sizeof(why->text), "%.*s: %s", (int)sizeof(what) - 80, what,
                   says != NULL ? says : "unknown error");
    errno = eno;
    return set(why, err, eno);
}

enum vf_err vf_fail_prefix(struct vf_why *why, enum vf_err err, const char *fmt, ...)
{
    char prefix[sizeof(why->text)];
    char old[sizeof(why->text)];
    va_list ap;

    if (why == NULL || err == VF_OK)
        return err;
    (void)snprintf(old, sizeof(old), "%s", why->text[0] != '\0' ? why->text : vf_err_text(err));
    va_start(ap, fmt);
    (void)vsnprintf(prefix, sizeof(prefix), fmt, ap);
    va_end(ap);
    (void)snprintf(why->text, sizeof(why->text), "%s", prefix);
    size_t used = strlen(why->text);
    (void)snprintf(why->text + used, sizeof(why->text) - used, ": %s", old);
    return set(why, err, why->sys_errno);
}
