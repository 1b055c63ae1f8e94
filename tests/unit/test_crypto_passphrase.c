/* SPDX-License-Identifier: MIT */
/* Passphrases from a file, a command, systemd's credentials and a terminal. */
#include "crypto_test.h"

#include "scratch.h"

#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

static struct scratch dir;
static struct vf_passphrase *pass;

static int set_up(void **state)
{
    scratch_make(&dir);
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    if (with_crypto(state) != 0)
        return -1;
    pass = vf_secret_new(sizeof(*pass));
    return pass != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    scratch_remove(&dir);
    return without_crypto(state);
}

static void assert_pass(const char *want)
{
    assert_int_equal(pass->len, strlen(want));
    assert_memory_equal(pass->text, want, pass->len);
    assert_true(is_zero(pass->text + pass->len, sizeof(pass->text) - pass->len));
}

static enum vf_err get_from_file(const char *content, size_t len)
{
    char path[300];
    struct vf_passphrase_source source = {scratch_path(&dir, "p", path, sizeof(path)), NULL};
    struct vf_why why = {0};

    OK(vf_file_write(path, content, len, 0600, true, NULL));
    memset(pass, 'x', sizeof(*pass));
    enum vf_err err = vf_passphrase_get(&source, "a.key", false, pass, &why);
    assert_int_equal(err, why.err);
    if (err != VF_OK)
        assert_true(is_zero(pass, sizeof(*pass)));
    return err;
}

static void the_first_line_of_a_file(void **state)
{
    static const struct {
        const char *content;
        const char *pass;
    } good[] = {
        {"secret", "secret"},         {"secret\n", "secret"},           {"secret\r\n", "secret"},
        {"first\nsecond\n", "first"}, {" two words \n", " two words "}, {"p\xc3\xa4ss\n", "p\xc3\xa4ss"},
        {"a\003\n", "a\003"},
    };
    char most[1100];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        OK(get_from_file(good[i].content, strlen(good[i].content)));
        assert_pass(good[i].pass);
    }
    memset(most, 'a', sizeof(most));
    OK(get_from_file(most, 1022));
    assert_int_equal(pass->len, 1022);
    most[1022] = '\n';
    OK(get_from_file(most, sizeof(most)));
    assert_int_equal(pass->len, 1022);
    most[1022] = 'a';
    assert_int_equal(get_from_file(most, 1023), VF_E_LIMIT);
    assert_int_equal(get_from_file(most, sizeof(most)), VF_E_LIMIT);
    assert_int_equal(get_from_file("", 0), VF_E_PASSPHRASE);
    assert_int_equal(get_from_file("\n", 1), VF_E_PASSPHRASE);
    assert_int_equal(get_from_file("\r\n", 2), VF_E_PASSPHRASE);
    assert_int_equal(get_from_file("\nsecond\n", 8), VF_E_PASSPHRASE);
    assert_int_equal(get_from_file("a\0b\n", 4), VF_E_INPUT);
    struct vf_passphrase_source none = {"/nonexistent/p", NULL};
    assert_int_equal(vf_passphrase_get(&none, "a.key", false, pass, NULL), VF_E_NOT_FOUND);
}

static void the_output_of_a_command(void **state)
{
    struct vf_passphrase_source source = {NULL, "echo from-a-command"};

    (void)state;
    OK(vf_passphrase_get(&source, "a.key", false, pass, NULL));
    assert_pass("from-a-command");
    /* One that goes on writing for long is no failure. */
    source.command =
        "echo first; i=0; while [ $i -lt 3000 ]; do echo 012345678901234567890123456789 || exit 1; i=$((i+1)); done";
    OK(vf_passphrase_get(&source, "a.key", false, pass, NULL));
    assert_pass("first");
    source.command = "echo secret; exit 3";
    assert_int_equal(vf_passphrase_get(&source, "a.key", false, pass, NULL), VF_E_PASSPHRASE);
    assert_true(is_zero(pass, sizeof(*pass)));
    source.command = "true";
    assert_int_equal(vf_passphrase_get(&source, "a.key", false, pass, NULL), VF_E_PASSPHRASE);
    source.command = "exec /nonexistent/command 2>/dev/null";
    assert_int_equal(vf_passphrase_get(&source, "a.key", false, pass, NULL), VF_E_PASSPHRASE);
}

static void credentials_of_systemd(void **state)
{
    struct vf_passphrase_source none = {NULL, NULL};
    char path[300];

    (void)state;
    OK(vf_file_write(scratch_path(&dir, "a.key.passphrase", path, sizeof(path)), "from-systemd\n", 13, 0600, true, NULL));
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir.path, 1), 0);
    OK(vf_passphrase_get(&none, "/etc/keys/a.key", false, pass, NULL));
    assert_pass("from-systemd");
    OK(vf_passphrase_get(&none, "a.key", false, pass, NULL));
    /* An option goes before. */
    struct vf_passphrase_source command = {NULL, "echo other"};
    OK(vf_passphrase_get(&command, "a.key", false, pass, NULL));
    assert_pass("other");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

/* ----------------------------------------------------------------------------------------------------------------- terminal */

struct typing {
    const char *keys; /* '|' : wait for the next prompt */
    bool fresh;
    enum vf_err err;
    const char *pass;
    int slave;
};

static void at_the_terminal(void *arg)
{
    const struct typing *t = arg;
    struct vf_passphrase_source none = {NULL, NULL};
    struct termios now;
    struct vf_why why = {0};

    CHILD_CHECK(setsid() > 0);
    if (t->slave >= 0)
        CHILD_CHECK(ioctl(t->slave, TIOCSCTTY, 0) == 0);
    vf_crypto_done();
    CHILD_CHECK(vf_crypto_init(VF_ARENA_TOOL, NULL) == VF_OK);
    struct vf_passphrase *own = vf_secret_new(sizeof(*own));
    CHILD_CHECK(vf_passphrase_get(&none, "a.key", t->fresh, own, &why) == t->err);
    if (t->err == VF_OK)
        CHILD_CHECK(own->len == strlen(t->pass) && memcmp(own->text, t->pass, own->len) == 0);
    if (t->slave >= 0) {
        CHILD_CHECK(tcgetattr(t->slave, &now) == 0);
        CHILD_CHECK((now.c_lflag & (ECHO | ISIG | ICANON)) == (ECHO | ISIG | ICANON) && now.c_cc[VEOL] != 3);
    }
    vf_crypto_done();
}

/* Everything the terminal shows is gathered in `shown`; a key is pressed when the prompt for it has come. */
static void type_and_watch(int master, const char *keys, char *shown, size_t size)
{
    size_t len = 0;
    unsigned prompts = 0;
    unsigned wanted = 1;

    for (;;) {
        ssize_t n = read(master, shown + len, size - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        shown[len] = '\0';
        prompts = 0;
        for (const char *p = shown; (p = strstr(p, "a.key: ")) != NULL; p++)
            prompts++;
        while (prompts >= wanted && *keys != '\0') {
            size_t part = strcspn(keys, "|");
            assert_int_equal(write(master, keys, part), part);
            keys += part + (keys[part] == '|' ? 1 : 0);
            wanted++;
        }
    }
}

static void a_terminal(void **state)
{
    static const struct typing all[] = {
        {"typed secret\n", false, VF_OK, "typed secret", 0},
        {"new one\n|new one\n", true, VF_OK, "new one", 0},
        {"new one\n|another\n", true, VF_E_PASSPHRASE, NULL, 0},
        {"half \003", false, VF_E_PASSPHRASE, NULL, 0},
        {"\n", false, VF_E_PASSPHRASE, NULL, 0},
        {"\004", false, VF_E_PASSPHRASE, NULL, 0},
        {"wrong\177\177\177\177\177right\n", false, VF_OK, "right", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct typing t = all[i];
        char shown[2000] = "";
        int master = -1;
        int status = 0;
        assert_int_equal(openpty(&master, &t.slave, NULL, NULL, NULL), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)close(master);
            at_the_terminal(&t);
            _exit(0);
        }
        (void)close(t.slave);
        type_and_watch(master, t.keys, shown, sizeof(shown));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_null(strstr(shown, "secret"));
        assert_null(strstr(shown, "one"));
        assert_null(strstr(shown, "right"));
        assert_non_null(strstr(shown, t.fresh ? "New passphrase for a.key: " : "Passphrase for a.key: "));
        (void)close(master);
    }
}

static void no_terminal(void **state)
{
    struct typing t = {"", false, VF_E_PASSPHRASE, NULL, -1};

    (void)state;
    assert_child_ok(at_the_terminal, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_line_of_a_file),
        cmocka_unit_test(the_output_of_a_command),
        cmocka_unit_test(credentials_of_systemd),
        cmocka_unit_test(a_terminal),
        cmocka_unit_test(no_terminal),
    };

    return cmocka_run_group_tests_name("crypto passphrase", tests, set_up, tear_down);
}
