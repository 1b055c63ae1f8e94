/* SPDX-License-Identifier: MIT */
/*
 * The end of a grant: its one-time key is nowhere in the store any more, in no form, whatever was going on; and it never comes back, not even
 * with a slot that somebody puts back.
 */
#include "desk_test.h"

#include "../../vaultfs/desk/slot.h"
#include "fakeclock.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_US (3600 * VF_SECOND_US)

static struct desk_world w;

static int set_up(void **state)
{
    return desk_set_up(state);
}

static int tear_down(void **state)
{
    return desk_tear_down(state);
}

/* ------------------------------------------------------------------------------------------------------------------ raw bytes */

/* The 72 bytes of the slot that hold the wrapped secret half. */
static void wrapped_of(uint32_t number, uint8_t out[VF_WRAPPED_LEN])
{
    char path[500];
    VF_BUF file = {0};

    (void)snprintf(path, sizeof(path), "%s/prekeys/1", w.store);
    OK(vf_file_read(path, 16u << 20, &file, why));
    const uint8_t *slot = file.data + VF_PREKEYS_HEAD_LEN + (size_t)number * VF_PREKEY_SLOT_LEN;
    memcpy(out, slot + 20 + VF_KEY_LEN, VF_WRAPPED_LEN);
}

/* A number that neither of these has. */
static uint32_t spare(const struct desk_client *a, const struct desk_client *b)
{
    uint32_t n = 0;

    while (n == a->i.f.grant.prekey_number || (b != NULL && n == b->i.f.grant.prekey_number))
        n++;
    return n;
}

/* How many files below `dir` hold any 16 bytes of these: written through, so as the disk has them. */
static unsigned files_with(const char *dir, const uint8_t *bytes, size_t len)
{
    DIR *list = opendir(dir);
    unsigned n = 0;

    assert_non_null(list);
    for (const struct dirent *e = readdir(list); e != NULL; e = readdir(list)) {
        char path[900];
        struct stat st;
        VF_BUF file = {0};
        bool hit = false;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        assert_int_equal(lstat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            n += files_with(path, bytes, len);
            continue;
        }
        OK(vf_file_read(path, 64u << 20, &file, why));
        for (size_t at = 0; at + 16 <= len && !hit; at += 16)
            hit = file.len > 0 && memmem(file.data, file.len, bytes + at, 16) != NULL;
        n += hit;
    }
    (void)closedir(list);
    return n;
}

static enum vf_err get_prekey(uint32_t number)
{
    VF_SECRET struct vf_prekey_store_key *key = vf_secret_new(sizeof(*key));
    VF_SECRET struct vf_prekey *pair = vf_secret_new(sizeof(*pair));
    VF_PREKEYS p = NULL;
    struct vf_prekeys_head head;
    uint8_t block[VF_PREKEYS_HEAD_LEN];
    char path[500];
    VF_FD fd = -1;

    (void)snprintf(path, sizeof(path), "%s/prekeys/1", w.store);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && key != NULL && pair != NULL);
    OK(vf_fd_pread(fd, block, sizeof(block), 0, path, why));
    OK(vf_prekeys_head_decode(block, path, &head, why));
    vf_prekey_store_key_of(w.desk, head.store, key);
    OK(vf_prekeys_open(path, head.store, &p, why));
    return vf_prekeys_get(p, key, number, pair, why);
}

/* Nothing of the key is left, and only of this one. */
static void gone(const struct desk_client *c, const uint8_t wrapped[VF_WRAPPED_LEN], const uint8_t other[VF_WRAPPED_LEN])
{
    assert_int_equal(files_with(w.store, wrapped, VF_WRAPPED_LEN), 0);
    assert_int_equal(files_with(w.store, other, VF_WRAPPED_LEN), 1);
    assert_int_equal(get_prekey(c->i.f.grant.prekey_number), VF_E_EXPIRED);
}

static void by_the_clock(void **state)
{
    struct desk_client c, other;
    uint8_t wrapped[VF_WRAPPED_LEN], kept[VF_WRAPPED_LEN];

    (void)state;
    desk_world_make(&w, 3, 6, 0);
    struct vf_desk *d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_client_make(&w, "ends", HOUR_US, 0, &c);
    desk_client_make(&w, "goes-on", 10 * HOUR_US, 0, &other);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 1, VF_PART_IMAGE), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &other, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    wrapped_of(c.i.f.grant.prekey_number, wrapped);
    wrapped_of(other.i.f.grant.prekey_number, kept);
    OK(vf_desk_tick(d, why));
    assert_int_equal(files_with(w.store, wrapped, sizeof(wrapped)), 1); /* the search does find it */
    OK(get_prekey(c.i.f.grant.prekey_number));
    fake_clock_pass(HOUR_US - 1);
    OK(vf_desk_tick(d, why));
    OK(get_prekey(c.i.f.grant.prekey_number));
    fake_clock_pass(1);
    OK(vf_desk_tick(d, why));
    gone(&c, wrapped, kept);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    assert_int_equal(desk_status_of(&w, d, &other, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    struct vf_desk_status s;
    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.ready && s.grants_ended == 1 && s.grants_live == 1 && s.prekeys_destroyed == 1 && s.prekeys_live == 5);
    /* As somebody has it who looks at the store only, and after a restart. */
    desk_close(d);
    gone(&c, wrapped, kept);
    assert_int_equal(desk_log_counts(&w, VF_EVENT_EXPIRE, "ok"), 1);
    OK(vf_desk_open(w.store, VF_DESK_STATUS, NULL, &d, why));
    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.ready && s.grants_ended == 1 && s.grants_live == 1 && s.prekeys_destroyed == 1 && s.devices == 2);
    desk_close(d);
    d = desk_open(&w);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    assert_int_equal(desk_status_of(&w, d, &other, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    desk_close(d);
    desk_client_done(&c);
    desk_client_done(&other);
    desk_world_done(&w);
}

static enum vf_err released_of(void *user, const struct vf_desk_grant_item *item, struct vf_why *unused)
{
    uint64_t *to = user;

    (void)unused;
    to[0] += item->released[VF_PART_TEXT];
    to[1] += item->released[VF_PART_IMAGE];
    to[2] += item->destroyed;
    return VF_OK;
}

/* It was down when the grant ended; and what was released is still told. */
static void while_nobody_served(void **state)
{
    struct desk_client c;
    uint8_t wrapped[VF_WRAPPED_LEN], kept[VF_WRAPPED_LEN];
    uint64_t told[3] = {0};

    (void)state;
    desk_world_make(&w, 3, 6, 0);
    struct vf_desk *d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_client_make(&w, "ends", HOUR_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 1, VF_PART_IMAGE), VF_ANSWER_OK);
    wrapped_of(c.i.f.grant.prekey_number, wrapped);
    wrapped_of(spare(&c, NULL), kept);
    desk_close(d);
    fake_clock_pass(HOUR_US);
    d = desk_open(&w);
    gone(&c, wrapped, kept);
    OK(vf_desk_grant_each(d, released_of, told, why));
    assert_true(told[0] == 2 && told[1] == 1 && told[2] == 1);
    desk_close(d);
    d = desk_open(&w);
    OK(vf_desk_grant_each(d, released_of, told, why));
    assert_true(told[0] == 4 && told[1] == 2 && told[2] == 2);
    desk_close(d);
    desk_client_done(&c);
    desk_world_done(&w);
}

/* Before its time, at once; the note names the key of a grant that never came here, too. */
static void by_revocation(void **state)
{
    struct desk_client c, unseen;
    uint8_t wrapped[VF_WRAPPED_LEN], wrapped2[VF_WRAPPED_LEN], kept[VF_WRAPPED_LEN];
    VF_BUF note = {0}, note2 = {0};

    (void)state;
    desk_world_make(&w, 3, 6, 0);
    struct vf_desk *d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_client_make(&w, "taken-back", HOUR_US, 0, &c);
    desk_client_make(&w, "unseen", HOUR_US, 0, &unseen);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    wrapped_of(c.i.f.grant.prekey_number, wrapped);
    wrapped_of(unseen.i.f.grant.prekey_number, wrapped2);
    wrapped_of(spare(&c, &unseen), kept);
    struct vf_revocation r = desk_revokes(&c);
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "a.revoked"));
    gone(&c, wrapped, kept);
    OK(get_prekey(unseen.i.f.grant.prekey_number));
    r = desk_revokes(&unseen);
    desk_revocation(&w, &r, &note2);
    OK(desk_take(d, note2.data, note2.len, "b.revoked"));
    gone(&unseen, wrapped2, kept);
    desk_close(d);
    assert_int_equal(desk_log_counts(&w, VF_EVENT_REVOKE, "ok"), 2);
    desk_client_done(&c);
    desk_client_done(&unseen);
    desk_world_done(&w);
}

/* A revocation that names another grant's key does not cost that one its key. */
static void a_revocation_of_the_wrong_key(void **state)
{
    struct desk_client c, other;
    VF_BUF note = {0};

    (void)state;
    desk_world_make(&w, 3, 6, 0);
    struct vf_desk *d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_client_make(&w, "kept", HOUR_US, 0, &c);
    desk_client_make(&w, "unseen", HOUR_US, 0, &other);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    struct vf_revocation r = desk_revokes(&other);
    r.prekey_number = c.i.f.grant.prekey_number;
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "a.revoked"));
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &other, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    desk_close(d);
    desk_client_done(&c);
    desk_client_done(&other);
    desk_world_done(&w);
}

/* The last day of a batch: all of it, also what was never used and never seen. */
static void the_last_day(void **state)
{
    struct desk_client seen, unseen;
    uint8_t wrapped[6][VF_WRAPPED_LEN];
    VF_BUF more = {.max = VF_PREKEYS_FILE_MAX};
    struct vf_desk_status s;

    (void)state;
    desk_world_make(&w, 3, 6, vf_clock_wall_us() + 10 * HOUR_US);
    struct vf_desk *d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_client_make(&w, "seen", 9 * HOUR_US, 0, &seen);
    desk_client_make(&w, "unseen", 9 * HOUR_US, 0, &unseen);
    assert_int_equal(desk_status_of(&w, d, &seen, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    for (uint32_t i = 0; i < 6; i++)
        wrapped_of(i, wrapped[i]);
    OK(vf_desk_prekeys_add(d, 4, vf_clock_wall_us() + 20 * HOUR_US, &more, why));
    assert_int_equal(vf_desk_prekeys_add(d, 4, vf_clock_wall_us() - HOUR_US, &more, why), VF_E_INPUT);
    assert_int_equal(vf_desk_prekeys_add(d, VF_PREKEYS_MAX + 1, 0, &more, why), VF_E_INPUT);
    fake_clock_pass(10 * HOUR_US);
    OK(vf_desk_tick(d, why));
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(files_with(w.store, wrapped[i], VF_WRAPPED_LEN), 0);
    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.prekeys_destroyed == 6 && s.prekeys_live == 4);
    assert_int_equal(desk_status_of(&w, d, &unseen, true, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    desk_close(d);
    d = desk_open(&w);
    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.prekeys_destroyed == 6 && s.prekeys_live == 4);
    assert_int_equal(desk_status_of(&w, d, &seen, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    desk_close(d);
    desk_client_done(&seen);
    desk_client_done(&unseen);
    desk_world_done(&w);
}

/* --------------------------------------------------------------------------------------------------------------- it comes back */

static void copy_prekeys(const char *from, const char *to)
{
    VF_BUF file = {0};

    OK(vf_file_read(from, 16u << 20, &file, why));
    OK(vf_file_write(to, file.data, file.len, 0600, true, why));
}

/* From a backup, with or without the database that knows better. */
static void a_slot_put_back(void **state)
{
    struct desk_client c;
    uint8_t wrapped[VF_WRAPPED_LEN], kept[VF_WRAPPED_LEN];
    char prekeys[500], saved[500], db[500], saved_db[500];

    (void)state;
    for (unsigned with_db = 0; with_db < 2; with_db++) {
        desk_world_make(&w, 3, 6, 0);
        struct vf_desk *d = desk_open(&w);
        desk_take_policy(&w, d);
        desk_client_make(&w, "back", HOUR_US, 0, &c);
        assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
        desk_close(d);
        wrapped_of(c.i.f.grant.prekey_number, wrapped);
        wrapped_of(spare(&c, NULL), kept);
        (void)snprintf(prekeys, sizeof(prekeys), "%s/prekeys/1", w.store);
        (void)snprintf(saved, sizeof(saved), "%s/saved", w.p.dir.path);
        (void)snprintf(db, sizeof(db), "%s/db/data.mdb", w.store);
        (void)snprintf(saved_db, sizeof(saved_db), "%s/saved.mdb", w.p.dir.path);
        copy_prekeys(prekeys, saved);
        copy_prekeys(db, saved_db);
        fake_clock_pass(HOUR_US);
        d = desk_open(&w);
        gone(&c, wrapped, kept);
        desk_close(d);
        copy_prekeys(saved, prekeys);
        if (with_db == 1)
            copy_prekeys(saved_db, db); /* the own log alone says that it was destroyed */
        OK(get_prekey(c.i.f.grant.prekey_number));
        d = desk_open(&w);
        gone(&c, wrapped, kept);
        assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
        desk_close(d);
        desk_client_done(&c);
        desk_world_done(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_the_clock),  cmocka_unit_test(while_nobody_served),
        cmocka_unit_test(by_revocation), cmocka_unit_test(a_revocation_of_the_wrong_key),
        cmocka_unit_test(the_last_day),  cmocka_unit_test(a_slot_put_back),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
