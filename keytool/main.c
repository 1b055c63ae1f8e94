/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *noun;
    const struct kt_verb *verbs;
    const char *summary;
} nouns[] = {
    {"identity", kt_identity_verbs, "the keys of people and desks"},
    {"vault", kt_vault_verbs, "the force's store of records"},
    {"policy", kt_policy_verbs, "who may sign, and how many must"},
    {"record", kt_record_verbs, "import, look at, change and erase records"},
    {"device", kt_device_verbs, "the suppliers' stations, seen from the force"},
    {"grant", kt_grant_verbs, "who may read which fields of which records until when"},
    {"bundle", kt_bundle_verbs, "the ciphertext that goes with a grant"},
    {"station", kt_station_verbs, "the supplier's side"},
    {"desk", kt_desk_verbs, "the key desk, for online grants"},
    {"audit", kt_audit_verbs, "the log, anywhere"},
};
#define NOUNS (sizeof(nouns) / sizeof(nouns[0]))

static const char *program_name(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    return slash ? slash + 1 : argv0;
}

static void print_nouns(FILE *out, const char *program)
{
    (void)fprintf(out, "Usage: %s NOUN VERB [options] ARGS\n\n", program);
    for (size_t i = 0; i < NOUNS; i++) {
        (void)fprintf(out, "  %-9s", nouns[i].noun);
        size_t col = 11;
        for (const struct kt_verb *v = nouns[i].verbs; v->verb; v++) {
            (void)fprintf(out, " %s%s", v->verb, v[1].verb ? "," : "");
            col += strlen(v->verb) + 2;
        }
        (void)fprintf(out, "%*s%s\n", col < 62 ? (int)(62 - col) : 1, "", nouns[i].summary);
    }
    (void)fprintf(out, "\n%s NOUN --help and %s NOUN VERB --help say more.\n", program, program);
}

static void print_noun(size_t n, const char *program)
{
    (void)printf("%s %s: %s\n\n", program, nouns[n].noun, nouns[n].summary);
    for (const struct kt_verb *v = nouns[n].verbs; v->verb; v++)
        (void)printf("  %-12s %s\n", v->verb, v->summary);
}

static void print_verb(const struct kt_verb *v, const char *program)
{
    (void)printf("Usage: %s %s %s [options]%s%s\n\n%s.\n\n", program, v->noun, v->verb, *v->args ? " " : "", v->args,
                 v->summary);
    kt_mask options = v->options | KT_BIT(HELP) | KT_BIT(VERSION) | KT_BIT(QUIET);
    for (unsigned i = 0; i < KT_OPTION_COUNT; i++) {
        if (!(options >> i & 1))
            continue;
        enum kt_option_id id = (enum kt_option_id)i;
        char left[64];
        (void)snprintf(left, sizeof(left), "--%s%s%s", kt_option_name(id), kt_option_arg(id) ? " " : "",
                       kt_option_arg(id) ? kt_option_arg(id) : "");
        (void)printf("  %-30s %s%s%s\n", left, kt_option_help(id), kt_option_repeats(id) ? " (may be repeated)" : "",
                     v->required >> i & 1 ? " (needed)" : "");
    }
}

/* What the tests of help, man pages and completion compare with. */
static int print_tables(void)
{
    json_t *doc = json_array();
    for (size_t n = 0; n < NOUNS; n++) {
        for (const struct kt_verb *v = nouns[n].verbs; v->verb; v++) {
            json_t *options = json_array();
            for (unsigned i = 0; i < KT_OPTION_COUNT; i++)
                if ((v->options | KT_BIT(HELP) | KT_BIT(VERSION) | KT_BIT(QUIET)) >> i & 1)
                    (void)json_array_append_new(options, json_string(kt_option_name((enum kt_option_id)i)));
            (void)json_array_append_new(doc, json_pack("{s:s,s:s,s:s,s:s,s:o}", "noun", v->noun, "verb", v->verb, "args",
                                                       v->args, "summary", v->summary, "options", options));
        }
    }
    (void)json_dumpf(doc, stdout, JSON_INDENT(1));
    (void)printf("\n");
    json_decref(doc);
    return 0;
}

static int fail(const struct kt_verb *verb, const char *program, enum vf_err err, const struct vf_why *why)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: %s\n", program, why->text[0] ? why->text : vf_err_text(err));
    if (err == VF_E_USAGE)
        (void)fprintf(stderr, "%s %s %s --help says more.\n", program, verb->noun, verb->verb);
    return vf_err_exit(err);
}

/* As large as can be had: root and services may lock more than the 8 MiB of an ordinary user. */
static enum vf_err start_crypto(const struct kt_verb *verb, struct vf_why *why)
{
    static const size_t large[] = {64u * 1024 * 1024, 7u * 1024 * 1024};
    for (size_t i = 0; verb->secrets == KT_LARGE && i < sizeof(large) / sizeof(large[0]); i++)
        if (vf_crypto_init(large[i], why) == VF_OK)
            return VF_OK;
    return vf_crypto_init(VF_ARENA_TOOL, why);
}

static int run(const struct kt_verb *verb, const char *program, int argc, char **argv)
{
    struct vf_why why = {0};
    struct kt_args args = {.program = program};
    enum vf_err err = kt_options_parse(verb, argc, argv, &args, &why);
    if (err)
        return fail(verb, program, err, &why);
    if (kt_has(&args, KT_HELP)) {
        print_verb(verb, program);
        return 0;
    }
    if (kt_has(&args, KT_VERSION)) {
        (void)printf("%s " VAULTFS_VERSION "\n", program);
        return 0;
    }
    kt_quiet = kt_has(&args, KT_QUIET);
    err = vf_process_harden(&why);
    if (!err)
        err = start_crypto(verb, &why);
    if (!err)
        err = verb->run(&args, &why);
    if (!err)
        err = kt_stdout_done(&why);
    vf_crypto_done();
    if (err)
        kt_name_kind(&args, &why);
    return err ? fail(verb, program, err, &why) : 0;
}

int main(int argc, char **argv)
{
    const char *program = program_name(argv[0]);
    if (!vf_fds_standard())
        return vf_err_exit(VF_E_SYSTEM);
    if (argc < 2) {
        print_nouns(stderr, program);
        return vf_err_exit(VF_E_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_nouns(stdout, program);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("%s " VAULTFS_VERSION "\n", program);
        return 0;
    }
    if (strcmp(argv[1], "--tables") == 0)
        return print_tables();
    for (size_t n = 0; n < NOUNS; n++) {
        if (strcmp(argv[1], nouns[n].noun) != 0)
            continue;
        if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
            print_noun(n, program);
            return 0;
        }
        for (const struct kt_verb *v = nouns[n].verbs; argc > 2 && v->verb; v++)
            if (strcmp(argv[2], v->verb) == 0)
                return run(v, program, argc - 3, argv + 3);
        if (argc > 2)
            (void)fprintf(stderr, "%s: %s has no verb \"%s\"; it has:", program, argv[1], argv[2]);
        else
            (void)fprintf(stderr, "%s: %s needs a verb:", program, argv[1]);
        for (const struct kt_verb *v = nouns[n].verbs; v->verb; v++)
            (void)fprintf(stderr, " %s", v->verb);
        (void)fprintf(stderr, "\n");
        return vf_err_exit(VF_E_USAGE);
    }
    (void)fprintf(stderr, "%s: there is no \"%s\"; %s --help lists what there is\n", program, argv[1], program);
    return vf_err_exit(VF_E_USAGE);
}
