/* SPDX-License-Identifier: MIT */
/* The station's folder: made whole or not at all, opened by one, looked at by many, damaged. */
#include "station_test.h"

#include "fakeclock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The cheapest that is accepted. */
#define CHEAP ((struct vf_argon2){65536, 2})

static struct place p;
static struct site s;

static int set_up(void **state)
{
    if (station_and_force(state, &p) != 0)
        return -1;
    site_make(&p, "bureau-1", &s);
    return 0;
}

static int tear_down(void **state)
{
    site_done(&s);
    return station_and_force_done(state, &p);
}

static struct vf_passphrase *passphrase(const char *text)
{
    struct vf_passphrase *pass = vf_secret_new(sizeof(*pass));

    if (pass == NULL)
        abort();
    pass->len = strlen(text);
    memcpy(pass->text, text, pass->len);
    return pass;
}

static char *inside(const struct site *site, const char *name, char out[500])
{
    (void)snprintf(out, 500, "%s/%s", site->path, name);
    return out;
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return 0;
    return st.st_mode;
}

/* ---------------------------------------------------------------------------------------------------------------------- create */

static void what_is_made(void **state)
{
    struct vf_station *st = site_open(&s, VF_STATION_STATUS);
    char path[500];
    size_t len = 0;

    (void)state;
    assert_int_equal(mode_of(s.path) & 07777, 0700);
    assert_int_equal(mode_of(inside(&s, "identity", path)) & 07777, 0600);
    assert_int_equal(mode_of(inside(&s, "clock", path)) & 07777, 0600);
    assert_int_equal(mode_of(inside(&s, "seal", path)) & 07777, 0600);
    VF_FREE char *kept = get_file(inside(&s, "station.enrol", path), &len);
    assert_int_equal(len, s.b.enrol_bytes.len);
    assert_memory_equal(kept, s.b.enrol_bytes.data, len);
    assert_string_equal(s.b.enrol.name, "bureau-1");
    assert_int_equal(s.b.enrol.device.role, VF_ROLE_DEVICE);
    assert_memory_equal(&s.b.enrol.vault, &vf_station_policy(st)->policy.vault, sizeof(s.b.enrol.vault));
    assert_int_equal(vf_station_policy(st)->ruling, 1);
    assert_null(vf_station_log(st));
    assert_int_equal(state_of_station(st).values, 0);
    assert_int_equal(state_of_station(st).log_received, 0);
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_MOUNT), 0);
}

static enum vf_err make(const char *path, const char *name, const void *policy, size_t len)
{
    VF_BUF enrol = {0};

    vf_buf_init(&enrol, VF_ENROL_MAX);
    return vf_station_create(path, name, policy, len, NULL, CHEAP, &enrol, why);
}

static void made_whole_or_not(void **state)
{
    char path[400], slashed[410];
    size_t len = 0;
    VF_FREE char *policy = get_file(s.policy, &len);
    unsigned before = scratch_count(p.dir.path);

    (void)state;
    assert_int_equal(make(s.path, "bureau-1", policy, len), VF_E_EXISTS);
    put_file(&p, "taken", "x", 1);
    assert_int_equal(make(place_path(&p, "taken", path), "bureau-1", policy, len), VF_E_EXISTS);
    (void)place_path(&p, "new", path);
    assert_int_equal(make(path, "Bureau 1", policy, len), VF_E_INPUT);
    assert_int_equal(make(path, "", policy, len), VF_E_INPUT);
    assert_int_equal(make(path, "bureau-1", policy, len - 1), VF_E_FORMAT);
    assert_int_equal(make(path, "bureau-1", "", 0), VF_E_FORMAT);
    policy[40] ^= 1; /* the text is not what was signed */
    enum vf_err err = make(path, "bureau-1", policy, len);
    assert_true(err == VF_E_FORGED || err == VF_E_FORMAT || err == VF_E_VERSION);
    policy[40] ^= 1;
    assert_int_equal(make(place_path(&p, "nowhere/new", path), "bureau-1", policy, len), VF_E_NOT_FOUND);
    assert_int_equal(scratch_count(p.dir.path), before + 1); /* "taken"; nothing half made is left */
    (void)snprintf(slashed, sizeof(slashed), "%s//", place_path(&p, "slashed", path));
    OK(make(slashed, "bureau-1", policy, len));
    assert_true(S_ISDIR(mode_of(path)));
    assert_int_equal(scratch_count(p.dir.path), before + 2);
}

static void a_policy_must_rule(void **state)
{
    struct place two;
    char path[400];

    (void)state;
    place_make(&two, 2, 2); /* one of two has signed */
    struct vf_vault *v = open_as(&two, VF_VAULT_PUBLIC, 0);
    const struct vf_policy_chain *chain = vf_vault_policy(v);
    assert_int_equal(make(place_path(&two, "st", path), "bureau-1", chain->bytes, chain->len), VF_E_UNSIGNED);
    close_vault(v);
    place_done(&two);
}

/* ------------------------------------------------------------------------------------------------------------------ open, close */

/* Links in the place of db and log: not followed, and nothing is made or removed where they lead. */
static void no_links(void **state)
{
    static const char *const names[] = {"db", "log"};
    char path[500], real[500], aim[500];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct vf_station *st = NULL;
        (void)place_path(&p, "aim", aim);
        assert_int_equal(mkdir(aim, 0700), 0);
        assert_int_equal(rename(inside(&s, names[i], path), inside(&s, "real", real)), 0);
        assert_int_equal(symlink(aim, path), 0);
        for (int mode = VF_STATION_RECEIVE; mode <= VF_STATION_MOUNT; mode++) {
            assert_int_equal(vf_station_open(s.path, (enum vf_station_mode)mode, NULL, &st, why), VF_E_INPUT);
            assert_non_null(strstr(why->text, "not followed"));
        }
        assert_int_equal(rmdir(aim), 0); /* it is empty */
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rename(real, path), 0);
    }
    site_close(site_open(&s, VF_STATION_MOUNT));
}

static void not_stations(void **state)
{
    struct vf_station *st = NULL;
    char path[400];

    (void)state;
    assert_int_equal(vf_station_open(place_path(&p, "absent", path), VF_STATION_STATUS, NULL, &st, why), VF_E_NOT_FOUND);
    put_file(&p, "a-file", "x", 1);
    assert_int_equal(vf_station_open(place_path(&p, "a-file", path), VF_STATION_MOUNT, NULL, &st, why), VF_E_NOT_FOUND);
    assert_int_equal(vf_station_open(p.vault, VF_STATION_RECEIVE, NULL, &st, why), VF_E_NOT_FOUND);
    assert_null(st);
}

static void one_at_work(void **state)
{
    struct vf_station *mount = site_open(&s, VF_STATION_MOUNT), *second = NULL;

    (void)state;
    assert_non_null(vf_station_log(mount));
    assert_int_equal(vf_station_open(s.path, VF_STATION_RECEIVE, NULL, &second, why), VF_E_BUSY); /* after 5 seconds */
    assert_null(second);
    struct vf_station *status = site_open(&s, VF_STATION_STATUS);
    assert_string_equal(vf_station_enrol(status)->name, "bureau-1");
    site_close(status);
    site_close(mount);
    site_close(site_open(&s, VF_STATION_RECEIVE));
}

static void passphrases(void **state)
{
    VF_SECRET struct vf_passphrase *good = passphrase("a good one"), *bad = passphrase("a bad one"),
                                   *next = passphrase("the next");
    struct vf_station *st = NULL;
    VF_BUF enrol = {0};
    bool locked = false;
    char path[400];
    size_t len = 0;
    VF_FREE char *policy = get_file(s.policy, &len);

    (void)state;
    OK(vf_station_locked(s.path, &locked, why));
    assert_false(locked);
    vf_buf_init(&enrol, VF_ENROL_MAX);
    (void)place_path(&p, "locked", path);
    OK(vf_station_create(path, "locked", policy, len, good, CHEAP, &enrol, why));
    OK(vf_station_locked(path, &locked, why));
    assert_true(locked);
    assert_int_equal(vf_station_open(path, VF_STATION_MOUNT, NULL, &st, why), VF_E_PASSPHRASE);
    assert_int_equal(vf_station_open(path, VF_STATION_MOUNT, bad, &st, why), VF_E_PASSPHRASE);
    OK(vf_station_open(path, VF_STATION_RECEIVE, NULL, &st, why)); /* no secret is needed to receive */
    site_close(st);
    OK(vf_station_open(path, VF_STATION_MOUNT, good, &st, why));
    site_close(st);
    assert_int_equal(vf_station_passphrase(path, bad, next, CHEAP, why), VF_E_PASSPHRASE);
    OK(vf_station_passphrase(path, good, next, CHEAP, why));
    assert_int_equal(vf_station_open(path, VF_STATION_MOUNT, good, &st, why), VF_E_PASSPHRASE);
    OK(vf_station_open(path, VF_STATION_MOUNT, next, &st, why));
    site_close(st);
    OK(vf_station_passphrase(path, next, NULL, CHEAP, why));
    OK(vf_station_locked(path, &locked, why));
    assert_false(locked);
    OK(vf_station_open(path, VF_STATION_MOUNT, NULL, &st, why));
    site_close(st);
}

/* ---------------------------------------------------------------------------------------------------------------------- damage */

static void flip(const char *path, off_t at)
{
    uint8_t b;
    VF_FD fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || pread(fd, &b, 1, at) != 1)
        abort();
    b ^= 0x20;
    if (pwrite(fd, &b, 1, at) != 1)
        abort();
}

static void damaged_files(void **state)
{
    struct site d;
    struct vf_station *st = NULL;
    char path[500];

    (void)state;
    site_make(&p, "damaged", &d);
    /* The enrolment: read at every opening. */
    flip(inside(&d, "station.enrol", path), 30);
    enum vf_err err = vf_station_open(d.path, VF_STATION_STATUS, NULL, &st, why);
    assert_true(err == VF_E_FORGED || err == VF_E_FORMAT || err == VF_E_VERSION);
    flip(path, 30);
    /* One slot of the identity is enough; none is not. */
    flip(inside(&d, "identity", path), 40);
    assert_int_equal(vf_station_open(d.path, VF_STATION_MOUNT, NULL, &st, why), VF_E_DAMAGED);
    flip(path, 40);
    /* The database: the child that walks it says so. */
    (void)inside(&d, "db/data.mdb", path);
    for (off_t at = 0; at < 8192; at += 512)
        flip(path, at + 17);
    err = vf_station_open(d.path, VF_STATION_MOUNT, NULL, &st, why);
    assert_true(err == VF_E_DAMAGED);
    assert_non_null(strstr(why->text, "receive"));
    assert_int_equal(vf_station_open(d.path, VF_STATION_STATUS, NULL, &st, why), VF_E_DAMAGED);
    for (off_t at = 0; at < 8192; at += 512)
        flip(path, at + 17);
    site_close(site_open(&d, VF_STATION_MOUNT));
    assert_null(st);
    site_done(&d);
}

static void another_identity(void **state)
{
    struct site a, b;
    struct vf_station *st = NULL;
    char from[500], to[500];
    size_t len = 0;

    (void)state;
    site_make(&p, "first", &a);
    site_make(&p, "other", &b);
    VF_FREE char *identity = get_file(inside(&b, "identity", from), &len);
    OK(vf_file_write(inside(&a, "identity", to), identity, len, 0600, true, why));
    assert_int_equal(vf_station_open(a.path, VF_STATION_MOUNT, NULL, &st, why), VF_E_FORGED);
    assert_null(st);
    site_done(&a);
    site_done(&b);
}

static void finding(void *user, const char *line)
{
    char *last = user;

    (void)snprintf(last, 600, "%s", line);
}

static void checks(void **state)
{
    struct site c;
    uint64_t findings = 99;
    char last[600] = "", path[500];
    struct delivery d;

    (void)state;
    site_make(&p, "checked", &c);
    struct vf_issue_options opt = site_options(&c, "checks");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&c, VF_STATION_RECEIVE);
    take_delivery(st, &d);
    site_close(st);
    OK(vf_station_check(c.path, finding, last, &findings, why));
    assert_int_equal(findings, 0);
    /* A byte of a value, deep in the file: the structure is whole. */
    struct stat info;
    if (stat(inside(&c, "db/data.mdb", path), &info) != 0)
        abort();
    size_t len = 0;
    VF_FREE char *bundle = get_file(d.bundle, &len);
    VF_FREE char *data = get_file(path, &(size_t){0});
    const char *at = memmem(data, (size_t)info.st_size, bundle + len - 4000, 64); /* of the last value, a photo */
    assert_non_null(at);
    flip(path, at - data);
    OK(vf_station_check(c.path, finding, last, &findings, why));
    assert_int_equal(findings, 1);
    assert_non_null(strstr(last, "a stored value is damaged"));
    /* The delivery again mends it. */
    st = site_open(&c, VF_STATION_RECEIVE);
    OK(take1(st, d.bundle));
    site_close(st);
    OK(vf_station_check(c.path, finding, last, &findings, why));
    assert_int_equal(findings, 0);
    /* The log. */
    flip(inside(&c, "log/entries-00000000000000000000.jsonl", path), 60);
    OK(vf_station_check(c.path, finding, last, &findings, why));
    assert_int_not_equal(findings, 0);
    assert_int_equal(strncmp(last, "log: ", 5), 0);
    delivery_done(&d);
    site_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made), cmocka_unit_test(made_whole_or_not), cmocka_unit_test(a_policy_must_rule),
        cmocka_unit_test(no_links),     cmocka_unit_test(not_stations),      cmocka_unit_test(one_at_work),
        cmocka_unit_test(passphrases),  cmocka_unit_test(damaged_files),     cmocka_unit_test(another_identity),
        cmocka_unit_test(checks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
