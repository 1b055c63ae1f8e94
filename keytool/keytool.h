/* SPDX-License-Identifier: MIT */
/*
 * keytool: `keytool NOUN VERB [options] ARGS`. One file per noun (identity.c, vault.c, …; two where one would be long), one table of
 * options with the verbs that take them, one table of verbs. Verbs get parsed options, do their work through libvaultfs and print: results on
 * stdout, messages on stderr, once. The library is silent.
 */
#ifndef KEYTOOL_H
#define KEYTOOL_H

#include <jansson.h>
#include <vaultfs/station.h>

/* ------------------------------------------------------------------------------------------------------------- options */

/* Every option of every verb: enumerator, name, argument as help shows it (NULL: a switch), repeatable, one line of help. */
#define KT_OPTIONS(X)                                                                                               \
    X(ADD, "add", "N", false, "how many new prekeys")                                                               \
    X(ADD_ADMIN, "add-admin", "F.pub", true, "public file of an admin to add")                                      \
    X(ADMIN, "admin", "A.pub", true, "public file of an admin; repeat for each")                                    \
    X(ALL, "all", NULL, false, "everything the grant names, sent before or not")                                    \
    X(ALL_RECORDS, "all", NULL, false, "every record that is known")                                                \
    X(ALLOW_INCOMPLETE, "allow-incomplete", NULL, false, "grant records that lack something a card needs")          \
    X(AWARE_AT, "aware-at", "TIME", false, "when the force learned of it: the 72 hours run from then")              \
    X(BUDGET, "budget", "N", false, "at most N different records may be opened")                                    \
    X(CHECK, "check", NULL, false, "only say what would be done")                                                   \
    X(CHECKPOINT, "checkpoint", "FILE", true, "a checkpoint or receipt that the log must contain")                  \
    X(CLOCK_RESET, "clock-reset", NULL, false, "lets the station's clock go back to the time of issue, once")       \
    X(CONFIRM, "confirm", NULL, false, "you have looked: clock and store are right")                                \
    X(CONNECTIONS, "connections", "N", false, "how many may be connected at once (512)")                            \
    X(COPY_ON_WRITE, "copy-on-write", NULL, false, "the disk may keep what is overwritten, and you accept that")    \
    X(CSV, "csv", "FILE", false, "the table of records")                                                            \
    X(DATE_FORMAT, "date-format", "F", false, "how dates are written in the table, such as DD/MM/YYYY")             \
    X(DESK, "desk", "DESK.pub", false, "public file of the key desk")                                               \
    X(DESK_URL, "desk-url", "URL", false, "where suppliers reach the key desk")                                     \
    X(DEVICE, "device", "NAME", false, "all that was ever granted to this device")                                  \
    X(DEVICE_OFF, "device-off", NULL, false, "you state that the device was switched off from then on")             \
    X(ENROL, "enrol", "D.enrol", false, "the enrolment of the device whose log it is")                              \
    X(EVENT, "event", "E", false, "only this event: open, deny, release, …")                                        \
    X(FIELDS, "fields", "LIST", false, "fields, separated by commas")                                               \
    X(FOLLOW, "follow", NULL, false, "go on as the log grows, until interrupted")                                   \
    X(FORCE, "force", NULL, false, "overwrite an existing output, or do what was refused as unlikely")              \
    X(FORCE_NAME, "force-name", "TEXT", false, "the name of the force")                                             \
    X(FORMAT, "format", "jsonl|csv", false, "JSON lines, or a table")                                               \
    X(FROM, "from", "TIME", false, "when it starts, if not now")                                                    \
    X(FROM_EXPOSED, "from", "exposed.csv", false, "what `audit exposure` wrote")                                    \
    X(FULL_SNAPSHOT, "full-snapshot", NULL, false, "whoever is not in the table has left")                          \
    X(GRANT, "grant", "FILE", false, "the grant the bundle is for")                                                 \
    X(GRANT_ID, "grant", "ID", false, "only this grant")                                                            \
    X(HELP, "help", NULL, false, "show this help")                                                                  \
    X(HOST_COMPROMISED_AT, "host-compromised-at", "TIME", false, "from then on the device was not its owner's")     \
    X(INCLUDE_PROTECTED, "include-protected", NULL, false, "protected records too, where they are named by ref")    \
    X(JOB, "job", "JOB", false, "name of the folder the supplier will see")                                         \
    X(JSON, "json", NULL, false, "print one JSON document")                                                         \
    X(KEY, "key", "FILE", false, "your identity")                                                                   \
    X(LAST_DAY, "last-day", "DATE", false, "when every prekey of the batch is destroyed, used or not (in 62 days)") \
    X(LEASE, "lease", "T", false, "how long the shares may be kept, such as 8h; at most to the grant's end (15m)")  \
    X(LIST, "list", "FILE", false, "refs or warrant numbers, one a line")                                           \
    X(LISTEN, "listen", "ADDRESS", false, "where stations reach it; without: a socket of systemd")                  \
    X(LOG, "log", "LOG", true, "a log folder or a handed-in file")                                                  \
    X(MAP, "map", "FILE", false, "lines \"column = field\" or \"column = ignore\"")                                 \
    X(MAX_GRANT, "max-grant", "DURATION", false, "the longest a grant may last, such as 31d")                       \
    X(METRICS, "metrics", "ADDRESS", false, "where figures for monitoring are, and nothing else")                   \
    X(NAME, "name", "NAME", false, "its name")                                                                      \
    X(NO_HANDIN, "no-handin", NULL, false, "renew without a recent log from the device")                            \
    X(NO_PASSPHRASE, "no-passphrase", NULL, false, "store the key without a passphrase")                            \
    X(NO_VERIFY, "no-verify", NULL, false, "search only: fast, and nothing of it is proven")                        \
    X(OUTPUT, "output", "FILE", false, "where the result goes (also -o)")                                           \
    X(PASSPHRASE_COMMAND, "passphrase-command", "CMD", false, "the passphrase is what CMD prints")                  \
    X(PASSPHRASE_SAFE, "passphrase-safe", NULL, false, "you state that nobody else knows its passphrase")           \
    X(PASSPHRASE_FILE, "passphrase-file", "F", false, "the passphrase is the first line of F")                      \
    X(NEW_PASSPHRASE_FILE, "new-passphrase-file", "F", false, "the new passphrase is the first line of F")          \
    X(PER_ADDRESS, "per-address", "N", false, "how many may be connected from one address (32)")                    \
    X(PHOTO_FIT, "photo-fit", NULL, false, "scale down photos that are too large")                                  \
    X(PHOTO_KEY, "photo-key", "FIELD", false, "the field whose value names the photo files (warrant_no)")           \
    X(PHOTOS, "photos", "DIR", false, "the folder of photos")                                                       \
    X(POLICY, "policy", "P", false, "a policy file of the force")                                                   \
    X(PREKEYS, "prekeys", "FILE", false, "a batch of the desk's prekeys")                                           \
    X(PREKEYS_COUNT, "prekeys", "N", false, "how many prekeys the first batch has (1000)")                          \
    X(PROFILE, "profile", "PROFILE", false, "card-print: what a card needs")                                        \
    X(PURPOSE, "purpose", "TEXT", false, "what the supplier needs them for")                                        \
    X(QUIET, "quiet", NULL, false, "no messages, only errors (also -q)")                                            \
    X(RANKS, "ranks", "FILE", false, "the force's ranks, one a line")                                               \
    X(REASON, "reason", "TEXT", false, "why")                                                                       \
    X(REASON_CODE, "reason-code", "CODE", false, "leaver, duplicate, court or other")                               \
    X(RECORDS, "records", "all", false, "all records (that are not protected)")                                     \
    X(REF, "ref", "REF", false, "a record by its ref")                                                              \
    X(REFS_OUT, "refs-out", "FILE", false, "write row and ref of what was imported")                                \
    X(REJECTS, "rejects", "FILE", false, "write the bad rows, to be mended and imported again")                     \
    X(RELEASE, "release", "offline|online", false, "how it ends: by software, or by cryptography through the desk") \
    X(REMOVE_ADMIN, "remove-admin", "NAME", true, "name of an admin to remove")                                     \
    X(RESULT, "result", "R", false, "only this result: ok, EKEYEXPIRED, …")                                         \
    X(ROLE, "role", "admin|desk", false, "what the identity is for")                                                \
    X(SEQ, "seq", "N", false, "the entry's number")                                                                 \
    X(SINCE, "since", "TIME", false, "nothing before this time")                                                    \
    X(THRESHOLD, "threshold", "K", false, "how many admins must sign")                                              \
    X(TO, "to", "D.enrol", false, "the enrolment of the device")                                                    \
    X(UNTIL, "until", "TIME", false, "when it ends")                                                                \
    X(UNTIL_TIME, "until", "TIME", false, "nothing after this time")                                                \
    X(VAULT, "vault", "VAULT", false, "the vault whose log it is")                                                  \
    X(VAULT_OR_BACKUP, "vault", "VAULT", false, "the vault, or a backup of it")                                     \
    X(VERSION, "version", NULL, false, "show the version")                                                          \
    X(WARRANT_NO, "warrant-no", "N", false, "a record by its warrant number")                                       \
    X(WARRANT_PATTERN, "warrant-pattern", "ERE", false, "what the force's warrant numbers look like")               \
    X(WHERE, "where", "FIELD=VALUE", true, "only records with this value; repeat to narrow")                        \
    X(YES, "yes", NULL, false, "do not ask")

enum kt_option_id {
#define KT_ENUM_(id, name, arg, rep, help) KT_##id,
    KT_OPTIONS(KT_ENUM_)
#undef KT_ENUM_
        KT_OPTION_COUNT
};
/* Set of options as a bit mask. */
__extension__ typedef unsigned __int128 kt_mask;
#define KT_BIT(id) ((kt_mask)1 << KT_##id)
_Static_assert(KT_OPTION_COUNT <= 128, "options fit into one mask");

#define KT_REPEAT_MAX 64
struct kt_value {
    size_t n; /* how often it was given; switches: 1 */
    const char *v[KT_REPEAT_MAX];
};
struct kt_args { /* borrowed from argv */
    struct kt_value opt[KT_OPTION_COUNT];
    int argc;
    char **argv;         /* what is left after the options */
    const char *program; /* what it was called by */
};
static inline bool kt_has(const struct kt_args *a, enum kt_option_id id)
{
    return a->opt[id].n > 0;
}
static inline const char *kt_get(const struct kt_args *a, enum kt_option_id id)
{
    return a->opt[id].n > 0 ? a->opt[id].v[0] : NULL;
}

/* --------------------------------------------------------------------------------------------------------------- verbs */

#define KT_LARGE 2
struct kt_verb {
    const char *noun;
    const char *verb;
    const char *args;       /* as help shows them: "VAULT", "FILE|FILE.pub" */
    int min_args, max_args; /* -1: any number */
    kt_mask options;        /* taken; help, version and quiet always are */
    kt_mask required;
    unsigned secrets;    /* the arena is wanted; KT_LARGE: as large as can be had */
    const char *summary; /* one line */
    enum vf_err (*run)(const struct kt_args *a, struct vf_why *why);
};
/* Each noun's table, ended by a zeroed entry. */
extern const struct kt_verb kt_identity_verbs[], kt_vault_verbs[], kt_policy_verbs[], kt_record_verbs[], kt_device_verbs[],
    kt_grant_verbs[], kt_bundle_verbs[], kt_station_verbs[], kt_desk_verbs[], kt_audit_verbs[];

/* Parse options of one verb out of argv (options anywhere, "--" ends them, --name=value or --name value, -o, -q). */
enum vf_err kt_options_parse(const struct kt_verb *verb, int argc, char **argv, struct kt_args *ret, struct vf_why *why);
const char *kt_option_name(enum kt_option_id id);
const char *kt_option_arg(enum kt_option_id id);
const char *kt_option_help(enum kt_option_id id);
bool kt_option_repeats(enum kt_option_id id);
enum vf_err kt_usage(struct vf_why *why, const char *fmt, ...) VF_PRINTF(2, 3); /* VF_E_USAGE */

/* -------------------------------------------------------------------------------------------------------------- common */

extern bool kt_quiet; /* -q */

/* A line for people on stderr unless -q; a newline is added. */
void kt_say(const char *fmt, ...) VF_PRINTF(1, 2);
/* Print a JSON document (stolen) on stdout. */
enum vf_err kt_print_json(json_t *doc, struct vf_why *why);
json_t *kt_json_time(int64_t us); /* RFC 3339 string */
json_t *kt_json_hex(const void *data, size_t len);
json_t *kt_json_fields(vf_field_set fields); /* array of names */
/* Results were written to stdout: flushed without error? */
enum vf_err kt_stdout_done(struct vf_why *why);

/* Progress of long work: shown on a terminal's stderr after a second (done, rate, time left), cleared at the end. `user` of the callbacks is
 * a struct kt_progress. */
struct kt_progress {
    const char *what;
    const char *unit;
    int64_t started_us, shown_us;
    bool shown;
};
void kt_progress_show(void *progress, uint64_t done, uint64_t total);
void kt_progress_done(struct kt_progress *p);

/* The caller's identity, --key, its passphrase asked for as --passphrase-file, --passphrase-command, credentials or the terminal say. */
enum vf_err kt_key_open(const struct kt_args *a, struct vf_identity **ret, struct vf_why *why);
/* A fresh passphrase for `what`, in the arena; NULL with --no-passphrase. */
enum vf_err kt_new_passphrase(const struct kt_args *a, const char *what, struct vf_passphrase **ret, struct vf_why *why);
/* The same for one that is being changed: never from where the old one comes. */
enum vf_err kt_changed_passphrase(const struct kt_args *a, const char *what, struct vf_passphrase **ret, struct vf_why *why);
/* Vault opened with --key in `mode`. The identity is the caller's to free after closing. */
enum vf_err kt_vault_open(const struct kt_args *a, const char *path, enum vf_vault_mode mode, struct vf_identity **ret_id,
                          struct vf_vault **ret, struct vf_why *why);
/* Close, and let a failure to seal the log be the verb's failure if there was none before. */
enum vf_err kt_vault_close(struct vf_vault *v, enum vf_err err, struct vf_why *why);
/* -o with 0600 or 0644; refuses to overwrite without --force. */
enum vf_err kt_output_write(const struct kt_args *a, const char *path, const struct vf_buf *data, mode_t mode,
                            struct vf_why *why);
/* The same for what is written bit by bit: vf_newfile_commit ends it. */
enum vf_err kt_output_open(const struct kt_args *a, const char *path, mode_t mode, struct vf_newfile *ret,
                           struct vf_why *why);
/* "x: not a grant" becomes "x: not a grant; it looks like a policy", if x is one of the arguments and looks like one. */
void kt_name_kind(const struct kt_args *a, struct vf_why *why);
/* Before what cannot be undone: could the output be written? */
enum vf_err kt_output_check(const struct kt_args *a, const char *path, struct vf_why *why);
enum vf_err kt_time_arg(const char *option, const char *text, int64_t *ret, struct vf_why *why);
enum vf_err kt_number_arg(const char *option, const char *text, uint64_t max, uint64_t *ret, struct vf_why *why);
/* What follows a number: record, records; entry, entries. */
static inline const char *kt_s(uint64_t n)
{
    return n == 1 ? "" : "s";
}
static inline const char *kt_ies(uint64_t n)
{
    return n == 1 ? "y" : "ies";
}
bool kt_has_terminal(void);
/* Asks on the terminal; false when there is none. */
bool kt_confirm(const char *question);
/* --list, --where, --records of record and grant verbs into a selection (borrowed; `where` has room for KT_REPEAT_MAX). */
enum vf_err kt_selection(const struct kt_args *a, bool for_grant, struct vf_selection *ret, struct vf_where *where,
                         struct vf_why *why);
enum vf_err kt_grant_read(const char *path, struct vf_buf *bytes, struct vf_grant_file *ret, struct vf_why *why);
enum vf_err kt_policy_read(const char *path, struct vf_policy_chain *ret, struct vf_why *why);
/* Items that begin with their grant (vf_grant_item, vf_station_grant_item): collected by id, shown the newest issue first. */
struct kt_grants {
    char *items;
    size_t n, size; /* size: bytes of one item */
};
enum vf_err kt_grants_add(struct kt_grants *g, const void *item, struct vf_why *why);
void kt_grants_sort(struct kt_grants *g);
void kt_grants_done(struct kt_grants *g);

/*
 * `receive`: the files a->argv[1] and on, opened, in the order of taking (policies first), are given to `give`, which hands them to whoever takes them
 * with kt_receive_told and `r`; what was told is printed, and judged.
 */
struct kt_receiving {
    struct kt_progress progress; /* first: the callbacks share one user pointer */
    json_t *list;                /* NULL: printed */
    size_t n, taken, refused;
    struct vf_why last; /* of the last one refused */
};
enum vf_err kt_receive(const struct kt_args *a,
                       enum vf_err (*give)(const struct kt_args *a, const struct vf_receive_file *files, size_t n,
                                           struct kt_receiving *r, struct vf_why *why),
                       struct vf_why *why);
void kt_receive_told(void *receiving, const struct vf_received *one);
/* VF_OK when at least one file was told of since: then the error of one of them was told too. */
enum vf_err kt_receive_judge(enum vf_err err, const struct kt_receiving *r, size_t told_before, const struct vf_why *one,
                             struct vf_why *why);

#endif
