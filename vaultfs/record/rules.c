/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include "schema.h"
#include "text.h"

#include <locale.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RANKS_MAX       500u
#define RANKS_BYTES_MAX (64u * 1024)
#define PATTERN_MAX     200u
#define COST_MAX        2000u
#define DEPTH_MAX       20u
#define WARRANT_MAX     12u
#define DETECTIVE       "Detective "

/* DOMAIN: the home forces' ranks, then the Met's own. The first six exist as Detective ones too. */
static const char *const default_ranks[] = {
    "Constable",
    "Sergeant",
    "Inspector",
    "Chief Inspector",
    "Superintendent",
    "Chief Superintendent",
    "Assistant Chief Constable",
    "Deputy Chief Constable",
    "Chief Constable",
    "Commander",
    "Deputy Assistant Commissioner",
    "Assistant Commissioner",
    "Deputy Commissioner",
    "Commissioner",
};
#define NDETECTIVE 6u
#define NDEFAULT   (sizeof(default_ranks) / sizeof(default_ranks[0]))

struct pattern {
    regex_t regex;
    locale_t locale; /* so that what a number may be does not depend on who imports it */
};

/* ----------------------------------------------------------------------------------------------------------------- ranks */

typedef int (*compare_fn)(const char *a, const char *b, size_t n);

static bool same(compare_fn compare, const char *listed, const char *rank, size_t len)
{
    return strlen(listed) == len && compare(listed, rank, len) == 0;
}

static bool find_rank(const struct vf_rules *rules, compare_fn compare, const char *rank, size_t len)
{
    size_t lead = sizeof(DETECTIVE) - 1;

    /* A list of the force's own means what it says: no prefix is added to it. */
    if (rules != NULL && rules->ranks != NULL) {
        for (size_t i = 0; i < rules->nranks; i++)
            if (same(compare, rules->ranks[i], rank, len))
                return true;
        return false;
    }
    for (size_t i = 0; i < NDEFAULT; i++) {
        if (same(compare, default_ranks[i], rank, len))
            return true;
        if (i < NDETECTIVE && len > lead && compare(DETECTIVE, rank, lead) == 0 &&
            same(compare, default_ranks[i], rank + lead, len - lead))
            return true;
    }
    return false;
}

bool vf_rules_rank_known(const struct vf_rules *rules, const char *rank, size_t len)
{
    return find_rank(rules, strncmp, rank, len);
}

bool vf_rules_rank_nearly(const struct vf_rules *rules, const char *rank, size_t len)
{
    return find_rank(rules, strncasecmp, rank, len);
}

static enum vf_err rank_add(struct vf_rules *rules, unsigned line, const char *text, size_t len, struct vf_buf *scratch,
                            struct vf_why *why)
{
    VF_TRY(vf_fail_prefix(why, vf_text_normalise(text, len, scratch, why), "line %u of the ranks", line));
    if (scratch->len == 0 || scratch->data[0] == '#')
        return VF_OK;
    if (scratch->len > vf_schema_def(VF_FIELD_RANK)->info.max_bytes)
        return vf_fail(why, VF_E_INPUT, "line %u of the ranks: longer than %u bytes", line,
                       vf_schema_def(VF_FIELD_RANK)->info.max_bytes);
    if (vf_text_formula((const char *)scratch->data, scratch->len))
        return vf_fail(why, VF_E_INPUT, "line %u of the ranks: %s", line, VF_TEXT_FORMULA_REASON);
    if (vf_rules_rank_known(rules, (const char *)scratch->data, scratch->len))
        return vf_fail(why, VF_E_INPUT, "line %u of the ranks: this rank is there twice", line);
    if (rules->nranks == RANKS_MAX)
        return vf_fail(why, VF_E_INPUT, "more than %u ranks", RANKS_MAX);
    char *copy = strndup((const char *)scratch->data, scratch->len);
    if (copy == NULL)
        return vf_fail(why, VF_E_NOMEM, "ranks: out of memory");
    rules->ranks[rules->nranks++] = copy;
    return VF_OK;
}

static enum vf_err ranks_parse(struct vf_rules *rules, const char *text, size_t len, struct vf_why *why)
{
    VF_BUF scratch;
    unsigned line = 1;

    vf_buf_init(&scratch, VF_TEXT_RAW_MAX);
    if (len > RANKS_BYTES_MAX)
        return vf_fail(why, VF_E_INPUT, "the list of ranks is larger than %u bytes", RANKS_BYTES_MAX);
    rules->ranks = calloc(RANKS_MAX, sizeof(rules->ranks[0]));
    if (rules->ranks == NULL)
        return vf_fail(why, VF_E_NOMEM, "ranks: out of memory");
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    for (size_t at = 0; at < len; line++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end != NULL ? (size_t)(end - (text + at)) : len - at;
        size_t body = n > 0 && text[at + n - 1] == '\r' ? n - 1 : n;
        VF_TRY(rank_add(rules, line, text + at, body, &scratch, why));
        at += n + 1;
    }
    if (rules->nranks == 0)
        return vf_fail(why, VF_E_INPUT, "the list of ranks has no rank in it");
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------- warrant numbers */

/*
 * Glibc's regcomp writes a repeated part out as often as it is repeated, parts within parts multiplied: 30 plus signs one behind
 * the other need more memory than there is. So the size of what it would write is counted first, roughly and never too small.
 */
static uint32_t add_cost(uint32_t a, uint64_t b)
{
    return (uint32_t)(a + b < COST_MAX ? a + b : COST_MAX + 1);
}

/* Behind a '[': up to the ']' that closes it. */
static const char *skip_bracket(const char *s)
{
    s += *s == '^';
    s += *s == ']';
    while (*s != '\0' && *s != ']') {
        const char kind = s[0] == '[' && (s[1] == ':' || s[1] == '.' || s[1] == '=') ? s[1] : '\0';
        s += kind != '\0' ? 2 : 1;
        while (kind != '\0' && *s != '\0' && !(s[0] == kind && s[1] == ']'))
            s++;
        s += kind != '\0' && *s != '\0' ? 2 : 0;
    }
    return *s != '\0' ? s + 1 : s;
}

/* Behind a '{': the largest number in it, and one more. */
static uint64_t interval(const char **s)
{
    uint64_t most = 0;

    while (**s != '\0' && **s != '}') {
        uint64_t n = 0;
        for (; **s >= '0' && **s <= '9'; (*s)++)
            n = n < COST_MAX ? n * 10 + (uint64_t)(**s - '0') : n;
        most = n > most ? n : most;
        *s += **s != '\0' && **s != '}' ? 1 : 0;
    }
    *s += **s == '}';
    return most + 1;
}

static uint32_t pattern_cost(const char **s, unsigned depth)
{
    uint32_t total = 1;
    uint32_t atom = 1; /* of what a repetition would repeat */

    while (**s != '\0' && (**s != ')' || depth == 0)) {
        const char c = *(*s)++;
        uint64_t times = 0;
        switch (c) {
        case '*':
        case '?':
        case '+':
            times = 2;
            break;
        case '{':
            times = interval(s);
            break;
        case '(':
            if (depth == DEPTH_MAX)
                return COST_MAX + 1;
            atom = pattern_cost(s, depth + 1);
            *s += **s == ')';
            break;
        case '[':
            *s = skip_bracket(*s);
            atom = 1;
            break;
        case '\\':
            *s += **s != '\0';
            atom = 1;
            break;
        default:
            atom = 1;
            break;
        }
        total = add_cost(total, times > 0 ? atom * times : atom);
        atom = add_cost(0, times > 0 ? atom * times : atom);
    }
    return total;
}

static enum vf_err pattern_sane(const char *pattern, struct vf_why *why)
{
    const char *s = pattern;
    size_t len = strlen(pattern);

    if (len == 0 || len > PATTERN_MAX || !vf_text_printable(pattern, len))
        return vf_fail(why, VF_E_INPUT, "the warrant pattern must have 1 to %u printable characters", PATTERN_MAX);
    for (size_t i = 0; i < len; i++)
        if (pattern[i] == '\\' && pattern[i + 1] >= '1' && pattern[i + 1] <= '9')
            return vf_fail(why, VF_E_INPUT, "the warrant pattern must not refer back (\\%c)", pattern[i + 1]);
    if (pattern_cost(&s, 0) > COST_MAX)
        return vf_fail(why, VF_E_INPUT, "the warrant pattern has too many repetitions");
    return VF_OK;
}

static void pattern_free(struct pattern *p)
{
    if (p->locale != (locale_t)0)
        freelocale(p->locale);
    free(p);
}

static enum vf_err pattern_compile(struct vf_rules *rules, const char *pattern, struct vf_why *why)
{
    VF_TRY(pattern_sane(pattern, why));
    rules->warrant_pattern = strdup(pattern);
    struct pattern *p = calloc(1, sizeof(*p));
    if (p == NULL || rules->warrant_pattern == NULL) {
        free(p);
        return vf_fail(why, VF_E_NOMEM, "warrant pattern: out of memory");
    }
    p->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (p->locale == (locale_t)0) {
        pattern_free(p);
        return vf_fail(why, VF_E_NOMEM, "warrant pattern: no locale");
    }
    locale_t before = uselocale(p->locale);
    int bad = regcomp(&p->regex, pattern, REG_EXTENDED);
    (void)uselocale(before);
    if (bad != 0) {
        char text[128];
        (void)regerror(bad, &p->regex, text, sizeof(text));
        pattern_free(p);
        return vf_fail(why, VF_E_INPUT, "the warrant pattern is no extended regular expression: %s", text);
    }
    rules->compiled = p;
    return VF_OK;
}

bool vf_rules_warrant_matches(const struct vf_rules *rules, const char *number, size_t len)
{
    char text[WARRANT_MAX + 1];

    if (rules == NULL || rules->compiled == NULL)
        return true;
    if (len > WARRANT_MAX)
        return false;
    memcpy(text, number, len);
    text[len] = '\0';
    const struct pattern *p = rules->compiled;
    regmatch_t found = {-1, -1};
    locale_t before = uselocale(p->locale);
    int no = regexec(&p->regex, text, 1, &found, 0);
    (void)uselocale(before);
    /* The match is the leftmost and longest one: if the whole number can match, it is this. (Anchors put around the
     * pattern could be undone by a pattern like "1)|(2".) */
    return no == 0 && found.rm_so == 0 && (size_t)found.rm_eo == len;
}

/* ----------------------------------------------------------------------------------------------------------------- rules */

enum vf_err vf_rules_init(struct vf_rules *rules, const char *ranks_text, size_t ranks_len, const char *warrant_pattern,
                          struct vf_why *why)
{
    struct vf_rules fresh = {0};
    enum vf_err err = VF_OK;

    if (ranks_text != NULL)
        err = ranks_parse(&fresh, ranks_text, ranks_len, why);
    if (err == VF_OK && warrant_pattern != NULL)
        err = pattern_compile(&fresh, warrant_pattern, why);
    if (err != VF_OK) {
        vf_rules_done(&fresh);
        return err;
    }
    *rules = fresh;
    return VF_OK;
}

void vf_rules_done(struct vf_rules *rules)
{
    for (size_t i = 0; rules->ranks != NULL && i < rules->nranks; i++)
        free(rules->ranks[i]);
    free(rules->ranks);
    free(rules->warrant_pattern);
    if (rules->compiled != NULL) {
        struct pattern *p = rules->compiled;
        regfree(&p->regex);
        pattern_free(p);
    }
    *rules = (struct vf_rules){0};
}
