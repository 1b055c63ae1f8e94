/* SPDX-License-Identifier: MIT */
/* The sandbox: what goes through it is what comes out without one; and what a decoder that was taken over can do there. */
#include "../../vaultfs/record/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "children.h"
#include "cmocka_std.h"
#include "record_images.h"

static const struct vf_image_options plain = {.decode = true};
static const struct vf_image_options fit = {.decode = true, .fit = true};

static struct blob photo(unsigned w, unsigned h, unsigned orientation)
{
    struct pixels p = px_paint(w, h, 3, 20);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){.hs = 2, .vs = 2});

    px_free(&p);
    if (orientation > 0)
        jpeg_add_exif(&b, &(struct exif_how){.orientation = orientation, .gps = true, .thumbnail = true});
    return b;
}

/* ----------------------------------------------------------------------------------------------- the same as without a sandbox */

static void same(struct vf_image_sandbox *s, enum vf_field field, const struct blob *b, const struct vf_image_options *opt,
                 enum vf_err expected)
{
    struct vf_image_report with = {.width = 77};
    struct vf_image_report without = {.width = 77};
    struct vf_why why_with = {0};
    struct vf_why why_without = {0};
    VF_BUF out_with;
    VF_BUF out_without;

    vf_buf_init(&out_with, VF_IMAGE_OUT_MAX);
    vf_buf_init(&out_without, VF_IMAGE_OUT_MAX);
    vf_buf_text(&out_with, "what was there before");
    assert_int_equal(vf_image_clean(NULL, field, b->d, b->n, opt, &out_without, &without, &why_without), expected);
    assert_int_equal(vf_image_clean(s, field, b->d, b->n, opt, &out_with, &with, &why_with), expected);
    assert_string_equal(why_with.text, why_without.text);
    assert_int_equal(out_with.len, out_without.len);
    if (out_with.len > 0)
        assert_memory_equal(out_with.data, out_without.data, out_with.len);
#define SAME(m) assert_int_equal(with.m, without.m)
    SAME(width), SAME(height), SAME(orientation), SAME(had_exif), SAME(had_gps), SAME(had_thumbnail), SAME(had_xmp);
    SAME(had_iptc), SAME(had_comment), SAME(had_mpf), SAME(had_trailing), SAME(had_icc), SAME(reencoded), SAME(scaled);
#undef SAME
}

static void test_same(void **state)
{
    struct vf_image_sandbox *s = NULL;
    struct vf_why why = {0};

    (void)state;
    assert_int_equal(vf_image_sandbox_start(2, &s, &why), VF_OK);
    for (unsigned orientation = 0; orientation <= 8; orientation++) {
        struct blob b = photo(orientation % 2 ? 400 : 416, 512, orientation);
        same(s, VF_FIELD_PHOTO, &b, &plain, VF_OK);
        jpeg_add_everything(&b);
        same(s, VF_FIELD_PHOTO, &b, &plain, VF_OK);
        b.n /= 2;
        same(s, VF_FIELD_PHOTO, &b, &plain, VF_E_INPUT);
        b.n = orientation;
        same(s, VF_FIELD_PHOTO, &b, &plain, VF_E_INPUT);
        blob_free(&b);
    }
    struct blob large = photo(2000, 2400, 6);
    same(s, VF_FIELD_PHOTO, &large, &plain, VF_E_INPUT);
    same(s, VF_FIELD_PHOTO, &large, &fit, VF_OK);
    same(s, VF_FIELD_SIGNATURE, &large, &plain, VF_E_INPUT);
    blob_free(&large);
    struct blob png = png_make(&(struct png_how){.w = 300, .h = 100, .colour = 2, .depth = 8, .dressed = true});
    same(s, VF_FIELD_SIGNATURE, &png, &plain, VF_OK);
    same(s, VF_FIELD_PHOTO, &png, &plain, VF_E_INPUT);
    png.d[png.n - 20] ^= 1;
    same(s, VF_FIELD_SIGNATURE, &png, &plain, VF_E_INPUT);
    blob_free(&png);
    struct blob over = {.d = calloc(1, VF_IMAGE_SOURCE_MAX + 1), .n = VF_IMAGE_SOURCE_MAX + 1};
    same(s, VF_FIELD_SIGNATURE, &over, &plain, VF_E_INPUT);
    over.n--;
    same(s, VF_FIELD_SIGNATURE, &over, &plain, VF_E_INPUT);
    blob_free(&over);
    vf_image_sandbox_end(&s);
    assert_null(s);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    vf_image_sandbox_end(&s);
}

struct user {
    pthread_t thread;
    struct vf_image_sandbox *s;
    struct blob good;
    const struct vf_buf *expected;
    unsigned seed;
    unsigned wrong;
};

static void *use(void *arg)
{
    struct user *u = arg;
    VF_BUF out;

    vf_buf_init(&out, VF_IMAGE_OUT_MAX);
    for (unsigned i = 0; i < 12; i++) {
        struct vf_image_report r;
        bool bad = (i + u->seed) % 3 == 0;
        enum vf_err err =
            vf_image_clean(u->s, VF_FIELD_PHOTO, u->good.d, bad ? u->good.n / 2 : u->good.n, &plain, &out, &r, NULL);
        if (bad)
            u->wrong += err != VF_E_INPUT;
        else
            u->wrong += err != VF_OK || out.len != u->expected->len || memcmp(out.data, u->expected->data, out.len) != 0;
    }
    return NULL;
}

/* More threads than lanes, each with a picture of its own. */
static void test_threads(void **state)
{
    struct user users[6] = {0};
    struct vf_buf expected[6];
    struct vf_image_report r;
    VF_IMAGE_SANDBOX s = NULL;

    (void)state;
    assert_int_equal(vf_image_sandbox_start(2, &s, NULL), VF_OK);
    for (unsigned i = 0; i < 6; i++) {
        users[i] = (struct user){.s = s, .good = photo(320 + 16 * i, 400, 1 + i), .expected = &expected[i], .seed = i};
        vf_buf_init(&expected[i], VF_IMAGE_OUT_MAX);
        assert_int_equal(vf_photo_clean(users[i].good.d, users[i].good.n, &plain, &expected[i], &r, NULL), VF_OK);
    }
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(users[i].thread, NULL), 0);
        assert_int_equal(users[i].wrong, 0);
        blob_free(&users[i].good);
        vf_buf_done(&expected[i]);
    }
}

/* --------------------------------------------------------------------------------------------------- a decoder that was taken over */

/* What the first bytes of a "picture" make it do. */
enum deed {
    CRASH,
    ABORT,
    SILENT,
    EXIT,
    LOOP,
    ESCAPE,
    REMEMBER,
    SPEAK,
    ODD_ERROR,
    TOO_LONG,
    LONGEST,
    DRESSED,
    OTHER_SIZE,
    TOO_SMALL,
    OTHER_KIND,
    NOTHING,
    LEAVE,
    FIND,
    HOARD,
    ENVIRONMENT,
    GOOD
};

static pid_t owner;

static void attempt(struct vf_tray *t, const char *what, bool possible)
{
    size_t have = strnlen(t->answer.text, sizeof(t->answer.text) - 1);

    if (possible)
        (void)snprintf(t->answer.text + have, sizeof(t->answer.text) - have, " %s", what);
}

static void attempt_call(struct vf_tray *t, const char *what, long result)
{
    attempt(t, what, result != -1 || errno != EPERM);
}

/* Everything by which one could get at a file, the network, another process or more rights; said is what was possible. */
static void escape(struct vf_tray *t)
{
    char *argv[] = {NULL};
    char byte = 0;

    memset(t->answer.text, 0, sizeof(t->answer.text));
    attempt(t, "begun", true);
    attempt_call(t, "open", syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0));
    attempt_call(t, "socket", syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    attempt_call(t, "fork", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    attempt_call(t, "exec", syscall(SYS_execve, "/bin/true", argv, argv));
    attempt_call(t, "kill", syscall(SYS_kill, owner, 0));
    attempt_call(t, "ptrace", syscall(SYS_ptrace, PTRACE_ATTACH, owner, 0, 0));
    attempt_call(t, "peek", syscall(SYS_process_vm_readv, owner, NULL, 0, NULL, 0, 0));
    attempt_call(t, "pidfd", syscall(SYS_pidfd_open, owner, 0));
    attempt_call(t, "prctl", syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
    attempt_call(t, "limit", syscall(SYS_setrlimit, RLIMIT_CPU, NULL));
    attempt_call(t, "sleep", syscall(SYS_nanosleep, NULL, NULL));
    attempt_call(t, "shm", syscall(SYS_shmget, 1, 1, 0));
    attempt_call(t, "memfd", syscall(SYS_memfd_create, "x", 0));
    attempt_call(t, "bpf", syscall(SYS_bpf, 0, NULL, 0));
    attempt_call(t, "ring", syscall(SYS_io_uring_setup, 1, NULL));
    attempt_call(t, "sigreturn", syscall(SYS_rt_sigreturn)); /* it sets the mask of signals: no SIGXCPU, no limit of time */
    attempt_call(t, "swap", syscall(SYS_madvise, t, 4096, MADV_PAGEOUT));
    attempt_call(t, "merge", syscall(SYS_madvise, t, 4096, MADV_MERGEABLE));
    attempt_call(t, "code", syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    attempt_call(t, "code", syscall(SYS_mprotect, t, 4096, PROT_READ | PROT_EXEC));
    for (int fd = 0; fd < 64; fd++) {
        attempt_call(t, "write", syscall(SYS_write, fd, &byte, 1));
        attempt_call(t, "read", syscall(SYS_read, fd, &byte, 1));
        attempt_call(t, "send", syscall(SYS_sendto, fd, &byte, 1, 0, NULL, 0));
    }
    t->answer.err = VF_E_INPUT;
}

/* The picture behind the deed, as it came, with what its size is said to be. */
static void hand_back(struct vf_tray *t, uint32_t width, uint32_t height)
{
    t->answer.err = VF_OK;
    t->answer.len = (uint32_t)(t->len - 1);
    t->answer.width = width;
    t->answer.height = height;
    memcpy(t->out, t->in + 1, t->len - 1);
}

/* Where the next picture is not looked for, nor wiped as one. */
static uint8_t *const *hidden(struct vf_tray *t, size_t *n)
{
    static uint8_t *all[7];

    all[0] = (uint8_t *)t->answer.text + sizeof(t->answer.text) - 1;
    all[1] = t->out;
    all[2] = t->out + sizeof(t->out) - 1;
    all[3] = t->in + 5;
    all[4] = t->in + sizeof(t->in) - 1;
    all[5] = all[4] + 1; /* up to the end of the page */
    all[6] = (uint8_t *)&t->decode + sizeof(t->decode);
    *n = 7;
    return all;
}

static void leave_or_find(struct vf_tray *t, bool leave)
{
    size_t n = 0;
    uint8_t *const *at = hidden(t, &n);

    for (size_t i = 0; i < n; i++) {
        if (!leave && *at[i] != 0)
            (void)snprintf(t->answer.text, sizeof(t->answer.text), "found %zu", i);
        if (leave)
            *at[i] = 0x5a;
    }
    if (!leave && t->answer.text[0] == '\0')
        (void)snprintf(t->answer.text, sizeof(t->answer.text), "found none");
}

/* Addresses alone, of memory of both kinds: each page of them could be touched. */
static void hoard(struct vf_tray *t)
{
    const size_t piece = 64u << 20;
    unsigned n = 0;

    for (; n < 4096; n++) {
        int kind = n % 2 == 0 ? MAP_PRIVATE : MAP_SHARED;
        if (mmap(NULL, piece, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            break;
    }
    (void)snprintf(t->answer.text, sizeof(t->answer.text), "%s", n < 8 ? "too little" : n <= 32 ? "enough" : "too much");
}

static void read_environment(struct vf_tray *t)
{
    size_t have = 0;

    for (char **e = environ; *e != NULL; e++)
        have += strlen(*e);
    (void)snprintf(t->answer.text, sizeof(t->answer.text), "%zu bytes of environment", have);
}

static unsigned remembered;

static void misbehave(struct vf_tray *t)
{
    static volatile uint64_t counter;

    switch ((enum deed)t->in[0]) {
    case CRASH:
        (void)syscall(SYS_munmap, t, 4096); /* a fault that no handler can mend */
        t->answer.err = VF_OK;
        break;
    case ABORT:
        abort();
    case EXIT:
        _exit(t->len > 1 ? t->in[1] : 7);
    case LOOP:
        for (;;)
            counter++;
    case ESCAPE:
        escape(t);
        break;
    case REMEMBER:
        (void)snprintf(t->answer.text, sizeof(t->answer.text), "seen %u before", remembered++);
        break;
    case SPEAK:
        memset(t->answer.text, 'x', sizeof(t->answer.text));
        memcpy(t->answer.text, "\033[2Jall \nis well\xff", 17);
        break;
    case ODD_ERROR:
        t->answer.err = 0xffffffffu;
        break;
    case TOO_LONG:
        hand_back(t, 400, 512);
        t->answer.len = VF_IMAGE_OUT_MAX + 1;
        break;
    case LONGEST:
        hand_back(t, 400, 512);
        t->answer.len = UINT32_MAX;
        break;
    case OTHER_SIZE:
        hand_back(t, 401, 512);
        break;
    case TOO_SMALL:
        hand_back(t, 200, 240);
        break;
    case NOTHING:
        t->answer.err = VF_OK;
        break;
    case LEAVE:
    case FIND:
        leave_or_find(t, t->in[0] == LEAVE);
        break;
    case HOARD:
        hoard(t);
        break;
    case ENVIRONMENT:
        read_environment(t);
        break;
    case DRESSED:
    case OTHER_KIND:
    case GOOD:
        hand_back(t, 400, 512);
        t->answer.orientation = 0xffffffffu;
        t->answer.found = 0xffffffffu;
        break;
    case SILENT:
    default:
        break;
    }
}

static enum vf_err provoke(struct vf_image_sandbox *s, enum deed deed, const struct blob *b, struct vf_buf *out,
                           struct vf_image_report *r, struct vf_why *why)
{
    uint8_t one = (uint8_t)deed;
    VF_BUF in;

    vf_buf_init(&in, VF_IMAGE_SOURCE_MAX);
    vf_buf_put(&in, &one, 1);
    if (b != NULL)
        vf_buf_put(&in, b->d, b->n);
    assert_true(vf_buf_ok(&in));
    memset(why, 0, sizeof(*why));
    return vf_image_clean(s, VF_FIELD_PHOTO, in.data, in.len, &plain, out, r, why);
}

static void refused(struct vf_image_sandbox *s, enum deed deed, const struct blob *b, const char *words)
{
    struct vf_image_report r = {.width = 77};
    struct vf_why why;
    VF_BUF out;

    vf_buf_init(&out, VF_IMAGE_OUT_MAX);
    assert_int_equal(provoke(s, deed, b, &out, &r, &why), VF_E_INPUT);
    if (strstr(why.text, words) == NULL)
        fail_msg("%d: \"%s\" is not in \"%s\"", (int)deed, words, why.text);
    assert_int_equal(out.len, 0);
    assert_int_equal(r.width, 77);
}

/* What no picture's fault can be, it cannot say of itself: that would end the import of all. */
static void exits(struct vf_image_sandbox *s)
{
    for (unsigned status = 1; status < 256; status++) {
        uint8_t how = (uint8_t)status;
        refused(s, EXIT, &(struct blob){.d = &how, .n = 1}, "made the decoder crash");
    }
}

/* A picture of a kind that is never stored, whoever says that it was looked at. */
static void kinds(struct vf_image_sandbox *s, const struct blob *good)
{
    static const uint8_t sofs[] = {0xc3, 0xc5, 0xc9, 0xca, 0xcf};
    size_t at = 2;

    while (good->d[at] == 0xff && good->d[at + 1] != 0xc0)
        at += 2 + (size_t)(good->d[at + 2] << 8 | good->d[at + 3]);
    assert_true(at + 10 < good->n && good->d[at] == 0xff);
    for (size_t i = 0; i < sizeof(sofs); i++) {
        good->d[at + 1] = sofs[i];
        refused(s, OTHER_KIND, good, "cannot be separated");
    }
    good->d[at + 1] = 0xc0;
    good->d[at + 4] = 12; /* bits a colour */
    refused(s, OTHER_KIND, good, "cannot be separated");
    good->d[at + 4] = 8;
}

static void test_taken_over(void **state)
{
    static const char *const apart = "cannot be separated";
    struct vf_image_report r;
    struct vf_why why;
    struct vf_image_sandbox *s = NULL;
    struct blob dressed = photo(400, 512, 1);
    struct blob small = photo(200, 240, 0);
    struct blob png = png_make(&(struct png_how){.w = 400, .h = 512, .colour = 2, .depth = 8});
    struct blob bare = photo(400, 512, 0);
    VF_BUF out;

    (void)state;
    owner = getpid();
    vf_buf_init(&out, VF_IMAGE_OUT_MAX);
    assert_int_equal(vf_image_clean(NULL, VF_FIELD_PHOTO, bare.d, bare.n, &plain, &out, &r, NULL), VF_OK);
    struct blob good = {.d = out.data, .n = out.len};
    assert_int_equal(vf_image_sandbox_start_with(1, misbehave, 1, &s, &why), VF_OK);
    for (unsigned i = 0; i < 2; i++) { /* nothing that one did is there for the next */
        refused(s, CRASH, NULL, "made the decoder crash");
        refused(s, ABORT, NULL, "made the decoder crash");
        refused(s, EXIT, NULL, "made the decoder crash");
        refused(s, SILENT, NULL, "no answer");
        refused(s, REMEMBER, NULL, "seen 0 before");
        refused(s, ODD_ERROR, NULL, "no answer");
        refused(s, SPEAK, NULL, "?[2Jall ?is well?xxx");
        refused(s, TOO_LONG, &good, apart);
        refused(s, LONGEST, &good, apart);
        refused(s, DRESSED, &dressed, apart);
        refused(s, OTHER_SIZE, &good, apart);
        refused(s, TOO_SMALL, &small, apart);
        refused(s, OTHER_KIND, &png, apart);
        refused(s, NOTHING, NULL, apart);
        kinds(s, &good);
        refused(s, LEAVE, NULL, "no answer");
        refused(s, FIND, NULL, "found none");
        refused(s, ENVIRONMENT, NULL, "0 bytes of environment");
#ifndef VF_SANITIZED
        refused(s, HOARD, NULL, "enough");
#endif
    }
    exits(s);
    refused(s, LOOP, NULL, "over a minute");
    VF_BUF kept;
    vf_buf_init(&kept, VF_IMAGE_OUT_MAX);
    assert_int_equal(provoke(s, GOOD, &good, &kept, &r, &why), VF_OK);
    assert_int_equal(kept.len, good.n);
    assert_memory_equal(kept.data, good.d, good.n);
    assert_true(r.width == 400 && r.orientation == 0 && r.had_gps && r.scaled);
    vf_image_sandbox_end(&s);
    blob_free(&dressed);
    blob_free(&small);
    blob_free(&png);
    blob_free(&bare);
}

static void test_shut_in(void **state)
{
    struct vf_image_report r = {0};
    struct vf_image_sandbox *s = NULL;
    struct vf_why why;
    char path[64];
    pid_t lane = 0;
    VF_BUF out;

    (void)state;
    owner = getpid();
    int secret = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    assert_true(secret >= 0);
    vf_buf_init(&out, VF_IMAGE_OUT_MAX);
    assert_int_equal(vf_image_sandbox_start_with(1, misbehave, 5, &s, &why), VF_OK);
    assert_int_equal(provoke(s, ESCAPE, NULL, &out, &r, &why), VF_E_INPUT);
    assert_string_equal(why.text, " begun");
    /* The lane's process, which lives as long as the tool, has nothing open but its socket. */
    assert_int_equal(children(&lane, 1), 1);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)lane);
    DIR *d = opendir(path);
    assert_non_null(d);
    unsigned open_files = 0;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        open_files += e->d_name[0] != '.';
    (void)closedir(d);
    assert_int_equal(open_files, 1);
    vf_image_sandbox_end(&s);
    (void)close(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_shut_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
