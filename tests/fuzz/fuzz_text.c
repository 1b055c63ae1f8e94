/* SPDX-License-Identifier: MIT */
/* All text forms of base over the same bytes: what one of them accepts it writes back byte for byte. */
#include "vaultfs/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void times(const char *s, size_t len)
{
    char out[VF_TIME_US_LEN + 1];
    int64_t us = -1;

    if (vf_time_parse(s, len, &us)) {
        vf_time_format(us, out);
        check(len == VF_TIME_LEN && memcmp(out, s, len) == 0);
    }
    if (vf_time_parse_us(s, len, &us)) {
        vf_time_format_us(us, out);
        check(len == VF_TIME_US_LEN && memcmp(out, s, len) == 0);
    }
}

static void arguments(const char *s)
{
    int64_t span = -1;
    int64_t at = -1;

    if (vf_duration_parse(s, &span))
        check(span >= 0);
    if (vf_time_parse_arg(s, 0, &at))
        check(at >= 0);
}

static void numbers(const char *s, size_t len)
{
    uint64_t v = 0;

    if (vf_uint_parse(s, len, UINT64_MAX, &v)) {
        char out[21];
        (void)snprintf(out, sizeof(out), "%llu", (unsigned long long)v);
        check(strlen(out) == len && memcmp(out, s, len) == 0);
    }
}

static void names(const char *s, size_t len)
{
    struct vf_grant_id id;
    struct vf_ref ref;
    bool utf8 = vf_utf8_valid(s, len);

    if (vf_ref_parse(s, len, &ref))
        check(memcmp(ref.c, s, len) == 0);
    if (vf_grant_id_parse(s, len, &id))
        check(memcmp(id.c, s, len) == 0);
    /* Each of these is stricter than the next. */
    check(!vf_job_valid(s, len) || vf_name_valid(s, len));
    check(!vf_name_valid(s, len) || vf_text_printable(s, len));
    check(!vf_text_printable(s, len) || utf8);
}

static void hex(const char *s, size_t len)
{
    uint8_t *raw = malloc(len / 2 + 1);
    char *out = malloc(len + 2);

    check(raw != NULL && out != NULL);
    if (vf_unhex(s, len, raw, len / 2)) {
        vf_hex(raw, len / 2, out);
        check(memcmp(out, s, len) == 0);
    }
    free(raw);
    free(out);
}

static void json(const char *s, size_t len)
{
    struct vf_buf b;

    vf_buf_init(&b, 6 * len + 2);
    vf_buf_json(&b, s, len);
    check(vf_buf_ok(&b) && b.len >= 2 && b.data[0] == '"' && b.data[b.len - 1] == '"');
    check(vf_text_printable((const char *)b.data, b.len));
    vf_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *s = (const char *)data;
    char *text = strndup(s, len);

    check(text != NULL);
    times(s, len);
    arguments(text);
    numbers(s, len);
    names(s, len);
    hex(s, len);
    json(s, len);
    free(text);
    return 0;
}
