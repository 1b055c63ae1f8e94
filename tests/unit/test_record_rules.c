/* SPDX-License-Identifier: MIT */
#include "vaultfs/record.h"

#include <errno.h>
#include <string.h>

#include "cmocka_std.h"
#include "faults.h"

static bool rank_passes(const struct vf_rules *rules, const char *rank)
{
    VF_BUF out;

    vf_buf_init(&out, 8192);
    return vf_field_check(rules, VF_FIELD_RANK, rank, strlen(rank), &out, NULL) == VF_OK;
}

static bool warrant_passes(const struct vf_rules *rules, const char *number)
{
    VF_BUF out;

    vf_buf_init(&out, 8192);
    return vf_field_check(rules, VF_FIELD_WARRANT_NO, number, strlen(number), &out, NULL) == VF_OK;
}

static void refused(const char *ranks, size_t len, const char *pattern, const char *reason)
{
    struct vf_rules rules = {.nranks = 77};
    struct vf_why why = {0};

    assert_int_equal(vf_rules_init(&rules, ranks, len, pattern, &why), VF_E_INPUT);
    assert_string_equal(why.text, reason);
    assert_int_equal(rules.nranks, 77); /* outputs on success only */
}

static void test_ranks(void **state)
{
    static const char text[] = "\xef\xbb\xbf# ours\r\n\r\nConstable\r\n  Wachtmeisteri\xcc\x81n \nAgent principal";
    struct vf_rules rules = {0};

    (void)state;
    assert_int_equal(vf_rules_init(&rules, text, sizeof(text) - 1, NULL, NULL), VF_OK);
    assert_int_equal(rules.nranks, 3);
    assert_string_equal(rules.ranks[1], "Wachtmeister\xc3\xadn"); /* NFC */
    assert_true(rank_passes(&rules, "Constable"));
    assert_true(rank_passes(&rules, "Wachtmeister\xc3\xadn"));
    assert_true(rank_passes(&rules, "Wachtmeisteri\xcc\x81n"));
    assert_true(rank_passes(&rules, "Agent principal"));
    assert_false(rank_passes(&rules, "Sergeant"));            /* the default list is out */
    assert_false(rank_passes(&rules, "Detective Constable")); /* a list of its own means what it says */
    assert_null(rules.warrant_pattern);
    assert_true(warrant_passes(&rules, "anything"));
    vf_rules_done(&rules);
    vf_rules_done(&rules); /* idempotent, and a zeroed struct is the default again */
    assert_true(rank_passes(&rules, "Sergeant"));
    assert_true(rank_passes(NULL, "Detective Sergeant"));
}

static void test_ranks_refused(void **state)
{
    char many[501 * 8 + 1];
    char large[70000];

    (void)state;
    refused("", 0, NULL, "the list of ranks has no rank in it");
    refused("# none\n\n", 8, NULL, "the list of ranks has no rank in it");
    refused("A\nB\nA\n", 6, NULL, "line 3 of the ranks: this rank is there twice");
    refused("A\n=B", 4, NULL, "line 2 of the ranks: begins with = + - or @, which a spreadsheet would run as a formula");
    refused("A\tB", 3, NULL, "line 1 of the ranks: has a line break or tab in it");
    refused("A\0B", 3, NULL, "line 1 of the ranks: has a control character in it");
    refused("A\n\xff", 3, NULL, "line 2 of the ranks: is not UTF-8: export it again as \"CSV UTF-8\"");
    memset(large, 'A', sizeof(large));
    refused(large, 65, NULL, "line 1 of the ranks: longer than 64 bytes");
    refused(large, 65537, NULL, "the list of ranks is larger than 65536 bytes");
    for (int i = 0; i < 501; i++)
        (void)snprintf(many + i * 8, 9, "R%06d\n", i);
    struct vf_rules rules = {0};
    assert_int_equal(vf_rules_init(&rules, many, 500 * 8, NULL, NULL), VF_OK);
    assert_int_equal(rules.nranks, 500);
    vf_rules_done(&rules);
    refused(many, 501 * 8, NULL, "more than 500 ranks");
}

static void test_pattern(void **state)
{
    static const struct {
        const char *pattern, *yes, *no;
    } cases[] = {
        {"[0-9]{6}", "000184", "0001845"},
        {"1|12", "12", "123"},
        {"1)|(2|1", NULL, NULL}, /* no way out of the whole number: not a pattern at all */
        {"^[A-Z][0-9]+$", "A1", "1A"},
        {"[0-9]{4,6}", "12345", "123"},
        {"(ab|a)(c|bcd)", "abcd", "abc1"},
        {"[a-c]+", "abc", "ABC"},
        {"x*", "xxx", "y"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vf_rules rules = {0};
        enum vf_err err = vf_rules_init(&rules, NULL, 0, cases[i].pattern, NULL);
        assert_int_equal(err, cases[i].yes != NULL ? VF_OK : VF_E_INPUT);
        if (err != VF_OK)
            continue;
        assert_string_equal(rules.warrant_pattern, cases[i].pattern);
        assert_true(warrant_passes(&rules, cases[i].yes));
        assert_false(warrant_passes(&rules, cases[i].no));
        vf_rules_done(&rules);
    }
}

static void test_pattern_refused(void **state)
{
    char large[202];

    (void)state;
    memset(large, 'a', sizeof(large));
    large[201] = '\0';
    refused(NULL, 0, "", "the warrant pattern must have 1 to 200 printable characters");
    refused(NULL, 0, large, "the warrant pattern must have 1 to 200 printable characters");
    refused(NULL, 0, "a\nb", "the warrant pattern must have 1 to 200 printable characters");
    refused(NULL, 0, "(a)\\1", "the warrant pattern must not refer back (\\1)");
    /* What regcomp would write out longer than there is memory for. */
    static const char *const towers[] = {
        "a++++++++++++++++++++++++++++++++++++++++++",
        "((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+",
        "[0-9]{2,32767}",
        "[0-9]{99999999999999999999}",
        "((([0-9]{12}){12}){12}){12}",
        "(a{9}{9}{9}{9})",
        "(((((((((((((((((((((((a)))))))))))))))))))))))",
        "[]]{40}{60}",
        "[[:digit:]]{40}{60}",
        "[^]{]{40}{60}",
    };
    for (size_t i = 0; i < sizeof(towers) / sizeof(towers[0]); i++)
        refused(NULL, 0, towers[i], "the warrant pattern has too many repetitions");

    struct vf_rules rules = {0};
    struct vf_why why = {0};
    static const char *const wrong[] = {"[0-9", "(a", "a{5,2}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(vf_rules_init(&rules, NULL, 0, wrong[i], &why), VF_E_INPUT);
        assert_memory_equal(why.text, "the warrant pattern is no extended regular expression: ", 55);
    }
    /* Patterns of real forces, and the largest that is taken. */
    static const char *const taken[] = {"[A-Z]{1,2}[0-9]{4,6}|[0-9]{5,8}|P[0-9]{5}[A-Z]?|S[0-9]{6}", "(0|[1-9][0-9]*)+",
                                        "[[:alpha:]]+[[:digit:]]{12}", "(([0-9]{7}){12}){12}"};
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        assert_int_equal(vf_rules_init(&rules, NULL, 0, taken[i], NULL), VF_OK);
        assert_false(warrant_passes(&rules, "!"));
        vf_rules_done(&rules);
    }
}

static void test_no_memory(void **state)
{
    static const char text[] = "Constable\nSergeant\n";

    (void)state;
    for (unsigned n = 1;; n++) {
        struct vf_rules rules = {0};
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_rules_init(&rules, text, sizeof(text) - 1, "[0-9]+", NULL);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            vf_rules_done(&rules);
            assert_true(n > 4);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
        assert_null(rules.ranks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),           cmocka_unit_test(test_ranks_refused), cmocka_unit_test(test_pattern),
        cmocka_unit_test(test_pattern_refused), cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
