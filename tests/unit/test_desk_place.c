/* SPDX-License-Identifier: MIT */
/* Where a desk's store may lie: not where what was overwritten stays, unless somebody says that he knows. */
#include "desk_test.h"

#include <sys/vfs.h>
#include <unistd.h>

static uint32_t magic; /* what the filesystem says it is; 0: the truth */

int __real_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs64(int fd, struct statfs *fs);

int __wrap_fstatfs(int fd, struct statfs *fs)
{
    int rc = __real_fstatfs(fd, fs);

    if (rc == 0 && magic != 0)
        fs->f_type = (__typeof__(fs->f_type))magic;
    return rc;
}

int __wrap_fstatfs64(int fd, struct statfs *fs)
{
    return __wrap_fstatfs(fd, fs);
}

/* Of linux/magic.h, and of the filesystems' own headers, typed anew. */
static void copy_on_write(void **state)
{
    static const uint32_t refused[] = {0x9123683E, 0x2FC12FC1, 0xCA451A4E, 0xF2F52010, 0x3434, 0x24051905, 0x72B6};
    static const uint32_t network[] = {0x6969, 0xFF534D42, 0x01021997};
    static const uint32_t fine[] = {0xEF53, 0x58465342, 0x01021994};
    const struct vf_desk_options told = {.prekeys = 2, .cow_ok = true}, plain = {.prekeys = 2};
    struct scratch dir;
    VF_IDENTITY id = NULL;

    (void)state;
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &id, why));
    scratch_make(&dir);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char path[300], name[16];
        struct vf_desk *d = NULL;
        VF_BUF keys = {.max = VF_PREKEYS_FILE_MAX};
        (void)snprintf(name, sizeof(name), "s%zu", i);
        (void)scratch_path(&dir, name, path, sizeof(path));
        magic = refused[i];
        assert_int_equal(vf_desk_create(path, id, &plain, &keys, why), VF_E_UNSUPPORTED);
        assert_true(access(path, F_OK) != 0 && keys.len == 0);
        OK(vf_desk_create(path, id, &told, &keys, why));
        OK(vf_desk_open(path, VF_DESK_SERVE, id, &d, why));
        desk_close(d);
        vf_dir_remove(path);
        /* Made elsewhere, and moved here. */
        magic = 0;
        OK(vf_desk_create(path, id, &plain, &keys, why));
        magic = refused[i];
        assert_int_equal(vf_desk_open(path, VF_DESK_SERVE, id, &d, why), VF_E_UNSUPPORTED);
        magic = 0;
    }
    for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++) {
        char path[300];
        VF_BUF keys = {.max = VF_PREKEYS_FILE_MAX};
        (void)scratch_path(&dir, "network", path, sizeof(path));
        magic = network[i];
        assert_int_equal(vf_desk_create(path, id, &told, &keys, why), VF_E_UNSUPPORTED);
    }
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        char path[300];
        VF_BUF keys = {.max = VF_PREKEYS_FILE_MAX};
        (void)scratch_path(&dir, "fine", path, sizeof(path));
        magic = fine[i];
        OK(vf_desk_create(path, id, &plain, &keys, why));
        magic = 0;
        vf_dir_remove(path);
    }
    scratch_remove(&dir);
}

static void batches(void **state)
{
    const struct vf_desk_options past = {.last_us = 1}, far = {.last_us = vf_clock_wall_us() + 401 * VF_DAY_US},
                                 many = {.prekeys = VF_PREKEYS_MAX + 1};
    struct scratch dir;
    char path[300];
    VF_IDENTITY id = NULL;
    VF_BUF keys = {.max = VF_PREKEYS_FILE_MAX};
    struct vf_prekey_batch b = {0};
    VF_DESK d = NULL;

    (void)state;
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &id, why));
    scratch_make(&dir);
    (void)scratch_path(&dir, "store", path, sizeof(path));
    assert_int_equal(vf_desk_create(path, id, &past, &keys, why), VF_E_INPUT);
    assert_int_equal(vf_desk_create(path, id, &far, &keys, why), VF_E_INPUT);
    assert_int_equal(vf_desk_create(path, id, &many, &keys, why), VF_E_INPUT);
    OK(vf_desk_create(path, id, NULL, &keys, why));
    OK(vf_prekeys_parse(keys.data, keys.len, "desk.prekeys", vf_identity_pub_get(id), &b, why));
    assert_true(b.batch == 1 && b.count == 1000);
    assert_int_equal(b.last_us - b.made_us, 62 * VF_DAY_US);
    vf_prekey_batch_done(&b);
    OK(vf_desk_open(path, VF_DESK_SERVE, id, &d, why));
    for (uint32_t i = 2; i < 5; i++) {
        VF_BUF more = {.max = VF_PREKEYS_FILE_MAX};
        OK(vf_desk_prekeys_add(d, 3, 0, &more, why));
        OK(vf_prekeys_parse(more.data, more.len, "desk.prekeys", vf_identity_pub_get(id), &b, why));
        assert_true(b.batch == i && b.count == 3);
        vf_prekey_batch_done(&b);
    }
    struct vf_desk_status s;
    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.prekeys_live == 1009 && !s.ready && s.policy == 0);
    scratch_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copy_on_write),
        cmocka_unit_test(batches),
    };

    return cmocka_run_group_tests(tests, desk_set_up, desk_tear_down);
}
