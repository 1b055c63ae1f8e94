/* SPDX-License-Identifier: MIT */
/*
 * A desk killed with -9 at random moments under load, again and again: test_desk_kill [KILLS]. Stations ask from several threads while grants end and
 * keys are destroyed. After each kill:
 *
 *   - no share was given out whose release is not in the desk's log, which verifies
 *   - no grant's budget was passed
 *   - every receipt that a station holds is for log that the desk has
 *   - no key that was destroyed is there again, though its slots are put back from a copy now and then
 */
#include "desk_test.h"

#include "fakeclock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOLDS(cond)                                                                                            \
    do {                                                                                                       \
        if (!(cond)) {                                                                                         \
            (void)fprintf(stderr, "round %u: %s:%d: %s (%s)\n", round_, __FILE__, __LINE__, #cond, why->text); \
            abort();                                                                                           \
        }                                                                                                      \
    } while (0)

#define OFFICERS 60
#define BUDGET   40
#define CLIENTS  4  /* the last one's grant ends while it asks */
#define RENEWED  15 /* rounds after which the others get a new grant */
#define ROUND_US (3600 * VF_SECOND_US)
#define MESSAGE  (256 * 1024)
#define PREKEYS  1000

static unsigned round_;

/* ------------------------------------------------------------------------------------------------------------------- the desk */

static struct vf_desk *served;

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    static _Thread_local uint8_t in[MESSAGE];

    for (;;) {
        VF_BUF out = {.max = VF_ANSWER_MAX};
        struct vf_desk_outcome o;
        ssize_t n = recv(fd, in, sizeof(in), 0);
        if (n <= 0)
            return NULL;
        if (vf_desk_answer(served, in, (size_t)n, 0, false, &out, &o, why) != VF_OK)
            _exit(3);
        if (send(fd, out.data, out.len, MSG_NOSIGNAL) != (ssize_t)out.len)
            return NULL;
    }
}

/* Serves until it is killed: a second goes by in a millisecond. */
static int serve(char **argv)
{
    struct vf_identity *id = NULL;
    VF_BUF key = {0};
    pthread_t thread;

    fake_clock_set(strtoll(argv[3], NULL, 10), strtoll(argv[4], NULL, 10));
    OK(vf_crypto_init(4u << 20, why));
    OK(vf_file_read(argv[2], VF_IDENTITY_FILE_MAX, &key, why));
    OK(vf_identity_decode(key.data, key.len, NULL, &id, why));
    OK(vf_desk_open(argv[1], VF_DESK_SERVE, id, &served, why));
    for (int i = 0; i < CLIENTS; i++)
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)(atoi(argv[5]) + i)) != 0)
            return 4;
    for (unsigned i = 0; i < 3000; i++) {
        OK(vf_desk_tick(served, why));
        fake_clock_pass(VF_SECOND_US);
        (void)usleep(1000);
    }
    (void)pause();
    return 5;
}

/* ---------------------------------------------------------------------------------------------------------------- the stations */

static struct desk_world w;
struct station {
    struct desk_client c;
    bool first; /* the desk has not seen its grant yet */
    bool given[VF_PART_COUNT][OFFICERS];
    unsigned seed;
    int fd;
    uint64_t receipt;
    unsigned answers, shares;
};
static struct station stations[CLIENTS];
static uint32_t destroyed[PREKEYS];
static size_t ndestroyed;
static atomic_uint answered; /* in this round */

static void station_make(struct station *s, unsigned which, int64_t for_us)
{
    char name[32];

    *s = (struct station){.first = true, .seed = round_ * 97 + which, .fd = -1};
    (void)snprintf(name, sizeof(name), "s%u-%u", which, round_);
    desk_client_make(&w, name, for_us, BUDGET, &s->c);
}

static void note_shares(struct station *s, const struct vf_answer *a, const struct vf_share *shares)
{
    for (size_t i = 0; i < a->nshares; i++) {
        uint32_t row = 0;
        HOLDS(vf_manifest_find(&s->c.i.f.manifest, &shares[i].ref, &row));
        s->given[shares[i].part][row] = true;
    }
    s->shares += (unsigned)a->nshares;
}

static void note_receipt(struct station *s, const struct vf_answer *a)
{
    if (a->receipt.len == 0)
        return;
    vf_buf_reset(&s->c.receipt);
    vf_buf_put(&s->c.receipt, a->receipt.data, a->receipt.len);
    s->receipt = a->log_size;
}

/* One exchange. False: the desk is dead. */
static bool ask(struct station *s, uint8_t *in)
{
    VF_BUF sealed = {0}, rest = {0};
    VF_SECRET struct vf_share *shares = NULL;
    struct vf_answer a;

    desk_client_works(&s->c, 1 + (unsigned)rand_r(&s->seed) % 3);
    struct vf_request req = desk_request(&s->c, s->first);
    for (unsigned i = (unsigned)rand_r(&s->seed) % 6; i > 0; i--)
        desk_want(&s->c, &req, (uint32_t)rand_r(&s->seed) % OFFICERS, (enum vf_part)(rand_r(&s->seed) % VF_PART_COUNT));
    desk_request_seal(&w, s->c.b.device, &req, &sealed);
    if (send(s->fd, sealed.data, sealed.len, MSG_NOSIGNAL) != (ssize_t)sealed.len)
        return false;
    ssize_t n = recv(s->fd, in, MESSAGE, 0);
    if (n <= 0)
        return false;
    OK(vf_answer_open(s->c.key, vf_identity_pub_get(w.desk), &req.hash, in, (size_t)n, &rest, &a, &shares, why));
    if (a.status != VF_ANSWER_OK && a.status != VF_ANSWER_BEHIND && a.status != VF_ANSWER_BUDGET &&
        a.status != VF_ANSWER_ENDED && a.status != VF_ANSWER_UNKNOWN) {
        (void)fprintf(stderr, "%s: %s\n", vf_answer_text(a.status), a.text);
        abort();
    }
    s->first = a.status == VF_ANSWER_UNKNOWN;
    if (a.status != VF_ANSWER_UNKNOWN && a.status != VF_ANSWER_ENDED)
        s->c.known = a.log_size;
    note_shares(s, &a, shares);
    note_receipt(s, &a);
    s->answers++;
    atomic_fetch_add(&answered, 1);
    return true;
}

static void *ask_on(void *arg)
{
    struct station *s = arg;
    VF_FREE uint8_t *in = malloc(MESSAGE);

    HOLDS(in != NULL);
    while (ask(s, in))
        ;
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------------- what is left */

struct released {
    const struct station *s;
    bool of[VF_PART_COUNT][OFFICERS];
};

static enum vf_err take_release(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *unused)
{
    struct released *r = user;
    const struct vf_grant *g = &r->s->c.i.f.grant;

    (void)sealed;
    (void)unused;
    if (e->event != VF_EVENT_RELEASE || e->grant.len != VF_GRANT_ID_LEN || memcmp(e->grant.p, g->id.c, VF_GRANT_ID_LEN) != 0)
        return VF_OK;
    enum vf_part part = e->part.len == 5 ? VF_PART_IMAGE : VF_PART_TEXT; /* "image", "text" */
    for (size_t at = 0; at + VF_REF_LEN + 2 <= e->refs.len; at += VF_REF_LEN + 3) {
        struct vf_ref ref;
        uint32_t row = 0;
        HOLDS(vf_ref_parse(e->refs.p + at + 1, VF_REF_LEN, &ref) && vf_manifest_find(&r->s->c.i.f.manifest, &ref, &row));
        r->of[part][row] = true;
    }
    return VF_OK;
}

static void check_releases(const struct station *s)
{
    struct released r = {.s = s};
    const struct vf_verify_options opt = {.each = take_release, .user = &r};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    char dir[500];

    HOLDS(v != NULL);
    (void)snprintf(dir, sizeof(dir), "%s/log", w.store);
    OK(vf_log_verify(dir, &opt, v, why));
    HOLDS(v->good);
    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        unsigned n = 0;
        for (unsigned row = 0; row < OFFICERS; row++) {
            HOLDS(r.of[part][row] || !s->given[part][row]);
            n += r.of[part][row];
        }
        HOLDS(n <= BUDGET);
    }
}

static void check_copy(const struct station *s)
{
    char dir[600], hex[2 * VF_HASH_LEN + 1];
    struct vf_note_key key;
    const struct vf_verify_options opt = {.signers = &key, .nsigners = 1, .log_id = &s->c.b.enrol.log_id};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));

    HOLDS(v != NULL);
    if (s->receipt == 0)
        return;
    vf_note_key_of(&s->c.b.enrol.device, &key);
    vf_hex(s->c.b.enrol.id.b, VF_HASH_LEN, hex);
    (void)snprintf(dir, sizeof(dir), "%s/devices/%s/log", w.store, hex);
    OK(vf_log_verify(dir, &opt, v, why));
    HOLDS(v->good && v->sealed >= s->receipt);
}

static void check_keys(void)
{
    VF_PREKEYS p = NULL;
    VF_BUF head = {0};
    char path[500];

    (void)snprintf(path, sizeof(path), "%s/prekeys/1", w.store);
    OK(vf_file_read(path, 16u << 20, &head, why));
    OK(vf_prekeys_open(path, head.data + 12, &p, why)); /* the store's id stands there */
    for (size_t i = 0; i < ndestroyed; i++) {
        struct vf_prekey_slot slot;
        OK(vf_prekeys_slot(p, destroyed[i], &slot, why));
        HOLDS(slot.state == VF_PREKEY_DESTROYED);
    }
}

/* Slots as they were at the beginning, over what the desk made of them. */
static void put_slots_back(void)
{
    char path[500], saved[400];
    VF_BUF file = {0};

    (void)snprintf(path, sizeof(path), "%s/prekeys/1", w.store);
    (void)place_path(&w.p, "slots", saved);
    OK(vf_file_read(round_ == 0 ? path : saved, 16u << 20, &file, why));
    if (round_ == 0) {
        OK(vf_file_write(saved, file.data, file.len, 0600, true, why));
        return;
    }
    /* The same file with its old bytes: another one would be noticed, and nothing be answered. */
    VF_FD fd = open(path, O_WRONLY | O_CLOEXEC);
    HOLDS(fd >= 0);
    OK(vf_fd_pwrite(fd, file.data, file.len, 0, path, why));
}

/* ------------------------------------------------------------------------------------------------------------------- one round */

static pid_t start_desk(const char *key)
{
    char wall[32], boot[32], first[16];
    int ours[CLIENTS], theirs[CLIENTS];

    for (int i = 0; i < CLIENTS; i++) {
        int fds[2];
        HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
        ours[i] = fds[0];
        theirs[i] = fcntl(fds[1], F_DUPFD_CLOEXEC, 200);
        (void)close(fds[1]);
        HOLDS(theirs[i] >= 0);
    }
    (void)snprintf(wall, sizeof(wall), "%lld", (long long)vf_clock_wall_us());
    (void)snprintf(boot, sizeof(boot), "%lld", (long long)vf_clock_boot_us());
    (void)snprintf(first, sizeof(first), "%d", 100);
    pid_t pid = fork();
    HOLDS(pid >= 0);
    if (pid == 0) {
        char program[] = "/proc/self/exe";
        for (int i = 0; i < CLIENTS; i++)
            if (dup2(theirs[i], 100 + i) < 0)
                _exit(126);
        char *const argv[] = {program, w.store, (char *)(uintptr_t)key, wall, boot, first, NULL};
        (void)execv(program, argv);
        _exit(127);
    }
    for (int i = 0; i < CLIENTS; i++) {
        (void)close(theirs[i]);
        stations[i].fd = ours[i];
    }
    return pid;
}

static void one_round(const char *key, unsigned *seed)
{
    pthread_t threads[CLIENTS];
    int status = 0;

    if (round_ % 7 == 0)
        put_slots_back();
    for (unsigned i = 0; i + 1 < CLIENTS; i++) {
        if (round_ % RENEWED != 0)
            continue;
        if (round_ > 0)
            desk_client_done(&stations[i].c);
        station_make(&stations[i], i, 20 * VF_DAY_US);
    }
    struct station *short_one = &stations[CLIENTS - 1];
    station_make(short_one, CLIENTS - 1, (5 + rand_r(seed) % 60) * VF_SECOND_US);
    atomic_store(&answered, 0);
    pid_t pid = start_desk(key);
    for (size_t i = 0; i < CLIENTS; i++)
        HOLDS(pthread_create(&threads[i], NULL, ask_on, &stations[i]) == 0);
    /* Now and then while it starts, else at work. */
    for (unsigned i = 0; round_ % 8 != 7 && i < 30000 && atomic_load(&answered) == 0; i++)
        (void)usleep(1000);
    (void)usleep(1000 + (unsigned)rand_r(seed) % 70000);
    HOLDS(kill(pid, SIGKILL) == 0);
    HOLDS(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (size_t i = 0; i < CLIENTS; i++) {
        HOLDS(pthread_join(threads[i], NULL) == 0);
        (void)close(stations[i].fd);
    }
    /* It comes up again by itself; the short grant is over by now. */
    fake_clock_pass(ROUND_US);
    desk_close(desk_open(&w));
    if (!short_one->first)
        destroyed[ndestroyed++] = short_one->c.i.f.grant.prekey_number;
    for (size_t i = 0; i < CLIENTS; i++) {
        check_releases(&stations[i]);
        check_copy(&stations[i]);
    }
    check_keys();
}

int main(int argc, char **argv)
{
    if (argc > 5)
        return serve(argv);
    unsigned kills = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 8;
    unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)getpid();
    uint64_t answers = 0, shares = 0;
    VF_BUF key = {.max = VF_IDENTITY_FILE_MAX};
    char path[400];

    (void)printf("seed %u\n", seed);
    if (desk_set_up(NULL) != 0)
        return 1;
    desk_world_make(&w, OFFICERS, PREKEYS, vf_clock_wall_us() + 60 * VF_DAY_US);
    OK(vf_identity_encode(w.desk, NULL, VF_ARGON2_DEFAULT, &key, why));
    put_file(&w.p, "desk.key", key.data, key.len);
    (void)place_path(&w.p, "desk.key", path);
    struct vf_desk *d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_close(d);
    for (round_ = 0; round_ < kills; round_++) {
        one_round(path, &seed);
        for (size_t i = 0; i < CLIENTS; i++) {
            answers += stations[i].answers;
            shares += stations[i].shares;
            stations[i].answers = stations[i].shares = 0;
        }
        desk_client_done(&stations[CLIENTS - 1].c);
    }
    for (size_t i = 0; i + 1 < CLIENTS; i++)
        desk_client_done(&stations[i].c);
    (void)printf("%u kills, %llu answers, %llu shares given, %zu keys destroyed\n", kills, (unsigned long long)answers,
                 (unsigned long long)shares, ndestroyed);
    HOLDS(answers > kills && shares > 0 && ndestroyed > 0);
    desk_world_done(&w);
    return desk_tear_down(NULL);
}
