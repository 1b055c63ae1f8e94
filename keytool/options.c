/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <stdarg.h>
#include <string.h>

static const struct {
    const char *name, *arg, *help;
    bool repeats;
} table[KT_OPTION_COUNT] = {
#define KT_ROW_(id, option_name, option_arg, rep, text) \
    [KT_##id] = {.name = (option_name), .arg = (option_arg), .help = (text), .repeats = (rep)},
    KT_OPTIONS(KT_ROW_)
#undef KT_ROW_
};

const char *kt_option_name(enum kt_option_id id)
{
    return table[id].name;
}

const char *kt_option_arg(enum kt_option_id id)
{
    return table[id].arg;
}

const char *kt_option_help(enum kt_option_id id)
{
    return table[id].help;
}

bool kt_option_repeats(enum kt_option_id id)
{
    return table[id].repeats;
}

enum vf_err kt_usage(struct vf_why *why, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return vf_fail(why, VF_E_USAGE, "%s", text);
}

/* Two options may have one name, with another meaning for other verbs: the one that is `taken` is meant. */
static bool find(const char *name, size_t len, kt_mask taken, enum kt_option_id *ret)
{
    bool found = false;
    for (unsigned i = 0; i < KT_OPTION_COUNT; i++) {
        if (strlen(table[i].name) != len || memcmp(table[i].name, name, len) != 0)
            continue;
        if (!found || taken >> i & 1)
            *ret = (enum kt_option_id)i;
        found = true;
    }
    return found;
}

/* -o and -q are the only short ones. */
static bool find_short(const char *arg, enum kt_option_id *ret)
{
    if (strcmp(arg, "-o") == 0)
        *ret = KT_OUTPUT;
    else if (strcmp(arg, "-q") == 0)
        *ret = KT_QUIET;
    else if (strcmp(arg, "-h") == 0)
        *ret = KT_HELP;
    else
        return false;
    return true;
}

static enum vf_err take(struct kt_args *ret, enum kt_option_id id, const char *value, struct vf_why *why)
{
    struct kt_value *v = &ret->opt[id];
    if (v->n > 0 && !table[id].repeats && table[id].arg)
        return kt_usage(why, "--%s was given twice", table[id].name);
    if (v->n == KT_REPEAT_MAX)
        return kt_usage(why, "--%s was given more than %d times", table[id].name, KT_REPEAT_MAX);
    v->v[v->n] = value;
    v->n = table[id].arg ? v->n + 1 : 1;
    return VF_OK;
}

static enum vf_err one(const struct kt_verb *verb, int argc, char **argv, int *at, struct kt_args *ret, struct vf_why *why)
{
    const kt_mask always = KT_BIT(HELP) | KT_BIT(VERSION) | KT_BIT(QUIET);
    const char *arg = argv[*at], *value = NULL;
    enum kt_option_id id = KT_HELP;
    const char *equals = strchr(arg, '=');
    bool known = arg[1] == '-'
                     ? find(arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2), verb->options | always, &id)
                     : find_short(arg, &id);

    if (!known)
        return kt_usage(why, "unknown option %s", arg);
    if (!((verb->options | always) >> id & 1))
        return kt_usage(why, "%s %s does not take --%s", verb->noun, verb->verb, table[id].name);
    if (equals && arg[1] == '-')
        value = equals + 1;
    if (!table[id].arg && value)
        return kt_usage(why, "--%s takes no value", table[id].name);
    if (table[id].arg && !value) {
        if (*at + 1 >= argc)
            return kt_usage(why, "--%s needs a value (%s)", table[id].name, table[id].arg);
        value = argv[++*at];
    }
    return take(ret, id, value, why);
}

enum vf_err kt_options_parse(const struct kt_verb *verb, int argc, char **argv, struct kt_args *ret, struct vf_why *why)
{
    int left = 0;
    bool ended = false;

    for (int i = 0; i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0)
            ended = true;
        else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0')
            VF_TRY(one(verb, argc, argv, &i, ret, why));
        else
            argv[left++] = argv[i]; /* never behind i: what was read already is overwritten */
    }
    ret->argc = left;
    ret->argv = argv;
    if (kt_has(ret, KT_HELP) || kt_has(ret, KT_VERSION))
        return VF_OK;
    for (unsigned i = 0; i < KT_OPTION_COUNT; i++)
        if (verb->required >> i & 1 && !ret->opt[i].n)
            return kt_usage(why, "%s %s needs --%s %s", verb->noun, verb->verb, table[i].name,
                            table[i].arg ? table[i].arg : "");
    if (left < verb->min_args || (verb->max_args >= 0 && left > verb->max_args))
        return kt_usage(why, "%s %s takes %s", verb->noun, verb->verb, *verb->args ? verb->args : "no arguments");
    return VF_OK;
}
