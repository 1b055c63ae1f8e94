/* SPDX-License-Identifier: MIT */
/*
 * base: errors, bounded byte readers and writers, text forms, files, clocks.
 *
 * The lowest room: it knows nothing of records, keys or logs. Nothing in it prints. Every function here may be called from
 * any thread unless its comment says otherwise; objects passed in must not be shared between threads without a lock.
 */
#ifndef VAULTFS_BASE_H
#define VAULTFS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#if defined(__GNUC__)
#define VF_PUBLIC             __attribute__((visibility("default")))
#define VF_MUST_USE           __attribute__((warn_unused_result))
#define VF_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define VF_CLEANUP(fn)        __attribute__((cleanup(fn)))
#else
#error "vaultfs needs gcc or clang"
#endif

/* ------------------------------------------------------------------------------------------------------------------ errors */

/*
 * One table for every error: code, plain sentence, errno for a program reading the mount, exit status of a command.
 * Exit: 1 failed, 2 wrong usage, 3 damage or forgery, 4 genuine but refused, 5 done in part.
 */
#define VF_ERRORS(X)                                                       \
    X(NOMEM, "out of memory", ENOMEM, 1)                                   \
    X(LOCKED_MEMORY, "memory for keys could not be locked", ENOMEM, 1)     \
    X(SYSTEM, "the operating system refused", EIO, 1)                      \
    X(DISK_FULL, "no space left", ENOSPC, 1)                               \
    X(NOT_FOUND, "not found", ENOENT, 1)                                   \
    X(EXISTS, "exists already", EEXIST, 1)                                 \
    X(DENIED, "permission denied", EACCES, 1)                              \
    X(BUSY, "in use by another process", EBUSY, 1)                         \
    X(LIMIT, "over the permitted size or number", EOVERFLOW, 1)            \
    X(INPUT, "the input cannot be used", EINVAL, 1)                        \
    X(PASSPHRASE, "the passphrase does not open this key", EACCES, 1)      \
    X(UNSUPPORTED, "not possible here", ENOTSUP, 1)                        \
    X(USAGE, "wrong usage", EINVAL, 2)                                     \
    X(FORMAT, "not a well-formed file of its kind", EIO, 3)                \
    X(VERSION, "of an unknown type or version", EIO, 3)                    \
    X(DAMAGED, "damaged", EIO, 3)                                          \
    X(FORGED, "not what was signed", EIO, 3)                               \
    X(EXPIRED, "the grant has ended", EKEYEXPIRED, 4)                      \
    X(NOT_YET, "the grant has not started", ENOKEY, 4)                     \
    X(REVOKED, "the grant was revoked", EKEYREVOKED, 4)                    \
    X(BUDGET, "the budget is used up", EDQUOT, 4)                          \
    X(UNSIGNED, "signatures are missing", ENOKEY, 4)                       \
    X(CLASS_REFUSED, "a field that never goes to a supplier", EACCES, 4)   \
    X(PROTECTED, "a protected record", EACCES, 4)                          \
    X(STALE, "older than what is in force", ENOKEY, 4)                     \
    X(NO_SHARE, "no share from the key desk", ENOKEY, 1)                   \
    X(CLOCK, "the clock of this computer was moved back", EKEYREJECTED, 4) \
    X(REFUSED, "refused", EACCES, 4)                                       \
    X(PARTIAL, "done in part", EIO, 5)

enum vf_err {
    VF_OK = 0,
#define VF_ERR_ENUM_(code, text, eno, status) VF_E_##code,
    VF_ERRORS(VF_ERR_ENUM_)
#undef VF_ERR_ENUM_
        VF_ERR_COUNT_
};

/*
 * Why something failed, owned by the caller. `text` is one line without a newline: which file or record ref, what, and what to
 * do. It never holds a secret nor a field value. Functions accept NULL where no reason is wanted. A success leaves it as it was.
 */
struct vf_why {
    enum vf_err err;
    int sys_errno; /* errno of the failing system call, or 0 */
    char text[480];
};

/* The table's plain sentence, FUSE errno and exit status of `err` (VF_OK: "done", 0, 0). Never NULL. */
VF_PUBLIC const char *vf_err_text(enum vf_err err);
VF_PUBLIC int vf_err_errno(enum vf_err err);
VF_PUBLIC int vf_err_exit(enum vf_err err);

/* Fill `why` (may be NULL) and return `err`, so that a caller can write: return vf_fail(why, VF_E_FORMAT, "%s: ...", path); */
VF_PUBLIC enum vf_err vf_fail(struct vf_why *why, enum vf_err err, const char *fmt, ...) VF_PRINTF(3, 4);
/* The same from errno, which is mapped to a code (ENOSPC, EDQUOT: DISK_FULL; ENOENT: NOT_FOUND; …); appends ": strerror". */
VF_PUBLIC enum vf_err vf_fail_sys(struct vf_why *why, const char *fmt, ...) VF_PRINTF(2, 3);
/*
 * Put "prefix: " before the text that is there already (cut at the end if it does not fit). Returns `err`, which becomes
 * why->err. VF_OK passes through and leaves `why` as it was, so the call can wrap another: vf_fail_prefix(why, f(why), "...").
 */
VF_PUBLIC enum vf_err vf_fail_prefix(struct vf_why *why, enum vf_err err, const char *fmt, ...) VF_PRINTF(3, 4);

/* clang's analyser cannot see into another file: tell it that a failure is never VF_OK. */
#if defined(__clang_analyzer__) && !defined(VF_BASE_ERROR_C)
#define vf_fail(why, err, ...)                     \
    (__extension__({                               \
        enum vf_err vf_fail_ = (err);              \
        (void)vf_fail(why, vf_fail_, __VA_ARGS__); \
        vf_fail_;                                  \
    }))
#define vf_fail_sys(why, ...)                \
    (__extension__({                         \
        (void)vf_fail_sys(why, __VA_ARGS__); \
        VF_E_SYSTEM;                         \
    }))
#define vf_fail_prefix(why, err, ...)                       \
    (__extension__({                                        \
        enum vf_err vf_prefix_ = (err);                     \
        (void)vf_fail_prefix(why, vf_prefix_, __VA_ARGS__); \
        vf_prefix_;                                         \
    }))
#endif

/* Leave the function at the first error. For functions that own nothing or own it through cleanup attributes. */
#define VF_TRY(expr)                      \
    do {                                  \
        enum vf_err vf_try_err_ = (expr); \
        if (vf_try_err_ != VF_OK)         \
            return vf_try_err_;           \
    } while (0)

/* ------------------------------------------------------------------------------------------------------------------- bytes */

/* Bytes that belong to somebody else; how long they live is said where one is handed out. */
struct vf_slice {
    const uint8_t *data;
    size_t len;
};

/*
 * Reader over bytes from outside. Errors are sticky: after the first short read every getter returns zeroes and `bad` stays
 * set, so a parser reads all it wants and asks once. Integers are big-endian. Views point into the input.
 */
struct vf_reader {
    const uint8_t *next;
    size_t left;
    bool bad;
};

VF_PUBLIC struct vf_reader vf_reader_of(const void *data, size_t len);
VF_PUBLIC uint8_t vf_reader_u8(struct vf_reader *r);
VF_PUBLIC uint16_t vf_reader_u16(struct vf_reader *r);
VF_PUBLIC uint32_t vf_reader_u32(struct vf_reader *r);
VF_PUBLIC uint64_t vf_reader_u64(struct vf_reader *r);
/* Copy exactly `len` bytes to `out` (zeroes when there are not that many). */
VF_PUBLIC void vf_reader_copy(struct vf_reader *r, void *out, size_t len);
/* Borrow `len` bytes; NULL when there are not that many (or len is 0 and nothing is left: a non-NULL empty view is returned). */
VF_PUBLIC const uint8_t *vf_reader_view(struct vf_reader *r, size_t len);
/* Borrow a string of u16 length; at most `max` bytes, else bad. *ret_len gets the length. */
VF_PUBLIC const uint8_t *vf_reader_str16(struct vf_reader *r, size_t max, size_t *ret_len);
/* True when everything was read, nothing is left over and nothing was short. */
VF_PUBLIC VF_MUST_USE bool vf_reader_done(const struct vf_reader *r);

/*
 * Growing buffer with a hard maximum, also the writer of artefacts. Errors are sticky (`bad`: over `max`, or no memory): put
 * what you want, ask once with vf_buf_ok. Memory is wiped before it is freed or moved, so it may carry what must not linger
 * (keys belong into the arena of crypto.h all the same). vf_buf_done is idempotent; a zeroed struct is an empty buffer of max 0.
 */
struct vf_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
    bool bad;
    bool nomem; /* bad for want of memory, not for size */
};

VF_PUBLIC void vf_buf_init(struct vf_buf *b, size_t max);
VF_PUBLIC void vf_buf_done(struct vf_buf *b);  /* wipes and frees; the struct is empty again */
VF_PUBLIC void vf_buf_reset(struct vf_buf *b); /* wipes the content, keeps the memory, clears bad */
VF_PUBLIC VF_MUST_USE bool vf_buf_ok(const struct vf_buf *b);
/* VF_OK, or VF_E_NOMEM / VF_E_LIMIT with `what` named in the reason. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_buf_check(const struct vf_buf *b, const char *what, struct vf_why *why);
VF_PUBLIC bool vf_buf_reserve(struct vf_buf *b, size_t more); /* room for `more` further bytes */
/* Append `len` zero bytes and return where they start; NULL (and bad) when there is no room. */
VF_PUBLIC uint8_t *vf_buf_grow(struct vf_buf *b, size_t len);
VF_PUBLIC void vf_buf_put(struct vf_buf *b, const void *data, size_t len);
VF_PUBLIC void vf_buf_u8(struct vf_buf *b, uint8_t v);
VF_PUBLIC void vf_buf_u16(struct vf_buf *b, uint16_t v);
VF_PUBLIC void vf_buf_u32(struct vf_buf *b, uint32_t v);
VF_PUBLIC void vf_buf_u64(struct vf_buf *b, uint64_t v);
VF_PUBLIC void vf_buf_str16(struct vf_buf *b, const void *data, size_t len); /* u16 length, then the bytes */
VF_PUBLIC void vf_buf_text(struct vf_buf *b, const char *text);              /* without its NUL */
VF_PUBLIC void vf_buf_fmt(struct vf_buf *b, const char *fmt, ...) VF_PRINTF(2, 3);
/* A number in decimal digits, without a NUL; returns how many. The same at the end of a buffer. */
#define VF_DECIMAL_MAX 20
VF_PUBLIC size_t vf_decimal(uint64_t v, char out[VF_DECIMAL_MAX]);
VF_PUBLIC void vf_buf_decimal(struct vf_buf *b, uint64_t v);
/* Append `text` as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
VF_PUBLIC void vf_buf_json(struct vf_buf *b, const char *text, size_t len);
/* A NUL after the content (not counted in len), so that data can be used as a C string. NULL when bad. */
VF_PUBLIC const char *vf_buf_cstr(struct vf_buf *b);

#define VF_BUF VF_CLEANUP(vf_buf_done) struct vf_buf

VF_PUBLIC void vf_put_be16(uint8_t out[2], uint16_t v);
VF_PUBLIC void vf_put_be32(uint8_t out[4], uint32_t v);
VF_PUBLIC void vf_put_be64(uint8_t out[8], uint64_t v);
VF_PUBLIC uint16_t vf_get_be16(const uint8_t in[2]);
VF_PUBLIC uint32_t vf_get_be32(const uint8_t in[4]);
VF_PUBLIC uint64_t vf_get_be64(const uint8_t in[8]);

/* -------------------------------------------------------------------------------------------------------------------- text */

#define VF_NAME_MAX     63 /* [a-z0-9][a-z0-9.-]{0,62}: identities, devices */
#define VF_JOB_MAX      32 /* [a-z0-9][a-z0-9-]{0,31} */
#define VF_REF_LEN      8  /* characters of A-Z2-7 */
#define VF_GRANT_ID_LEN 16 /* characters of A-Z2-7 */
#define VF_TIME_LEN     20 /* 2026-11-21T17:00:00Z */
#define VF_TIME_US_LEN  27 /* 2026-11-21T17:00:00.000000Z */

/* A record's opaque reference, 40 random bits, as its 8 base32 characters without NUL. Compares with memcmp. */
struct vf_ref {
    char c[VF_REF_LEN];
};
/* A grant's id, 80 random bits, as its 16 base32 characters without NUL. */
struct vf_grant_id {
    char c[VF_GRANT_ID_LEN];
};

VF_PUBLIC VF_MUST_USE bool vf_name_valid(const char *s, size_t len);
VF_PUBLIC VF_MUST_USE bool vf_job_valid(const char *s, size_t len);
VF_PUBLIC VF_MUST_USE bool vf_ref_parse(const char *s, size_t len, struct vf_ref *ret);
VF_PUBLIC VF_MUST_USE bool vf_grant_id_parse(const char *s, size_t len, struct vf_grant_id *ret);
/* n*5 bits from bytes: 5 bytes give a ref, 10 a grant id (RFC 4648 base32 alphabet). */
VF_PUBLIC void vf_ref_from_bytes(const uint8_t bytes[5], struct vf_ref *ret);
VF_PUBLIC void vf_grant_id_from_bytes(const uint8_t bytes[10], struct vf_grant_id *ret);
VF_PUBLIC int vf_ref_cmp(const struct vf_ref *a, const struct vf_ref *b);

/* Lower-case hex of `len` bytes into `out` (2*len+1 bytes), and back (exactly 2*ret_len digits, lower case only). */
VF_PUBLIC void vf_hex(const uint8_t *in, size_t len, char *out);
VF_PUBLIC VF_MUST_USE bool vf_unhex(const char *in, size_t len, uint8_t *ret, size_t ret_len);

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
VF_PUBLIC VF_MUST_USE bool vf_utf8_valid(const char *s, size_t len);
/* Valid UTF-8 without control characters (C0, C1, DEL), line/paragraph separators, bidirectional controls or characters that show
 * nothing (zero width, soft hyphen, byte order mark, tags, joiners …): safe to show in a note, a terminal or a file a person reads, and two
 * that differ look different, unless letters look alike. Not for officers' names: some scripts need joiners. */
VF_PUBLIC VF_MUST_USE bool vf_text_printable(const char *s, size_t len);
/* Make it so, in place: each character that is not becomes '?', and what is cut in two at the end goes. For names that other people gave. */
VF_PUBLIC void vf_text_one_line(char *text);

/* Times are microseconds since 1970-01-01T00:00:00Z, UTC, in int64_t; years 1970 to 9999. */
#define VF_SECOND_US INT64_C(1000000)
#define VF_DAY_US    (INT64_C(86400) * VF_SECOND_US)

/* "2026-11-21T17:00:00Z" only (RFC 3339, UTC, whole seconds, a real date, no leap second). */
VF_PUBLIC VF_MUST_USE bool vf_time_parse(const char *s, size_t len, int64_t *ret_us);
/* What a person types: the above, "now", or "+" with a number and s m h d w, counted from `now_us`. */
VF_PUBLIC VF_MUST_USE bool vf_time_parse_arg(const char *s, int64_t now_us, int64_t *ret_us);
/* A number with s m h d w ("31d") in microseconds. */
VF_PUBLIC VF_MUST_USE bool vf_duration_parse(const char *s, int64_t *ret_us);
/* Times out of range are written as the nearest in range. */
VF_PUBLIC void vf_time_format(int64_t us, char out[VF_TIME_LEN + 1]);       /* whole seconds, cut */
VF_PUBLIC void vf_time_format_us(int64_t us, char out[VF_TIME_US_LEN + 1]); /* with six decimals */
VF_PUBLIC VF_MUST_USE bool vf_time_parse_us(const char *s, size_t len, int64_t *ret_us);
/* For people: "28 Nov 2026 at 17:00 UTC". */
VF_PUBLIC void vf_time_format_person(int64_t us, char *out, size_t size);
/* Decimal without sign, spaces or leading zeros, at most `max`. */
VF_PUBLIC VF_MUST_USE bool vf_uint_parse(const char *s, size_t len, uint64_t max, uint64_t *ret);

/* ------------------------------------------------------------------------------------------------------------------- files */

/*
 * First in every main: descriptors 0 to 2 that are closed become /dev/null. Otherwise a database would be opened as standard error, and a
 * message written into it. False: /dev/null cannot be opened.
 */
VF_PUBLIC VF_MUST_USE bool vf_fds_standard(void);
VF_PUBLIC void vf_fd_close(int *fd); /* for VF_CLEANUP; closes if >= 0 and sets -1; errno is kept */
VF_PUBLIC void vf_free(void *pp);    /* for VF_CLEANUP on any pointer: free(*(void **)pp), then NULL */
VF_PUBLIC void vf_stream_close(FILE **f);
#define VF_FD   VF_CLEANUP(vf_fd_close) int
#define VF_FREE VF_CLEANUP(vf_free)

/* Read or write all of it, going on after EINTR and short transfers. A short file is VF_E_FORMAT. `what` names the file. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_fd_read(int fd, void *out, size_t len, const char *what, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_fd_pread(int fd, void *out, size_t len, uint64_t at, const char *what,
                                              struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_fd_write(int fd, const void *data, size_t len, const char *what, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_fd_pwrite(int fd, const void *data, size_t len, uint64_t at, const char *what,
                                               struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_fd_sync(int fd, const char *what, struct vf_why *why); /* fdatasync */

/* Whole regular file (not a device, not a FIFO) into `ret`, at most `max` bytes (VF_E_LIMIT above). `ret` is initialised here. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_file_read(const char *path, size_t max, struct vf_buf *ret, struct vf_why *why);
/* Open a regular file for reading: O_CLOEXEC, never blocks on a FIFO, refuses anything but a regular file. *ret_size may be NULL. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_file_open(const char *path, int *ret_fd, uint64_t *ret_size, struct vf_why *why);

/*
 * A file that appears whole or not at all: vf_newfile_open makes "PATH.tmp-AB12CD34" beside it, the caller writes to fd,
 * vf_newfile_commit does fsync, rename (refusing an existing PATH with VF_E_EXISTS unless `force`) and fsync of the folder.
 * vf_newfile_done removes what was not committed; idempotent. With `force` too, only a file or link is replaced, never a device
 * or folder (VF_E_INPUT). An existing PATH is refused at open already. `mode` is cut by the umask, as everywhere. If only the folder
 * cannot be made durable, commit fails although PATH is in place, whole.
 */
struct vf_newfile {
    int fd;
    bool force;
    char *path;
    char *tmp;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_newfile_open(struct vf_newfile *f, const char *path, mode_t mode, bool force,
                                                  struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_newfile_commit(struct vf_newfile *f, struct vf_why *why);
VF_PUBLIC void vf_newfile_done(struct vf_newfile *f);
#define VF_NEWFILE VF_CLEANUP(vf_newfile_done) struct vf_newfile
/* All of the above in one call. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_file_write(const char *path, const void *data, size_t len, mode_t mode, bool force,
                                                struct vf_why *why);

/* mkdir 0700 and fsync of the parent; VF_E_EXISTS when there is anything at `path`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_dir_make(const char *path, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_dir_sync(const char *path, struct vf_why *why);
/* Remove a folder with all that is in it, never following a link; as far as it goes. */
VF_PUBLIC void vf_dir_remove(const char *path);
/*
 * The same as vf_newfile for a whole folder: made 0700 as "PATH.tmp-AB12CD34" (`tmp`, to be filled by the caller), then renamed; done removes
 * what was not committed, and is idempotent. VF_E_EXISTS when there is anything at PATH; with `empty_ok` an empty folder may be there.
 */
struct vf_newdir {
    char *path;
    char *tmp; /* NULL once it has its name */
    bool empty_ok;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_newdir_open(struct vf_newdir *d, const char *path, bool empty_ok, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_newdir_commit(struct vf_newdir *d, struct vf_why *why);
VF_PUBLIC void vf_newdir_done(struct vf_newdir *d);
#define VF_NEWDIR VF_CLEANUP(vf_newdir_done) struct vf_newdir
/* Refuse network filesystems (NFS, SMB, 9p, Ceph, FUSE-over-network …) with VF_E_UNSUPPORTED: locks and mmap do not hold there. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_dir_local(const char *path, struct vf_why *why);
/* "dir/name" in fresh memory (free with vf_free); NULL when there is none. */
VF_PUBLIC char *vf_path_join(const char *dir, const char *name);
/* The folder that holds `path` ("." when it names none), in fresh memory; NULL when there is none. Trailing slashes do not count. */
VF_PUBLIC char *vf_path_parent(const char *path);

/* How many processors this process may run on: 1 to 1,024. */
VF_PUBLIC unsigned vf_processors(void);

/* ------------------------------------------------------------------------------------------------------------------ clocks */

#define VF_BOOT_ID_LEN 16

/*
 * The one seam through which time enters. Test programs link another clock.o in its place, and nothing else differs.
 * wall: CLOCK_REALTIME; boot: CLOCK_BOOTTIME (goes on while suspended); boot_id: random per boot, from the kernel.
 */
VF_PUBLIC int64_t vf_clock_wall_us(void);
VF_PUBLIC int64_t vf_clock_boot_us(void);
VF_PUBLIC void vf_clock_boot_id(uint8_t ret[VF_BOOT_ID_LEN]);

#endif
