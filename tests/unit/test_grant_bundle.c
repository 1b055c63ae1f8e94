/* SPDX-License-Identifier: MIT */
#include "grant_fake.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)
#define HEAD     28u
#define ITEM     17u

static struct fake_world w;
static struct fake_grant fg;

static int setup(void **state)
{
    (void)state;
    fake_world_make(&w, 1);
    fake_grant_make(&w, VF_FIELD_BIT(VF_FIELD_RANK) | VF_FIELD_BIT(VF_FIELD_SIGNATURE), 3, &fg);
    const struct vf_identity *const alice[] = {w.alice};
    fake_grant_sign(&w, &fg, alice, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_grant_done(&fg);
    fake_world_done(&w);
    return 0;
}

static int file_of(const void *data, size_t len)
{
    int fd = memfd_create("bundle", MFD_CLOEXEC);

    assert_true(fd >= 0);
    OK(vf_fd_write(fd, data, len, "bundle", NULL));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* All of it, by value; the first error. */
static enum vf_err read_all(int fd, unsigned *ret_values, struct vf_why *why)
{
    struct vf_bundle_reader *r = NULL;
    struct vf_bundle_value v;
    const uint8_t *data;
    enum vf_err err = vf_bundle_open(fd, "x.bundle", &r, why);
    unsigned n = 0;

    if (err != VF_OK)
        return err;
    while ((err = vf_bundle_next(r, &v, &data, why)) == VF_OK)
        n++;
    if (err == VF_E_NOT_FOUND && n == vf_bundle_count(r))
        err = vf_bundle_next(r, &v, &data, why) == VF_E_NOT_FOUND ? VF_OK : VF_E_SYSTEM; /* and so it stays */
    vf_bundle_close(r);
    if (ret_values != NULL)
        *ret_values = n;
    return err;
}

static enum vf_err read_bytes(const void *data, size_t len, struct vf_why *why)
{
    VF_FD fd = file_of(data, len);

    return read_all(fd, NULL, why);
}

static enum vf_err verify_bytes(const void *data, size_t len)
{
    VF_FD fd = file_of(data, len);
    struct vf_grant_file f;
    uint64_t n = 0;

    OK(vf_grant_file_parse(fg.file.data, fg.file.len, "x.grant", &f, NULL));
    enum vf_err err = vf_bundle_verify(&f, fd, "x.bundle", &n, NULL);
    if (err == VF_OK)
        assert_int_equal(n, vf_get_be32((const uint8_t *)data + 24));
    return err;
}

static void reads(void **state)
{
    unsigned values = 0;
    VF_FD fd = file_of(fg.bundle.data, fg.bundle.len);
    struct vf_bundle_reader *r = NULL;

    (void)state;
    OK(read_all(fd, &values, NULL));
    assert_int_equal(values, 3 + 2);
    OK(verify_bytes(fg.bundle.data, fg.bundle.len));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    OK(vf_bundle_open(fd, "x", &r, NULL));
    assert_int_equal(vf_bundle_count(r), 5);
    assert_int_equal(vf_bundle_bytes(r), fg.bundle.len - HEAD - 5 * ITEM);
    assert_memory_equal(vf_bundle_vault(r), &w.vault, sizeof(w.vault));
    vf_bundle_cleanup(&r);
    assert_null(r);
    vf_bundle_cleanup(&r);
}

/* Nothing to send is a bundle too: a renewal's. */
static void reads_none(void **state)
{
    uint8_t head[HEAD] = "VFBUNDL1";

    (void)state;
    memcpy(head + 8, w.vault.b, VF_VAULT_ID_LEN);
    OK(read_bytes(head, sizeof(head), NULL));
    OK(verify_bytes(head, sizeof(head)));
    assert_int_equal(read_bytes("VFBUNDL1", 8, NULL), VF_E_FORMAT);
    assert_int_equal(read_bytes("", 0, NULL), VF_E_FORMAT);
}

/* What the reader itself takes, the manifest does not. */
static void every_byte(void **state)
{
    VF_FREE uint8_t *copy = malloc(fg.bundle.len + 1);

    (void)state;
    for (size_t i = 0; i < fg.bundle.len; i += i < 400 ? test_step(9) : 61) {
        for (unsigned bit = 0; bit < 8; bit += 7) {
            memcpy(copy, fg.bundle.data, fg.bundle.len);
            copy[i] ^= (uint8_t)(1u << bit);
            if (verify_bytes(copy, fg.bundle.len) == VF_OK)
                fail_msg("byte %zu, bit %u was taken", i, bit);
        }
    }
    for (size_t len = 0; len < fg.bundle.len; len += len < 400 ? test_step(9) : 61)
        assert_int_equal(read_bytes(fg.bundle.data, len, NULL), VF_E_FORMAT);
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    copy[fg.bundle.len] = 0;
    assert_int_equal(read_bytes(copy, fg.bundle.len + 1, NULL), VF_E_FORMAT);
}

static void refuses(void **state)
{
    VF_FREE uint8_t *copy = malloc(fg.bundle.len);
    struct vf_why why = {0};

    (void)state;
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    copy[7] = '2';
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_VERSION);
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    vf_put_be32(copy + 24, UINT32_MAX);
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_LIMIT);
    vf_put_be32(copy + 24, 29000000); /* as many as there may be, and not there: no memory is asked for them */
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    vf_put_be32(copy + 24, 4);
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    /* The index: order, doubles, fields, generations, lengths. */
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    memcpy(copy + HEAD, fg.bundle.data + HEAD + ITEM, ITEM);
    memcpy(copy + HEAD + ITEM, fg.bundle.data + HEAD, ITEM);
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    assert_non_null(strstr(why.text, "out of order"));
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    memcpy(copy + HEAD + ITEM, copy + HEAD, ITEM);
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    copy[HEAD + 8] = 0;
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    copy[HEAD + 8] = 200;
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    vf_put_be32(copy + HEAD + 9, 0);
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    copy[HEAD] = 'a';
    assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    static const uint32_t lengths[] = {0, 1, 43, 44, 45, 8192 + 43, 1024 * 1024 + 45, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memcpy(copy, fg.bundle.data, fg.bundle.len);
        vf_put_be32(copy + HEAD + 13, lengths[i]);
        assert_int_equal(read_bytes(copy, fg.bundle.len, &why), VF_E_FORMAT);
    }
}

/* A field that never goes to a supplier, well-formed and in its place. */
static void refuses_class_c(void **state)
{
    VF_BUF b = {0};
    struct vf_why why = {0};
    uint32_t len = (uint32_t)vf_field_padded(VF_FIELD_VETTING, 0) + VF_VALUE_OVERHEAD;

    (void)state;
    vf_buf_init(&b, 65536);
    vf_buf_put(&b, "VFBUNDL1", 8);
    vf_buf_put(&b, w.vault.b, VF_VAULT_ID_LEN);
    vf_buf_u32(&b, 1);
    vf_buf_put(&b, "ABCDEFGH", 8);
    vf_buf_u8(&b, VF_FIELD_VETTING);
    vf_buf_u32(&b, 1);
    vf_buf_u32(&b, len);
    (void)vf_buf_grow(&b, len);
    assert_int_equal(read_bytes(b.data, b.len, &why), VF_E_CLASS_REFUSED);
    assert_non_null(strstr(why.text, "vetting"));
    b.data[HEAD + 8] = VF_FIELD_CARD_SERIAL; /* the length is another field's */
    assert_int_equal(read_bytes(b.data, b.len, &why), VF_E_FORMAT);
}

/* A value of another record, field or generation, or one more: named by nobody. */
static void verifies(void **state)
{
    struct fake_grant other;

    (void)state;
    fake_grant_make(&w, fg.g.fields, 4, &other); /* same refs, other keys, one record more */
    assert_int_equal(verify_bytes(other.bundle.data, other.bundle.len), VF_E_FORGED);
    fake_grant_done(&other);
    fake_grant_make(&w, fg.g.fields | VF_FIELD_BIT(VF_FIELD_PHOTO), 3, &other);
    assert_int_equal(verify_bytes(other.bundle.data, other.bundle.len), VF_E_FORGED);
    fake_grant_done(&other);
    VF_FREE uint8_t *copy = malloc(fg.bundle.len);
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    copy[8] ^= 1;
    assert_int_equal(verify_bytes(copy, fg.bundle.len), VF_E_FORGED);
    memcpy(copy, fg.bundle.data, fg.bundle.len);
    vf_put_be32(copy + HEAD + 9, vf_get_be32(copy + HEAD + 9) + 1);
    assert_int_equal(verify_bytes(copy, fg.bundle.len), VF_E_FORGED);
}

struct feed {
    int fd;
    const uint8_t *data;
    size_t len;
};

/* In pieces of awkward sizes. */
static void *feed_pipe(void *user)
{
    const struct feed *f = user;
    size_t at = 0;

    for (size_t step = 1; at < f->len; step = step * 7 % 10007 + 1) {
        size_t n = f->len - at < step ? f->len - at : step;
        ssize_t put = write(f->fd, f->data + at, n);
        if (put <= 0)
            break;
        at += (size_t)put;
    }
    (void)close(f->fd);
    return NULL;
}

static enum vf_err read_pipe(const uint8_t *data, size_t len, unsigned *ret_values)
{
    int ends[2];
    pthread_t thread;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct feed f = {.fd = ends[1], .data = data, .len = len};
    assert_int_equal(pthread_create(&thread, NULL, feed_pipe, &f), 0);
    enum vf_err err = read_all(ends[0], ret_values, NULL);
    (void)close(ends[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return err;
}

/* Standard input has no size to look at beforehand. */
static void from_a_pipe(void **state)
{
    unsigned values = 0;
    VF_FREE uint8_t *more = malloc(fg.bundle.len + 1);

    (void)state;
    OK(read_pipe(fg.bundle.data, fg.bundle.len, &values));
    assert_int_equal(values, 5);
    assert_int_equal(read_pipe(fg.bundle.data, fg.bundle.len - 1, NULL), VF_E_FORMAT);
    memcpy(more, fg.bundle.data, fg.bundle.len);
    more[fg.bundle.len] = 0;
    assert_int_equal(read_pipe(more, fg.bundle.len + 1, NULL), VF_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),       cmocka_unit_test(reads_none),      cmocka_unit_test(every_byte),
        cmocka_unit_test(refuses),     cmocka_unit_test(refuses_class_c), cmocka_unit_test(verifies),
        cmocka_unit_test(from_a_pipe),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, setup, teardown);
}
