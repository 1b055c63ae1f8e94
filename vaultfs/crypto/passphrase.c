/* SPDX-License-Identifier: MIT */
/* Where a passphrase comes from: a file, a command, systemd's credentials, the terminal. Never an argument or the environment. */
#include <vaultfs/crypto.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static enum vf_err take_line(int fd, const char *what, struct vf_passphrase *ret, struct vf_why *why)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, ret->text + len, sizeof(ret->text) - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s", what);
        len += (size_t)n;
        if (n == 0 || memchr(ret->text, '\n', len))
            break;
        if (len == sizeof(ret->text) - 1)
            return vf_fail(why, VF_E_LIMIT, "%s: the passphrase is longer than %zu bytes", what, sizeof(ret->text) - 1);
    }
    ret->len = strcspn(ret->text, "\r\n");
    if (ret->len > len)
        ret->len = len;
    vf_wipe(ret->text + ret->len, sizeof(ret->text) - ret->len);
    return ret->len ? VF_OK : vf_fail(why, VF_E_PASSPHRASE, "%s: no passphrase in it", what);
}

static enum vf_err from_file(const char *path, struct vf_passphrase *ret, struct vf_why *why)
{
    VF_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? vf_fail_sys(why, "%s", path) : take_line(fd, path, ret, why);
}

static enum vf_err from_command(const char *command, struct vf_passphrase *ret, struct vf_why *why)
{
    FILE *p = popen(command, "re");
    if (!p)
        return vf_fail_sys(why, "the passphrase command could not be started");
    enum vf_err err = take_line(fileno(p), "the passphrase command", ret, why);
    if (pclose(p) != 0 && !err)
        err = vf_fail(why, VF_E_PASSPHRASE, "the passphrase command failed");
    return err;
}

static enum vf_err ask_once(int tty, const char *prompt, const char *what, struct vf_passphrase *ret, struct vf_why *why)
{
    struct termios old, quiet;
    if (tcgetattr(tty, &old))
        return vf_fail_sys(why, "the terminal");
    (void)dprintf(tty, "%s %s: ", prompt, what);
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    (void)tcsetattr(tty, TCSAFLUSH, &quiet);
    enum vf_err err = take_line(tty, "the terminal", ret, why);
    (void)tcsetattr(tty, TCSAFLUSH, &old);
    (void)dprintf(tty, "\n");
    return err;
}

static enum vf_err from_terminal(const char *what, bool fresh, struct vf_passphrase *ret, struct vf_why *why)
{
    VF_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return vf_fail(why, VF_E_PASSPHRASE,
                       "%s: a passphrase is needed and there is no terminal to ask on; use --passphrase-file or --passphrase-command",
                       what);
    VF_TRY(ask_once(tty, fresh ? "New passphrase for" : "Passphrase for", what, ret, why));
    if (!fresh)
        return VF_OK;
    VF_SECRET struct vf_passphrase *again = vf_secret_new(sizeof(*again));
    if (!again)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for a passphrase");
    VF_TRY(ask_once(tty, "Once more, for", what, again, why));
    if (again->len != ret->len || !vf_equal(again->text, ret->text, sizeof(ret->text)))
        return vf_fail(why, VF_E_PASSPHRASE, "the two passphrases differ; nothing was changed");
    return VF_OK;
}

/* $CREDENTIALS_DIRECTORY/<file name of the key>.passphrase, as systemd's LoadCredential= provides it. */
static bool from_credentials(const char *what, struct vf_passphrase *ret, enum vf_err *ret_err, struct vf_why *why)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (!folder)
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

enum vf_err vf_passphrase_get(const struct vf_passphrase_source *source, const char *what, bool fresh, struct vf_passphrase *ret,
                              struct vf_why *why)
{
    enum vf_err err;
    if (source->file)
        return from_file(source->file, ret, why);
    if (source->command)
        return from_command(source->command, ret, why);
    if (from_credentials(what, ret, &err, why))
        return err;
    return from_terminal(what, fresh, ret, why);
}
