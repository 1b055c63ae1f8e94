/* SPDX-License-Identifier: MIT */
/* Where a passphrase comes from: a file, a command, systemd's credentials, the terminal. Never an argument or the environment. */
#include "vaultfs/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define CANCEL '\003' /* Ctrl-C, taken as a character while a passphrase is typed */

/* Up to the first newline or the end. On failure `ret` is wiped. */
static enum vf_err read_line(int fd, bool typed, const char *what, struct vf_passphrase *ret, struct vf_why *why)
{
    const size_t room = sizeof(ret->text) - 1;
    const char *end = NULL;
    size_t len = 0;

    vf_wipe(ret, sizeof(*ret));
    while (end == NULL) {
        if (len == room)
            return vf_fail(why, VF_E_LIMIT, "%s: the passphrase is longer than %zu bytes", what, room - 1);
        ssize_t n = read(fd, ret->text + len, room - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s: cannot read a passphrase", what);
        if (n == 0)
            break;
        end = memchr(ret->text + len, '\n', (size_t)n);
        len += (size_t)n;
        if (typed && ret->text[len - 1] == CANCEL)
            return vf_fail(why, VF_E_PASSPHRASE, "%s: cancelled", what);
    }
    if (end != NULL)
        len = (size_t)(end - ret->text);
    if (len > 0 && ret->text[len - 1] == '\r')
        len--;
    vf_wipe(ret->text + len, sizeof(ret->text) - len);
    if (len == 0)
        return vf_fail(why, VF_E_PASSPHRASE, "%s: no passphrase in it", what);
    if (memchr(ret->text, '\0', len) != NULL)
        return vf_fail(why, VF_E_INPUT, "%s: a passphrase has no zero byte in it", what);
    ret->len = len;
    return VF_OK;
}

static enum vf_err take_line(int fd, bool typed, const char *what, struct vf_passphrase *ret, struct vf_why *why)
{
    enum vf_err err = read_line(fd, typed, what, ret, why);

    if (err != VF_OK)
        vf_wipe(ret, sizeof(*ret));
    return err;
}

static enum vf_err from_file(const char *path, struct vf_passphrase *ret, struct vf_why *why)
{
    VF_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    return fd < 0 ? vf_fail_sys(why, "%s: cannot open the passphrase file", path) : take_line(fd, false, path, ret, why);
}

/* Let the command write all it wants: closed too early, it would die of SIGPIPE and look as if it had failed. */
static void drain(int fd)
{
    char rest[512];
    ssize_t n;

    do {
        n = read(fd, rest, sizeof(rest));
    } while (n > 0 || (n < 0 && errno == EINTR));
    vf_wipe(rest, sizeof(rest));
}

static enum vf_err from_command(const char *command, struct vf_passphrase *ret, struct vf_why *why)
{
    FILE *p = popen(command, "re");
    if (p == NULL)
        return vf_fail_sys(why, "the passphrase command could not be started");
    enum vf_err err = take_line(fileno(p), false, "the passphrase command", ret, why);
    drain(fileno(p));
    if (pclose(p) != 0) {
        vf_wipe(ret, sizeof(*ret));
        return vf_fail(why, VF_E_PASSPHRASE, "the passphrase command failed: run it by hand to see why");
    }
    return err;
}

static enum vf_err ask_once(int tty, const char *prompt, const char *what, struct vf_passphrase *ret, struct vf_why *why)
{
    struct termios old;
    struct termios quiet;

    if (tcgetattr(tty, &old) != 0)
        return vf_fail_sys(why, "the terminal");
    quiet = old;
    /* Without ISIG, and Ctrl-C ends the line: an interrupted program would leave the terminal without echo. */
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL | ISIG);
    quiet.c_lflag |= ICANON;
    quiet.c_cc[VEOL] = CANCEL;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
        return vf_fail_sys(why, "the terminal");
    /* Only now: what was typed before was thrown away. */
    (void)dprintf(tty, "%s %s: ", prompt, what);
    enum vf_err err = take_line(tty, true, "the terminal", ret, why);
    (void)tcsetattr(tty, TCSAFLUSH, &old);
    (void)dprintf(tty, "\n");
    return err;
}

static enum vf_err from_terminal(const char *what, bool fresh, struct vf_passphrase *ret, struct vf_why *why)
{
    VF_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return vf_fail(
            why, VF_E_PASSPHRASE,
            "%s: a passphrase is needed and there is no terminal to ask on; use --passphrase-file or --passphrase-command",
            what);
    VF_TRY(ask_once(tty, fresh ? "New passphrase for" : "Passphrase for", what, ret, why));
    if (!fresh)
        return VF_OK;
    VF_SECRET struct vf_passphrase *again = vf_secret_new(sizeof(*again));
    if (again == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for a passphrase");
    VF_TRY(ask_once(tty, "Once more, for", what, again, why));
    if (again->len != ret->len || !vf_equal(again->text, ret->text, sizeof(ret->text))) {
        vf_wipe(ret, sizeof(*ret));
        return vf_fail(why, VF_E_PASSPHRASE, "the two passphrases differ; nothing was changed");
    }
    return VF_OK;
}

/* $CREDENTIALS_DIRECTORY/<file name of the key>.passphrase, as systemd's LoadCredential= provides it. */
static bool from_credentials(const char *what, struct vf_passphrase *ret, enum vf_err *ret_err, struct vf_why *why)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (folder == NULL)
        return false;
    const char *slash = strrchr(what, '/');
    VF_BUF path;
    vf_buf_init(&path, 8192);
    vf_buf_fmt(&path, "%s/%s.passphrase", folder, slash && slash[1] ? slash + 1 : what);
    const char *file = vf_buf_cstr(&path);
    if (!file || access(file, R_OK))
        return false;
    *ret_err = from_file(file, ret, why);
    return true;
}

enum vf_err vf_passphrase_get(const struct vf_passphrase_source *source, const char *what, bool fresh,
                              struct vf_passphrase *ret, struct vf_why *why)
{
    enum vf_err err;
    if (source->file != NULL)
        return from_file(source->file, ret, why);
    if (source->command != NULL)
        return from_command(source->command, ret, why);
    if (from_credentials(what, ret, &err, why))
        return err;
    return from_terminal(what, fresh, ret, why);
}
