/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: vaultfs [options] STATION MOUNTPOINT\n"
    "       vaultfs status MOUNTPOINT | vaultfs status --all\n"
    "\n"
    "Shows the records of a station's live grants as ordinary files, read-only, until the grants end.\n"
    "\n"
    "  -f, --foreground             stay in the foreground\n"
    "      --job JOB                only this job, at the root of the mount\n"
    "      --passphrase-file F      the station's passphrase is the first line of F\n"
    "      --passphrase-command C   the station's passphrase is what C prints\n"
    "      --request R              no network: what online grants need is written to R, for the key desk\n"
    "      --answer A               and its answer is taken from A\n"
    "  -o OPTION[,OPTION]...        mount options:\n"
    "         allow_other           other users may read too\n"
    "         uid=N, gid=N          owner of the files\n"
    "         path-prefix=TEXT      what photo_path in cards.csv begins with (default: the mount point)\n"
    "         cache=close|grant     forget pages at the last close (default), or at the end of the grant\n"
    "         passphrase-file=F     as above\n"
    "         job=JOB               as above\n"
    "      --version, --help\n"
    "\n"
    "Unmount with: fusermount3 -u MOUNTPOINT\n";

enum { OPT_REQUEST = 512, OPT_ANSWER };
enum { OPT_JOB = 256, OPT_PASS_FILE, OPT_PASS_COMMAND, OPT_VERSION, OPT_HELP };
static const struct option long_options[] = {
    {"foreground", no_argument, NULL, 'f'},
    {"job", required_argument, NULL, OPT_JOB},
    {"passphrase-file", required_argument, NULL, OPT_PASS_FILE},
    {"passphrase-command", required_argument, NULL, OPT_PASS_COMMAND},
    {"request", required_argument, NULL, OPT_REQUEST},
    {"answer", required_argument, NULL, OPT_ANSWER},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool set(char **slot, const char *value)
{
    free(*slot);
    *slot = strdup(value);
    return *slot != NULL;
}

static int VF_PRINTF(1, 2) wrong(const char *fmt, ...)
{
    va_list args;
    (void)fprintf(stderr, "vaultfs: ");
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fprintf(stderr, "; see vaultfs --help\n");
    return vf_err_exit(VF_E_USAGE);
}

/* What mount(8) and fstab hand to every filesystem; ours is always ro,nosuid,nodev,noexec. */
static bool generic_option(const char *o)
{
    static const char *const known[] = {"rw",         "ro",
                                        "dev",        "nodev",
                                        "suid",       "nosuid",
                                        "exec",       "noexec",
                                        "auto",       "noauto",
                                        "user",       "nouser",
                                        "users",      "nofail",
                                        "defaults",   "_netdev",
                                        "async",      "noatime",
                                        "atime",      "relatime",
                                        "nodiratime", "default_permissions"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(o, known[i]) == 0)
            return true;
    return strncmp(o, "x-", 2) == 0 || strncmp(o, "comment=", 8) == 0;
}

static bool id_option(const char *text, unsigned *ret)
{
    uint64_t v;
    if (!vf_uint_parse(text, strlen(text), UINT32_MAX - 1, &v))
        return false;
    *ret = (unsigned)v;
    return true;
}

/* One of the words after -o. 0 or an exit status. */
static int mount_option(struct vf_mount_options *ret, const char *o)
{
    bool good = true;
    if (*o == '\0' || generic_option(o))
        return 0;
    if (strcmp(o, "allow_other") == 0)
        ret->allow_other = true;
    else if (strncmp(o, "uid=", 4) == 0)
        good = id_option(o + 4, &ret->uid);
    else if (strncmp(o, "gid=", 4) == 0)
        good = id_option(o + 4, &ret->gid);
    else if (strncmp(o, "path-prefix=", 12) == 0)
        good = vf_text_printable(o + 12, strlen(o + 12)) && strlen(o + 12) <= 4096 && set(&ret->path_prefix, o + 12);
    else if (strcmp(o, "cache=close") == 0)
        ret->cache_grant = false;
    else if (strcmp(o, "cache=grant") == 0)
        ret->cache_grant = true;
    else if (strncmp(o, "passphrase-file=", 16) == 0)
        good = set(&ret->passphrase_file, o + 16);
    else if (strncmp(o, "job=", 4) == 0)
        good = set(&ret->job, o + 4);
    else
        return wrong("unknown mount option \"%s\"", o);
    return good ? 0 : wrong("the mount option \"%s\" cannot be used", o);
}

static int mount_options(struct vf_mount_options *ret, const char *list)
{
    VF_FREE char *copy = strdup(list);
    if (!copy)
        return 1;
    char *state = NULL;
    for (char *o = strtok_r(copy, ",", &state); o; o = strtok_r(NULL, ",", &state)) {
        int status = mount_option(ret, o);
        if (status)
            return status;
    }
    return 0;
}

static int one_option(struct vf_mount_options *ret, int c, const char *program)
{
    switch (c) {
    case 'f':
        ret->foreground = true;
        return 0;
    case 'o':
        return mount_options(ret, optarg);
    case OPT_JOB:
        return set(&ret->job, optarg) ? 0 : 1;
    case OPT_PASS_FILE:
        return set(&ret->passphrase_file, optarg) ? 0 : 1;
    case OPT_PASS_COMMAND:
        return set(&ret->passphrase_command, optarg) ? 0 : 1;
    case OPT_REQUEST:
        return set(&ret->request, optarg) ? 0 : 1;
    case OPT_ANSWER:
        return set(&ret->answer, optarg) ? 0 : 1;
    case OPT_VERSION:
    case OPT_HELP:
        return 0;
    default:
        (void)fprintf(stderr, "%s: see vaultfs --help\n", program);
        return vf_err_exit(VF_E_USAGE);
    }
}

/* The folder `inner` is `outer`, or lies in it; both are absolute and without links. */
static bool within(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    if (n > 0 && outer[n - 1] == '/')
        n--;
    return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || inner[n] == '\0');
}

/* A mount over its own station would wait for itself for ever. */
static int check_mountpoint(const struct vf_mount_options *o)
{
    if (within(o->mountpoint, o->station) || within(o->station, o->mountpoint)) {
        (void)fprintf(stderr,
                      "vaultfs: %s: the station would be hidden behind its own mount; choose an empty folder elsewhere\n",
                      o->mountpoint);
        return 1;
    }
    return -1;
}

/* Absolute, since the daemon works in another folder; the file itself need not exist, its folder must. */
static int take_file(char **file, const char *mountpoint, const char *option)
{
    if (!*file)
        return -1;
    char *slash = strrchr(*file, '/');
    VF_FREE char *name = strdup(slash ? slash + 1 : *file);
    if (slash)
        slash[slash == *file] = '\0';
    VF_FREE char *folder = realpath(slash ? *file : ".", NULL);
    char *whole = NULL;
    if (!name || *name == '\0' || !folder || asprintf(&whole, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name) < 0)
        return wrong("%s: there is no such folder for the file", option);
    free(*file);
    *file = whole;
    if (within(whole, mountpoint))
        return wrong("%s: the file cannot lie in the mount itself", option);
    return -1;
}

static int take_files(struct vf_mount_options *ret)
{
    if (!ret->request != !ret->answer)
        return wrong("--request and --answer go together");
    int status = take_file(&ret->request, ret->mountpoint, "--request");
    if (status < 0)
        status = take_file(&ret->answer, ret->mountpoint, "--answer");
    if (status < 0 && ret->request && strcmp(ret->request, ret->answer) == 0)
        return wrong("--request and --answer must be two files");
    return status;
}

/* The last part of the mount point may not exist yet when it is a symlink's target: only what is there can be mounted on. */
static int take_paths(struct vf_mount_options *ret, int argc, char **argv)
{
    if (argc - optind != 2)
        return wrong("two arguments are needed, STATION and MOUNTPOINT");
    char *station = realpath(argv[optind], NULL), *mountpoint = realpath(argv[optind + 1], NULL);
    ret->station = station ? station : strdup(argv[optind]);
    ret->mountpoint = mountpoint;
    struct stat st;
    if (!mountpoint || stat(mountpoint, &st)) {
        (void)fprintf(stderr,
                      "vaultfs: %s: there is no such folder to mount on; make it first (or unmount a dead mount with "
                      "fusermount3 -u)\n",
                      argv[optind + 1]);
        return 1;
    }
    if (!S_ISDIR(st.st_mode)) {
        (void)fprintf(stderr, "vaultfs: %s: not a folder\n", argv[optind + 1]);
        return 1;
    }
    return check_mountpoint(ret);
}

int vf_options_parse(int argc, char **argv, struct vf_mount_options *ret)
{
    int c;
    *ret = (struct vf_mount_options){.uid = getuid(), .gid = getgid()};
    while ((c = getopt_long(argc, argv, "fo:", long_options, NULL)) != -1) {
        if (c == OPT_VERSION || c == OPT_HELP) {
            (void)fputs(c == OPT_HELP ? usage : "vaultfs " VAULTFS_VERSION "\n", stdout);
            return 0;
        }
        int status = one_option(ret, c, argv[0]);
        if (status)
            return status;
    }
    if (ret->job && !vf_job_valid(ret->job, strlen(ret->job)))
        return wrong("\"%s\" is no job name (a-z, 0-9 and -, at most 32 characters)", ret->job);
    int status = take_paths(ret, argc, argv);
    return status < 0 ? take_files(ret) : status;
}

void vf_options_done(struct vf_mount_options *o)
{
    free(o->station);
    free(o->mountpoint);
    free(o->job);
    free(o->passphrase_file);
    free(o->passphrase_command);
    free(o->path_prefix);
    free(o->request);
    free(o->answer);
    *o = (struct vf_mount_options){0};
}
