/* SPDX-License-Identifier: MIT */
/* The control socket: who may ask, what is answered, what is left by a mount that died. */
#include "station_test.h"

#include "../../vaultfs/station/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct place p;
static char runtime[400];

static int set_up(void **state)
{
    if (station_and_force(state, &p) != 0)
        return -1;
    if (mkdir(place_path(&p, "run", runtime), 0700) != 0 || setenv("XDG_RUNTIME_DIR", runtime, 1) != 0)
        return -1;
    return 0;
}

static int tear_down(void **state)
{
    return station_and_force_done(state, &p);
}

/* --------------------------------------------------------------------------------------------------- the side of the mount */

struct served { /* what a mount does, without the mount */
    struct vf_station *st;
    unsigned asked;
    enum vf_err fail;
};

static enum vf_err serve_status(void *user, struct vf_buf *out, struct vf_why *w)
{
    struct served *d = user;

    d->asked++;
    if (d->fail != VF_OK)
        return vf_fail(w, d->fail, "it failed as it was told to");
    vf_buf_text(out, "{\"big\":\"");
    for (unsigned i = 0; i < 200000; i++) /* several packets */
        vf_buf_u8(out, (uint8_t)('a' + i % 26));
    vf_buf_text(out, "\"}");
    return vf_buf_check(out, "the status", w);
}

static enum vf_err serve_receive(void *user, const struct vf_receive_file *files, size_t n,
                                 void (*told)(void *, const struct vf_received *), void *told_user, struct vf_why *w)
{
    struct served *d = user;

    d->asked++;
    return vf_station_receive(d->st, files, n, told, NULL, told_user, w);
}

static enum vf_err serve_seal(void *user, struct vf_why *w)
{
    struct served *d = user;

    d->asked++;
    return vf_log_seal(vf_station_log(d->st), w);
}

struct mount {
    struct site s;
    struct delivery d;
    struct served served;
    struct vf_control_server *server;
    char mountpoint[400];
};

static void mount_make(struct mount *m, const char *name)
{
    char folder[60];

    *m = (struct mount){0};
    site_make(&p, name, &m->s);
    struct vf_issue_options opt = site_options(&m->s, name);
    deliver(&p, &opt, &m->d);
    (void)snprintf(folder, sizeof(folder), "mnt-%s", name);
    if (mkdir(place_path(&p, folder, m->mountpoint), 0700) != 0)
        abort();
    m->served.st = site_open(&m->s, VF_STATION_MOUNT);
    const struct vf_control_ops ops = {
        .user = &m->served, .status = serve_status, .receive = serve_receive, .seal = serve_seal};
    OK(vf_control_start(m->served.st, m->mountpoint, &ops, &m->server, why));
}

static void mount_done(struct mount *m)
{
    vf_control_stop(m->server);
    site_close(m->served.st);
    delivery_done(&m->d);
    site_done(&m->s);
}

static struct vf_control *dial_station(const struct mount *m)
{
    struct vf_control *c = NULL;
    char mountpoint[400];

    OK(vf_control_connect(m->s.path, &c, mountpoint, sizeof(mountpoint), why));
    assert_string_equal(mountpoint, m->mountpoint);
    return c;
}

/* -------------------------------------------------------------------------------------------------------------------- answers */

static void not_mounted(void **state)
{
    struct vf_control *c = NULL;
    struct site s;
    char **list = NULL;
    size_t n = 99;

    (void)state;
    site_make(&p, "idle", &s);
    assert_int_equal(vf_control_connect(s.path, &c, NULL, 0, why), VF_E_NOT_FOUND);
    assert_int_equal(vf_control_connect_mount("/nowhere", &c, why), VF_E_NOT_FOUND);
    OK(vf_control_list(&list, &n, why));
    assert_int_equal(n, 0);
    free(list);
    assert_null(c);
    site_done(&s);
}

static void answers(void **state)
{
    struct mount m;
    VF_BUF doc = {0};
    char path[500];
    struct stat info;

    (void)state;
    mount_make(&m, "answers");
    (void)snprintf(path, sizeof(path), "%s/vaultfs", runtime);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    (void)snprintf(path, sizeof(path), "%s/mounted", m.s.path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    struct vf_control *c = dial_station(&m);
    vf_buf_init(&doc, 1 << 20);
    OK(vf_control_status(c, &doc, why));
    assert_int_equal(doc.len, 200000 + 10);
    assert_memory_equal(doc.data + doc.len - 2, "\"}", 2);
    m.served.fail = VF_E_DISK_FULL; /* errors arrive with their reason */
    vf_buf_reset(&doc);
    assert_int_equal(vf_control_status(c, &doc, why), VF_E_DISK_FULL);
    assert_string_equal(why->text, "it failed as it was told to");
    OK(vf_control_seal(c, why));
    vf_control_close(c);
    OK(vf_control_connect_mount(m.mountpoint, &c, why));
    vf_control_close(c);
    mount_done(&m);
    assert_int_not_equal(stat(path, &info), 0);
    (void)snprintf(path, sizeof(path), "%s/vaultfs", runtime);
    assert_int_equal(scratch_count(path), 0);
}

static void several_mounts(void **state)
{
    struct mount a, b;
    char **list = NULL;
    size_t n = 0;

    (void)state;
    mount_make(&a, "one-force");
    mount_make(&b, "two-force");
    OK(vf_control_list(&list, &n, why));
    assert_int_equal(n, 2);
    bool first = strcmp(list[0], a.mountpoint) == 0;
    assert_string_equal(list[first ? 0 : 1], a.mountpoint);
    assert_string_equal(list[first ? 1 : 0], b.mountpoint);
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
    mount_done(&a);
    mount_done(&b);
}

static void keep(void *user, const struct vf_received *one)
{
    struct told *t = user;

    t->one[t->n] = *one;
    (void)snprintf(t->name[t->n], sizeof(t->name[0]), "%s", one->name);
    t->n++;
}

static void received_through_it(void **state)
{
    struct mount m;
    struct told told = {0};
    struct vf_receive_file files[40];

    (void)state;
    mount_make(&m, "through");
    put_file(&p, "through.junk", "junk", 4);
    char junk[400];
    const char *const paths[] = {m.d.bundle, place_path(&p, "through.junk", junk), m.d.grant};
    for (unsigned i = 0; i < 3; i++)
        files[i] = (struct vf_receive_file){.fd = open(paths[i], O_RDONLY | O_CLOEXEC), .name = paths[i]};
    struct vf_control *c = dial_station(&m);
    assert_int_equal(vf_control_receive(c, files, 3, keep, &told, why), VF_E_PARTIAL);
    assert_int_equal(told.n, 3);
    assert_string_equal(told.name[0], m.d.grant);
    assert_int_equal(told.one[0].err, VF_OK);
    assert_string_equal(told.name[1], m.d.bundle);
    assert_int_equal(told.one[1].values, OFFICERS * 9);
    assert_int_equal(told.one[1].kind, VF_ARTEFACT_BUNDLE);
    assert_int_equal(told.one[2].err, VF_E_FORMAT);
    assert_int_equal(reads_all(m.served.st, &p, "through"), OFFICERS * 9);
    /* A single refused file: its own error and text. */
    told = (struct told){0};
    assert_int_equal(vf_control_receive(c, files + 1, 1, keep, &told, why), VF_E_FORMAT);
    assert_non_null(strstr(told.one[0].text, "through.junk"));
    /* Too many at once. */
    for (unsigned i = 3; i < 40; i++)
        files[i] = files[0];
    assert_int_equal(vf_control_receive(c, files, 33, keep, &told, why), VF_E_LIMIT);
    assert_int_equal(vf_control_receive(c, files, 0, keep, &told, why), VF_E_LIMIT);
    for (unsigned i = 0; i < 3; i++)
        (void)close(files[i].fd);
    vf_control_close(c);
    mount_done(&m);
}

/* ------------------------------------------------------------------------------------------------------------------ bad clients */

static struct sockaddr_un address_of(const struct mount *m)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;

    if (stat(m->s.path, &info) != 0)
        abort();
    int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/vaultfs/%llx-%llx", runtime,
                     (unsigned long long)info.st_dev, (unsigned long long)info.st_ino);
    if (n < 0 || (size_t)n >= sizeof(address.sun_path))
        abort();
    return address;
}

static int dial_raw(const struct mount *m)
{
    const struct sockaddr_un address = address_of(m);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (const struct sockaddr *)&address, sizeof(address)) != 0)
        abort();
    return sock;
}

/* The error that the answer says; -1 when it hung up without one. */
static int ask_raw(const struct mount *m, const void *packet, size_t len)
{
    char answer[4096];
    int err = -1;
    int sock = dial_raw(m);

    if (send(sock, packet, len, MSG_NOSIGNAL) != (ssize_t)len)
        abort();
    for (;;) {
        ssize_t n = recv(sock, answer, sizeof(answer) - 1, 0);
        if (n <= 0)
            break;
        answer[n] = '\0';
        if (answer[0] == 'E')
            err = atoi(answer + strlen("E{\"err\":"));
    }
    (void)close(sock);
    return err;
}

static void bad_requests(void **state)
{
    static const struct {
        const char *packet;
        int err;
    } bad[] = {
        {"Q{\"v\":1,\"do\":\"status\"}", VF_OK},
        {"Q{\"v\":2,\"do\":\"status\"}", VF_E_VERSION},
        {"Q{\"v\":1,\"do\":\"format the disk\"}", VF_E_VERSION},
        {"Q{\"v\":1}", VF_E_VERSION},
        {"Q{\"v\":1,\"do\":7}", VF_E_VERSION},
        {"Q[]", VF_E_VERSION},
        {"Qnonsense", VF_E_VERSION},
        {"Q", VF_E_VERSION},
        {"Q{\"v\":1,\"do\":\"status\",\"do\":\"seal\"}", VF_E_VERSION},
        {"Q{\"v\":1,\"do\":\"receive\"}", VF_E_FORMAT},
        {"Q{\"v\":1,\"do\":\"receive\",\"names\":[]}", VF_E_FORMAT},
        {"Q{\"v\":1,\"do\":\"receive\",\"names\":[\"a file without a descriptor\"]}", VF_E_FORMAT},
        {"Q{\"v\":1,\"do\":\"receive\",\"names\":7}", VF_E_FORMAT},
        {"X{\"v\":1,\"do\":\"status\"}", -1},
        {"E{\"err\":0}", -1},
    };
    static char huge[VF_CONTROL_PACKET + 5000];
    struct mount m;

    (void)state;
    mount_make(&m, "bad");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(ask_raw(&m, bad[i].packet, strlen(bad[i].packet)), bad[i].err);
    memset(huge, 'Q', sizeof(huge));
    assert_int_equal(ask_raw(&m, huge, sizeof(huge)), -1);
    /* Who says nothing, or goes away at once, keeps nobody else. */
    (void)close(dial_raw(&m));
    assert_int_equal(ask_raw(&m, bad[0].packet, strlen(bad[0].packet)), VF_OK);
    mount_done(&m);
}

/* Every byte of a request changed: answered with an error, or hung up on, and the next one is served. */
static void mutated_requests(void **state)
{
    static const char good[] = "Q{\"v\":1,\"do\":\"receive\",\"names\":[\"x\"]}";
    struct mount m;
    char packet[sizeof(good)];

    (void)state;
    mount_make(&m, "mutated-requests");
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(packet, good, sizeof(good));
            packet[at] = (char)(packet[at] ^ (1 << bit));
            int err = ask_raw(&m, packet, sizeof(good) - 1);
            assert_true(err == -1 || err == VF_E_VERSION || err == VF_E_FORMAT);
        }
    }
    mount_done(&m);
}

/* More than there is room for, and none of them says a word: who does is answered all the same, and the mount can end. */
static void silent_clients(void **state)
{
    static const char request[] = "Q{\"v\":1,\"do\":\"status\"}";
    struct mount m;
    int silent[20];

    (void)state;
    mount_make(&m, "silent");
    for (unsigned i = 0; i < 20; i++)
        silent[i] = dial_raw(&m);
    struct timespec from, to;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(ask_raw(&m, request, sizeof(request) - 1), VF_OK);
    mount_done(&m);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_in_range(to.tv_sec - from.tv_sec, 0, 4);
    for (unsigned i = 0; i < 20; i++)
        (void)close(silent[i]);
}

/* Asks for 200 KB and reads none of it: the end of the mount does not wait for it. */
static void deaf_client(void **state)
{
    static const char request[] = "Q{\"v\":1,\"do\":\"status\"}";
    struct mount m;
    struct timespec from, to;
    int small = 4096;

    (void)state;
    mount_make(&m, "deaf");
    int sock = dial_raw(&m);
    (void)setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(send(sock, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    for (unsigned i = 0; i < 200 && m.served.asked == 0; i++)
        (void)usleep(10000);
    assert_int_equal(m.served.asked, 1);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    mount_done(&m);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_in_range(to.tv_sec - from.tv_sec, 0, 4);
    (void)close(sock);
}

/* What lies on another filesystem, which may hang: the mount does not touch it, the client makes a copy beside the station. */
static void only_from_its_own_disk(void **state)
{
    static const char request[] = "Q{\"v\":1,\"do\":\"receive\",\"names\":[\"x\"]}";
    struct mount m;
    struct told told = {0};
    size_t len = 0;
    int pipes[2];

    (void)state;
    mount_make(&m, "disk");
    VF_FREE char *grant = get_file(m.d.grant, &len);
    int elsewhere = memfd_create("elsewhere", MFD_CLOEXEC);
    assert_true(elsewhere >= 0 && pipe(pipes) == 0);
    assert_int_equal(write(elsewhere, grant, len), len);
    for (unsigned i = 0; i < 2; i++) {
        const int fd = i == 0 ? elsewhere : pipes[0];
        char answer[4096] = "";
        int sock = dial_raw(&m);
        assert_true(vf_control_send(sock, request[0], request + 1, sizeof(request) - 2, &fd, 1));
        assert_true(recv(sock, answer, sizeof(answer) - 1, 0) > 0);
        assert_int_equal(atoi(answer + strlen("E{\"err\":")), i == 0 ? VF_E_UNSUPPORTED : VF_E_INPUT);
        (void)close(sock);
    }
    assert_int_equal(m.served.asked, 0);
    struct vf_control *c = dial_station(&m);
    unsigned files = scratch_count(m.s.path);
    const struct vf_receive_file file = {.fd = elsewhere, .name = "a stick/the.grant"};
    OK(vf_control_receive(c, &file, 1, keep, &told, why));
    assert_string_equal(told.name[0], "a stick/the.grant");
    assert_int_equal(told.one[0].kind, VF_ARTEFACT_GRANT);
    assert_int_equal(scratch_count(m.s.path), files);
    vf_control_close(c);
    (void)close(elsewhere);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    mount_done(&m);
}

static unsigned descriptors_of(int fd)
{
    struct stat of, st;
    unsigned n = 0;
    assert_int_equal(fstat(fd, &of), 0);
    for (int i = 0; i < 1024; i++)
        n += fstat(i, &st) == 0 && st.st_dev == of.st_dev && st.st_ino == of.st_ino;
    return n;
}

/* Descriptors that come with a request are closed, whatever it was. */
static void no_descriptor_stays(void **state)
{
    static const char request[] = "Q{\"v\":1,\"do\":\"status\"}";
    struct mount m;
    int fds[VF_CONTROL_FILES];

    (void)state;
    mount_make(&m, "descriptors");
    int sent = open(m.s.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* which nobody else has open */
    assert_true(sent >= 0);
    for (unsigned i = 0; i < VF_CONTROL_FILES; i++)
        fds[i] = sent;
    for (unsigned i = 0; i < 20; i++) {
        char answer[4096];
        int sock = dial_raw(&m);
        assert_true(vf_control_send(sock, request[0], request + 1, sizeof(request) - 2, fds, VF_CONTROL_FILES));
        while (recv(sock, answer, sizeof(answer), 0) > 0)
            ;
        (void)close(sock);
    }
    /* The server may be about to close those of the last one. */
    for (unsigned i = 0; i < 500 && descriptors_of(sent) != 1; i++)
        (void)usleep(10000);
    assert_int_equal(descriptors_of(sent), 1);
    (void)close(sent);
    mount_done(&m);
}

/* ----------------------------------------------------------------------------------------------------------- what is left over */

static void a_mount_that_died(void **state)
{
    struct mount m;
    struct vf_control *c = NULL;
    char **list = NULL;
    size_t n = 99;

    (void)state;
    mount_make(&m, "died");
    vf_control_stop(m.server);
    /* Its markers, as a killed one leaves them; a socket that nobody listens on. */
    char path[500], marker[900];
    (void)snprintf(marker, sizeof(marker), "{\"pid\":1,\"mountpoint\":\"%s\",\"socket\":\"%s/vaultfs/dead\"}\n",
                   m.mountpoint, runtime);
    (void)snprintf(path, sizeof(path), "%s/mounted", m.s.path);
    OK(vf_file_write(path, marker, strlen(marker), 0600, true, why));
    (void)snprintf(path, sizeof(path), "%s/vaultfs/dead.json", runtime);
    OK(vf_file_write(path, marker, strlen(marker), 0600, true, why));
    assert_int_equal(vf_control_connect(m.s.path, &c, NULL, 0, why), VF_E_NOT_FOUND);
    assert_int_equal(vf_control_connect_mount(m.mountpoint, &c, why), VF_E_NOT_FOUND);
    OK(vf_control_list(&list, &n, why));
    assert_int_equal(n, 0);
    free(list);
    /* Rubbish in a marker is no mount. */
    OK(vf_file_write(path, "{\"socket\":7}", 12, 0600, true, why));
    OK(vf_control_list(&list, &n, why));
    assert_int_equal(n, 0);
    free(list);
    /* The next mount takes its place. */
    const struct vf_control_ops ops = {
        .user = &m.served, .status = serve_status, .receive = serve_receive, .seal = serve_seal};
    OK(vf_control_start(m.served.st, m.mountpoint, &ops, &m.server, why));
    vf_control_close(dial_station(&m));
    mount_done(&m);
    (void)unlink(path);
}

static void the_folder_is_ours(void **state)
{
    struct mount m;
    char path[500];

    (void)state;
    mount_make(&m, "folder");
    vf_control_stop(m.server);
    m.server = NULL;
    (void)snprintf(path, sizeof(path), "%s/vaultfs", runtime);
    assert_int_equal(chmod(path, 0755), 0);
    const struct vf_control_ops ops = {
        .user = &m.served, .status = serve_status, .receive = serve_receive, .seal = serve_seal};
    assert_int_equal(vf_control_start(m.served.st, m.mountpoint, &ops, &m.server, why), VF_E_DENIED);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/tmp", path), 0); /* a link to somewhere else */
    assert_int_equal(vf_control_start(m.served.st, m.mountpoint, &ops, &m.server, why), VF_E_DENIED);
    assert_int_equal(unlink(path), 0);
    OK(vf_control_start(m.served.st, m.mountpoint, &ops, &m.server, why));
    mount_done(&m);
}

/* Another user, even one who can reach the socket, is not answered. Only root can try. */
static void other_users(void **state)
{
    static const char request[] = "Q{\"v\":1,\"do\":\"status\"}";
    struct mount m;
    int status = 0;

    (void)state;
    if (geteuid() != 0) {
        print_message("not root: cannot be another user; the mounted tests are root's and one user's\n");
        return;
    }
    mount_make(&m, "users");
    char folder[500];
    (void)snprintf(folder, sizeof(folder), "%s/vaultfs", runtime);
    assert_int_equal(chmod(p.dir.path, 0755), 0);
    assert_int_equal(chmod(runtime, 0755), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    const struct sockaddr_un address = address_of(&m);
    assert_int_equal(chmod(address.sun_path, 0777), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char answer[100];
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(3);
        int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (s < 0 || connect(s, (const struct sockaddr *)&address, sizeof(address)) != 0)
            _exit(4);
        (void)send(s, request, sizeof(request) - 1, MSG_NOSIGNAL);
        _exit(recv(s, answer, sizeof(answer), 0) <= 0 ? 0 : 5);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(m.served.asked, 0);
    assert_int_equal(chmod(folder, 0700), 0);
    mount_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_mounted),
        cmocka_unit_test(answers),
        cmocka_unit_test(several_mounts),
        cmocka_unit_test(received_through_it),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(mutated_requests),
        cmocka_unit_test(no_descriptor_stays),
        cmocka_unit_test(a_mount_that_died),
        cmocka_unit_test(the_folder_is_ours),
        cmocka_unit_test(other_users),
        cmocka_unit_test(silent_clients),
        cmocka_unit_test(deaf_client),
        cmocka_unit_test(only_from_its_own_disk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
