/* SPDX-License-Identifier: MIT */
#include "../../vaultfs/vault/import.h"

#include "vault_crash.h"

#include "disk_calls.h"
#include "fakeclock.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------------------------------- processes */

static struct vf_buf encoded[ADMINS]; /* the arena does not come along into a child */
struct place crash_base;              /* a vault to begin with, and what the operations need */
struct place crash_now;               /* a copy of it, being worked on */

int crash_group_set_up(void **state)
{
    if (vault_set_up(state) != 0)
        return -1;
    for (unsigned i = 0; i < ADMINS; i++) {
        vf_buf_init(&encoded[i], VF_IDENTITY_FILE_MAX);
        OK(vf_identity_encode(admin[i], NULL, VF_ARGON2_DEFAULT, &encoded[i], why));
    }
    return 0;
}

int crash_group_tear_down(void **state)
{
    for (unsigned i = 0; i < ADMINS; i++)
        vf_buf_done(&encoded[i]);
    return vault_tear_down(state);
}

static void begin_child(void)
{
    (void)alarm(60);
    vf_crypto_done();
    OK(vf_crypto_init(VF_ARENA_TOOL, why));
    for (unsigned i = 0; i < ADMINS; i++)
        OK(vf_identity_decode(encoded[i].data, encoded[i].len, NULL, &admin[i], why));
}

static void run(const char *const *argv)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        abort();
}

void crash_remove_all(const char *path)
{
    const char *const argv[] = {"rm", "-rf", "--", path, NULL};

    run(argv);
}

void crash_copy_base(void)
{
    char from[300];
    const char *const argv[] = {"cp", "-a", "--", from, crash_now.dir.path, NULL};

    (void)snprintf(from, sizeof(from), "%s/.", crash_base.dir.path);
    crash_remove_all(crash_now.dir.path);
    run(argv);
}

/* ---------------------------------------------------------------------------------------------------- what is in a vault, as text */

struct dump {
    struct vf_buf out;
    struct vf_view *view;
    unsigned n;
    char *line[400];
};

static enum vf_err dump_record(void *user, const struct vf_head *head, struct vf_why *out)
{
    struct dump *d = user;
    VF_BUF line = {0};
    VF_BUF value = {0};

    vf_buf_init(&line, 1 << 20);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
            /* The number first, so that the lines sort by it. */
            if (vf_field_info(f) == NULL || (f == VF_FIELD_WARRANT_NO) != (pass == 0))
                continue;
            VF_TRY(vf_view_value(d->view, &head->ref, f, 0, &value, out));
            if (vf_field_is_image(f))
                vf_buf_fmt(&line, "%u:%zu ", head->f[f].generation, value.len);
            else
                vf_buf_fmt(&line, "%u:%.*s ", head->f[f].generation, (int)value.len,
                           value.len > 0 ? (char *)value.data : "");
        }
    assert_true(d->n < 400);
    d->line[d->n++] = strdup(vf_buf_cstr(&line));
    return VF_OK;
}

static int cmp_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* malloc'ed. Refs are random and left out. */
char *crash_dump(const struct place *p)
{
    struct dump d = {.n = 0};
    struct vf_vault_counts counts;
    struct vf_vault *v = NULL;
    struct stat st;

    if (stat(p->vault, &st) != 0)
        return strdup("nothing");
    v = open_as(p, VF_VAULT_READ, ALICE);
    OK(vf_vault_counts_get(v, &counts, why));
    vf_buf_init(&d.out, 1 << 20);
    vf_buf_fmt(&d.out, "policy %zu pending %d admins %zu epoch %u w %llu max %lld\n", vf_vault_policy(v)->ruling,
               vf_vault_policy(v)->has_pending, vf_vault_policy(v)->policy.nadmins, counts.epoch,
               (unsigned long long)counts.w_changes, (long long)vf_vault_max_grant_us(v));
    OK(vf_view_open(v, &d.view, why));
    OK(vf_view_each(d.view, dump_record, &d, why));
    vf_view_close(d.view);
    close_vault(v);
    qsort(d.line, d.n, sizeof(d.line[0]), cmp_lines);
    for (unsigned i = 0; i < d.n; i++) {
        vf_buf_fmt(&d.out, "%s\n", d.line[i]);
        free(d.line[i]);
    }
    char *text = strdup(vf_buf_cstr(&d.out));
    vf_buf_done(&d.out);
    return text;
}

/* -------------------------------------------------------------------------------------------------------------- the operations */

/* These report what fails, since here anything may. */
static enum vf_err with_vault(enum vf_err (*body)(struct vf_vault *v))
{
    VF_VAULT v = NULL;

    VF_TRY(vf_vault_open(crash_now.vault, VF_VAULT_WRITE, admin[ALICE], &v, why));
    enum vf_err err = body(v);
    struct vf_vault *done = v;
    v = NULL;
    enum vf_err closed = vf_vault_close(done, err == VF_OK ? why : NULL);
    return err != VF_OK ? err : closed;
}

static enum vf_err find(struct vf_vault *v, const char *number, struct vf_ref *ret)
{
    VF_VIEW view = NULL;

    VF_TRY(vf_view_open(v, &view, why));
    return vf_view_find(view, number, strlen(number), ret, why);
}

static enum vf_err import_body(struct vf_vault *v)
{
    char csv[400], photos[400];
    struct vf_import_options opt = {.csv_path = place_path(&crash_now, "next.csv", csv),
                                    .photos_dir = place_path(&crash_now, "ph", photos)};
    struct vf_import_report report;

    (void)vf_import_stage_max(60000);
    return vf_import(v, &opt, &report, why);
}

enum vf_err crash_op_import(void)
{
    return with_vault(import_body);
}

static enum vf_err set_body(struct vf_vault *v)
{
    struct vf_field_value values[2] = {{VF_FIELD_SURNAME, "Neu", 3}, {VF_FIELD_WARRANT_NO, "999", 3}};
    struct vf_ref ref;

    VF_TRY(find(v, "101", &ref));
    return vf_record_set(v, &ref, values, 2, why);
}

enum vf_err crash_op_set(void)
{
    return with_vault(set_body);
}

static enum vf_err erase_body(struct vf_vault *v)
{
    struct vf_ref refs[2];

    VF_TRY(find(v, "101", &refs[0]));
    VF_TRY(find(v, "105", &refs[1]));
    return vf_record_erase(v, refs, 2, VF_ERASE_LEAVER, NULL, NULL, why);
}

enum vf_err crash_op_erase(void)
{
    return with_vault(erase_body);
}

static enum vf_err settings_body(struct vf_vault *v)
{
    struct vf_vault_settings s = {.max_grant_us = VF_DAY_US};

    return vf_vault_set(v, &s, why);
}

enum vf_err crash_op_settings(void)
{
    return with_vault(settings_body);
}

/* The policy file waits in the crash_base. */
enum vf_err crash_op_install(void)
{
    char path[400];
    bool pending = false;
    VF_BUF file = {0};

    VF_TRY(vf_file_read(place_path(&crash_now, "policy", path), VF_POLICY_MAX, &file, why));
    return vf_policy_install(crash_now.vault, file.data, file.len, admin[ALICE], &pending, why);
}

enum vf_err crash_op_create(void)
{
    struct vf_identity_pub pubs[2] = {*pub_of(ALICE), *pub_of(BOB)};
    struct vf_vault_new what = {.force_name = "New", .admins = pubs, .nadmins = 2, .threshold = 1};

    return vf_vault_create(crash_now.vault, &what, admin[ALICE], why);
}

enum vf_err crash_op_restore(void)
{
    char path[400];

    return vf_vault_restore(place_path(&crash_now, "backup", path), crash_now.vault, admin[ALICE], NULL, NULL, why);
}

/* ------------------------------------------------------------------------------------------------------------------- running */

static unsigned slots_in_use(void)
{
    char path[400];
    VF_FREE char *raw = get_file(place_path(&crash_now, "vault/w", path), NULL);
    unsigned n = 0;

    for (unsigned s = 0; s < 2; s++) {
        bool used = false;
        for (size_t i = 0; i < 4096; i++)
            used |= raw[s * 4096 + i] != 0;
        n += used;
    }
    return n;
}

/* Run `op` in a child, where the nth call, or allocation, fails. Returns its error; *ret_met. */
void crash_run_refused(enum vf_err (*op)(void), unsigned n, int err, bool *ret_met)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        begin_child();
        if (err == ENOMEM)
            faults_arm(FAULT_MEMORY, n, ENOMEM);
        else
            disk_calls_refuse(n, err);
        enum vf_err result = op();
        bool met = err == ENOMEM ? faults_disarm() : disk_calls_done() >= n;
        /* Without the fault it has to work; and an error says why. */
        if ((!met && result != VF_OK) || (result != VF_OK && why->text[0] == '\0')) {
            (void)fprintf(stderr, "child: %u: %d %s\n", n, (int)result, why->text);
            _exit(2);
        }
        _exit(met ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    *ret_met = WEXITSTATUS(status) == 1;
}

/* Run `op` in a child that dies behind call n (0: at `us` microseconds from crash_now, or not at all). True: it was killed. */
bool crash_run_killed(enum vf_err (*op)(void), unsigned n, long us)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        begin_child();
        disk_calls_kill(n);
        enum vf_err err = op();
        (void)disk_calls_done();
        if (err != VF_OK)
            (void)fprintf(stderr, "child: %s\n", why->text);
        _exit(err == VF_OK ? 0 : 1);
    }
    if (n == 0 && us > 0) {
        struct timespec ts = {.tv_nsec = us * 1000};
        (void)nanosleep(&ts, NULL);
        (void)kill(pid, SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

/* Run `op` in a child, meanwhile. */
pid_t crash_start(enum vf_err (*op)(void))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        begin_child();
        enum vf_err err = op();
        if (err != VF_OK)
            (void)fprintf(stderr, "child: %s\n", why->text);
        _exit(err == VF_OK ? 0 : 1);
    }
    return pid;
}

/* Another process has the vault open meanwhile: LMDB's lock file then lives on, with a dead writer's traces in it. */
pid_t crash_start_reader(int *ret_fd)
{
    int ends[2], ready[2];
    char byte = 0;

    assert_int_equal(pipe2(ends, O_CLOEXEC) + pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        begin_child();
        (void)close(ends[1]);
        struct vf_vault *v = open_as(&crash_now, VF_VAULT_READ, BOB);
        (void)!write(ready[1], "x", 1);
        (void)!read(ends[0], &byte, 1);
        (void)vf_vault_close(v, NULL);
        _exit(0);
    }
    (void)close(ends[0]);
    (void)!read(ready[0], &byte, 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    *ret_fd = ends[1];
    return pid;
}

void crash_stop_reader(pid_t pid, int fd)
{
    int status = 0;

    (void)close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* The vault as it was or as it was to be; everything in it sound; nothing left over. */
void crash_look(const char *before, const char *after, struct crash_seen *seen)
{
    struct stat st;
    VF_FREE char *first = crash_dump(&crash_now);

    seen->runs++;
    if (strcmp(first, before) != 0 && strcmp(first, after) != 0)
        fail_msg("neither before nor after:\n%s", first);
    if (stat(crash_now.vault, &st) == 0) {
        /* Opened for writing, and then written to. */
        close_vault(open_as(&crash_now, VF_VAULT_WRITE, ALICE));
        struct vf_vault *v = open_as(&crash_now, VF_VAULT_WRITE, ALICE);
        OK(vf_vault_set(v, &(struct vf_vault_settings){0}, why));
        close_vault(v);
        VF_FREE char *second = crash_dump(&crash_now);
        /* A commit that was killed may come to light when the lock is mended, but none is lost. */
        assert_true(strcmp(second, after) == 0 || (strcmp(second, before) == 0 && strcmp(first, before) == 0));
        free(first);
        first = second;
        second = NULL;
        assert_int_equal(slots_in_use(), 1);
        assert_int_equal(check_clean(&crash_now).orphans, 0);
    }
    seen->before += strcmp(first, before) == 0;
    seen->after += strcmp(first, after) == 0;
}

static void make_now(void)
{
    scratch_make(&crash_now.dir);
    (void)scratch_path(&crash_now.dir, "vault", crash_now.vault, sizeof(crash_now.vault));
}

int crash_begin(void **state)
{
    static const char csv[] = "warrant_no,surname,rank\n101,One,Constable\n102,Two,Constable\n103,Three,Constable\n"
                              "104,Four,Sergeant\n105,Five,Sergeant\n";
    struct vf_buf next;
    struct vf_vault *v = NULL;
    (void)state;

    place_make(&crash_base, 2, 1);
    v = open_as(&crash_base, VF_VAULT_WRITE, ALICE);
    put_photo(&crash_base, "ph/102.jpg", 1);
    import_csv(v, &crash_base, csv, "ph", VF_OK, NULL);
    close_vault(v);
    put_photo(&crash_base, "ph/102.jpg", 2);
    put_photo(&crash_base, "ph/103.jpg", 3);
    vf_buf_init(&next, 1 << 20);
    vf_buf_text(&next, "warrant_no,surname\n101,Uno\n102,Due\n104,Four\n105,\n");
    for (unsigned i = 0; i < 25; i++)
        vf_buf_fmt(&next, "%u,New%u\n", 200 + i, i);
    put_file(&crash_base, "next.csv", next.data, next.len);
    vf_buf_done(&next);
    make_now();
    return 0;
}

int crash_end(void **state)
{
    (void)state;
    place_done(&crash_base);
    place_done(&crash_now);
    return 0;
}
