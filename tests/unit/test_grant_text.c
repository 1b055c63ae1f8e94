/* SPDX-License-Identifier: MIT */
#include "grant_fake.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)

static struct fake_world w;
static struct fake_grant fg;

static int setup(void **state)
{
    (void)state;
    fake_world_make(&w, 2);
    fake_grant_make(&w, vf_field_set_card_print(), 3, &fg);
    const struct vf_identity *const both[] = {w.alice, w.bob};
    fake_grant_sign(&w, &fg, both, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_grant_done(&fg);
    fake_world_done(&w);
    return 0;
}

/* The text alone, as a note without signatures. */
static enum vf_err parse_text(const char *text, size_t len, struct vf_grant *ret, struct vf_why *why)
{
    const struct vf_note note = {.text = text, .text_len = len, .total_len = len};

    return vf_grant_parse(&note, "x.grant", ret, why);
}

static char *text_of(const struct vf_grant *g, size_t *ret_len)
{
    VF_BUF b = {0};

    vf_buf_init(&b, 65536);
    vf_grant_put(g, &b);
    assert_true(vf_buf_ok(&b));
    char *copy = malloc(b.len + 1);
    assert_non_null(copy);
    memcpy(copy, b.data, b.len);
    copy[b.len] = '\0';
    *ret_len = b.len;
    return copy;
}

static void assert_round_trip(const struct vf_grant *g)
{
    struct vf_grant again;
    struct vf_why why = {0};
    size_t len;
    size_t len2;
    VF_FREE char *text = text_of(g, &len);

    if (parse_text(text, len, &again, &why) != VF_OK)
        fail_msg("%s\n%s", why.text, text);
    VF_FREE char *text2 = text_of(&again, &len2);
    assert_int_equal(len, len2);
    assert_memory_equal(text, text2, len);
    assert_string_equal(g->job, again.job);
    assert_string_equal(g->purpose, again.purpose);
    assert_int_equal(g->fields, again.fields);
    assert_int_equal(g->until_us, again.until_us);
    assert_int_equal(g->budget, again.budget);
    assert_int_equal(g->renews, again.renews);
    assert_int_equal(g->clock_reset, again.clock_reset);
    assert_int_equal(g->release, again.release);
    assert_int_equal(g->prekey_batch, again.prekey_batch);
    assert_int_equal(g->prekey_number, again.prekey_number);
    assert_memory_equal(g->sealed_share, again.sealed_share, sizeof(again.sealed_share));
    assert_memory_equal(g->sealed_secret, again.sealed_secret, sizeof(again.sealed_secret));
}

static void round_trips(void **state)
{
    struct vf_grant g = fg.g;

    (void)state;
    assert_round_trip(&g);
    g.budget = 12;
    g.clock_reset = true;
    g.renews = true;
    memcpy(g.renewed.c, "ABCDEFGHIJKLMNOP", VF_GRANT_ID_LEN);
    assert_round_trip(&g);
    g.release = VF_RELEASE_ONLINE;
    vf_random(g.sealed_secret, sizeof(g.sealed_secret));
    g.prekey_batch = 3;
    g.prekey_number = 999;
    (void)strcpy(g.desk_url, "https://desk.exampleshire.police.uk:8443/vaultfs");
    assert_round_trip(&g);
    g.fields = (vf_field_set_class(VF_CLASS_A) | vf_field_set_class(VF_CLASS_B));
    assert_round_trip(&g);
    (void)memset(g.purpose, 'x', VF_PURPOSE_MAX);
    g.purpose[VF_PURPOSE_MAX] = '\0';
    (void)memset(g.job, 'j', VF_JOB_MAX);
    assert_round_trip(&g);
}

/* The text says what a person has to know, in words. */
static void is_readable(void **state)
{
    size_t len;
    VF_FREE char *text = text_of(&fg.g, &len);

    (void)state;
    assert_non_null(strstr(text, "vaultfs grant v1\nforce: Exampleshire Police\n"));
    assert_non_null(strstr(text, "\njob: cards-2026-11\nrecipient: bureau-7\n"));
    assert_non_null(strstr(
        text, "\npurpose: Reissue of warrant cards, batch 4\nissued-by: alice\nrecords: 3\nfields: name_on_card, rank, "
              "warrant_no, photo, signature, card_type, card_serial, issue_no, valid_from, valid_to\n"));
    assert_non_null(strstr(
        text, "\nissued: 2026-11-21T12:00:00Z\nfrom: 2026-11-21T12:00:00Z\nuntil: 2026-11-28T12:00:00Z\nrelease: offline\n"
              "ends: expiry enforced by software, not by cryptography\nbudget: none\nclock-reset: no\nshare: "));
}

/* `from` replaced by `to` in the text: refused with `want`. */
static void refused(const struct vf_grant *g, const char *from, const char *to, enum vf_err want)
{
    struct vf_grant got;
    struct vf_why why = {0};
    size_t len;
    VF_FREE char *text = text_of(g, &len);
    char *at = strstr(text, from);
    VF_BUF b = {0};

    assert_non_null(at);
    vf_buf_init(&b, 65536);
    vf_buf_put(&b, text, (size_t)(at - text));
    vf_buf_text(&b, to);
    vf_buf_text(&b, at + strlen(from));
    enum vf_err err = parse_text((const char *)b.data, b.len, &got, &why);
    if (err != want)
        fail_msg("\"%s\" -> \"%s\": %d (%s), not %d", from, to, err, why.text, want);
    assert_non_null(strstr(why.text, "x.grant"));
}

static void refuses(void **state)
{
    struct vf_grant online = fg.g;

    (void)state;
    refused(&fg.g, "vaultfs grant v1", "vaultfs grant v2", VF_E_VERSION);
    refused(&fg.g, "vaultfs grant v1", "vaultfs policy v1", VF_E_VERSION);
    refused(&fg.g, "force: Exampleshire Police\n", "", VF_E_FORMAT);
    refused(&fg.g, "force: Exampleshire", "force: Example\xe2\x80\xaeshire", VF_E_FORMAT); /* right-to-left override */
    refused(&fg.g, "force: ", "Force: ", VF_E_FORMAT);
    refused(&fg.g, "policy: 1", "policy: 01", VF_E_FORMAT);
    refused(&fg.g, "policy: 1", "policy: 0", VF_E_FORMAT);
    refused(&fg.g, "renews: none", "renews: nobody", VF_E_FORMAT);
    refused(&fg.g, "job: cards", "job: ../cards", VF_E_FORMAT);
    refused(&fg.g, "job: cards-2026-11", "job: cards-2026-11 ", VF_E_FORMAT);
    refused(&fg.g, "recipient: bureau-7", "recipient: Bureau", VF_E_FORMAT);
    refused(&fg.g, "records: 3", "records: 0", VF_E_FORMAT);
    refused(&fg.g, "records: 3", "records: 1000001", VF_E_FORMAT);
    refused(&fg.g, "rank, warrant_no", "warrant_no, rank", VF_E_FORMAT);
    refused(&fg.g, "rank, warrant_no", "rank, rank, warrant_no", VF_E_FORMAT);
    refused(&fg.g, "rank, warrant_no", "rank,warrant_no", VF_E_FORMAT);
    refused(&fg.g, ", valid_to\n", ", valid_to, \n", VF_E_FORMAT);
    refused(&fg.g, ", valid_to\n", ", valid_to,\n", VF_E_FORMAT);
    refused(&fg.g, "rank, warrant_no", "rank, nonsense", VF_E_FORMAT);
    refused(&fg.g, ", valid_to\n", ", valid_to, vetting\n", VF_E_CLASS_REFUSED);
    refused(&fg.g, ", valid_to\n", ", valid_to, pay_no\n", VF_E_CLASS_REFUSED);
    refused(&fg.g, "until: 2026-11-28T12:00:00Z", "until: 2026-11-21T12:00:00Z", VF_E_FORMAT);
    refused(&fg.g, "until: 2026-11-28T12:00:00Z", "until: 2026-11-31T12:00:00Z", VF_E_FORMAT);
    refused(&fg.g, "from: 2026-11-21T12:00:00Z", "from: 2026-11-28T12:00:00Z", VF_E_FORMAT);
    refused(&fg.g, "release: offline", "release: sometimes", VF_E_FORMAT);
    refused(&fg.g, "ends: expiry enforced by software, not by cryptography", "ends: expiry enforced by cryptography",
            VF_E_FORMAT);
    refused(&fg.g, "budget: none", "budget: 0", VF_E_FORMAT);
    refused(&fg.g, "budget: none", "budget: 007", VF_E_FORMAT);
    refused(&fg.g, "clock-reset: no", "clock-reset: maybe", VF_E_FORMAT);
    refused(&fg.g, "share: ", "share:", VF_E_FORMAT);
    refused(&fg.g, "catalogue-sha256: ", "x: y\ncatalogue-sha256: ", VF_E_FORMAT);
    /* What belongs to the other kind of release. */
    refused(&fg.g, "release: offline", "release: online", VF_E_FORMAT);
    online.release = VF_RELEASE_ONLINE;
    online.prekey_batch = 1;
    (void)strcpy(online.desk_url, "http://desk");
    refused(&online, "prekey: 1/0", "prekey: none", VF_E_FORMAT);
    refused(&online, "prekey: 1/0", "prekey: 1/", VF_E_FORMAT);
    refused(&online, "prekey: 1/0", "prekey: 0/1", VF_E_FORMAT);
    refused(&online, "desk-url: http://desk", "desk-url: http://de sk", VF_E_FORMAT);
    refused(&online, "desk-url: http://desk\n", "", VF_E_FORMAT);
    refused(&online, "release: online", "release: offline", VF_E_FORMAT);
}

/* Renewing oneself makes no sense. */
static void refuses_own_renewal(void **state)
{
    struct vf_grant g = fg.g;
    struct vf_grant got;
    size_t len;

    (void)state;
    g.renews = true;
    g.renewed = g.id;
    VF_FREE char *text = text_of(&g, &len);
    assert_int_equal(parse_text(text, len, &got, NULL), VF_E_FORMAT);
}

/* Whatever byte is changed, left out or doubled: refused, or another grant that is written exactly so. */
static void every_byte(void **state)
{
    size_t len;
    VF_FREE char *text = text_of(&fg.g, &len);
    VF_FREE char *copy = malloc(len + 1);
    unsigned taken = 0;

    (void)state;
    for (size_t i = 0; i < len; i++) {
        for (unsigned how = 0; how < 4; how++) {
            struct vf_grant got;
            size_t n = len;
            memcpy(copy, text, len);
            if (how == 0)
                copy[i] = (char)(copy[i] ^ 1);
            else if (how == 1)
                copy[i] = '\n';
            else if (how == 2)
                memmove(copy + i, copy + i + 1, --n - i);
            else
                memmove(copy + i + 1, copy + i, n++ - i);
            if (parse_text(copy, n, &got, NULL) != VF_OK)
                continue;
            size_t again;
            VF_FREE char *put = text_of(&got, &again);
            assert_int_equal(n, again);
            assert_memory_equal(copy, put, n);
            taken++;
        }
        struct vf_grant got;
        assert_int_not_equal(parse_text(text, i, &got, NULL), VF_OK);
    }
    assert_true(taken > 100); /* ids, hashes, names, numbers: another grant, which nobody has signed */
}

static void windows(void **state)
{
    struct vf_why why = {0};

    (void)state;
    OK(vf_grant_window(&fg.g, fg.g.from_us, &why));
    OK(vf_grant_window(&fg.g, fg.g.until_us - 1, &why));
    assert_int_equal(vf_grant_window(&fg.g, fg.g.from_us - 1, &why), VF_E_NOT_YET);
    assert_non_null(strstr(why.text, "starts on 21 Nov 2026 at 12:00 UTC"));
    assert_int_equal(vf_grant_window(&fg.g, fg.g.until_us, &why), VF_E_EXPIRED);
    assert_non_null(strstr(why.text, "ended on 28 Nov 2026 at 12:00 UTC"));
}

static void layouts(void **state)
{
    struct vf_grant_layout l;
    size_t len;

    (void)state;
    vf_grant_layout_of(vf_field_set_card_print(), &l);
    assert_int_equal(l.nfields, 10);
    assert_int_equal(l.ntext, 8);
    assert_int_equal(l.nimage, 2);
    assert_int_equal(l.manifest_stride, 8 + 10 * 36);
    assert_int_equal(l.text_envelope_len, 8 * 32 + 16);
    assert_int_equal(l.image_envelope_len, 2 * 32 + 16);
    assert_int_equal(l.catalogue_stride, 8 + 8 + 10 * 4);
    assert_int_equal(vf_envelope_at(&l, 0, VF_PART_TEXT, &len), 30);
    assert_int_equal(vf_envelope_at(&l, 2, VF_PART_IMAGE, &len), 30 + 2 * (272 + 80) + 272);
    assert_int_equal(len, 80);
    /* A renewal travels as these three alone. */
    assert_true(l.manifest_stride + l.envelope_stride + l.catalogue_stride < 1024);
    vf_grant_layout_of(VF_FIELD_BIT(VF_FIELD_PHOTO), &l);
    assert_int_equal(l.text_envelope_len, 0);
    (void)vf_envelope_at(&l, 0, VF_PART_TEXT, &len);
    assert_int_equal(len, 0);
    vf_grant_layout_of(VF_FIELD_BIT(VF_FIELD_RANK), &l);
    assert_int_equal(l.image_envelope_len, 0);
}

static enum vf_artefact kind_of(const char *head)
{
    return vf_artefact_of((const uint8_t *)head, strlen(head));
}

static void artefacts(void **state)
{
    (void)state;
    assert_int_equal(vf_artefact_of(fg.file.data, 32), VF_ARTEFACT_GRANT);
    assert_int_equal(vf_artefact_of(fg.bundle.data, 32), VF_ARTEFACT_BUNDLE);
    assert_int_equal(vf_artefact_of(w.enrol_bytes.data, 32), VF_ARTEFACT_ENROL);
    assert_int_equal(vf_artefact_of((const uint8_t *)w.chain.bytes, 32), VF_ARTEFACT_POLICY);
    assert_int_equal(kind_of("vaultfs revocation v1\nvault: "), VF_ARTEFACT_REVOCATION);
    assert_int_equal(kind_of("vaultfs prekeys v1\n"), VF_ARTEFACT_PREKEYS);
    assert_int_equal(kind_of("vaultfs.log/0123456789abcdef"), VF_ARTEFACT_RECEIPT);
    assert_int_equal(kind_of("vaultfs-identity-v1 admin alice"), VF_ARTEFACT_IDENTITY);
    assert_int_equal(kind_of("VFHANDIN"), VF_ARTEFACT_HANDIN);
    assert_int_equal(kind_of("VFGRAN"), VF_ARTEFACT_UNKNOWN);
    assert_int_equal(vf_artefact_of(NULL, 0), VF_ARTEFACT_UNKNOWN);
    for (int a = VF_ARTEFACT_UNKNOWN; a <= VF_ARTEFACT_IDENTITY; a++)
        assert_true(strncmp(vf_artefact_text((enum vf_artefact)a), "a", 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips), cmocka_unit_test(is_readable),
        cmocka_unit_test(refuses),     cmocka_unit_test(refuses_own_renewal),
        cmocka_unit_test(every_byte),  cmocka_unit_test(windows),
        cmocka_unit_test(layouts),     cmocka_unit_test(artefacts),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
