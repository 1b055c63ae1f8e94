/* SPDX-License-Identifier: MIT */
/* A line of the log: what is accepted is one line of safe text, and every piece of it lies within it. */
#include "vaultfs/audit.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void within(const struct vf_entry_view *v, struct vf_entry_text t)
{
    check(t.p == NULL || (t.p > v->line && t.len < v->line_len && t.p + t.len < v->line + v->line_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *line = (const char *)data;
    struct vf_entry_view v;
    struct vf_why why = {0};
    enum vf_err err = vf_entry_parse(line, len, &v, &why);

    if (err != VF_OK) {
        check(err == VF_E_FORMAT && why.text[0] != '\0' && vf_text_printable(why.text, strlen(why.text)));
        return 0;
    }
    check(v.line == line && v.line_len == len && len <= VF_ENTRY_LINE_MAX);
    check(vf_text_printable(line, len));
    check(v.time_us >= 0 && (unsigned)v.event < VF_EVENT_COUNT);
    within(&v, v.grant);
    within(&v, v.job);
    within(&v, v.recipient);
    within(&v, v.refs);
    within(&v, v.manifest);
    within(&v, v.part);
    within(&v, v.fields);
    within(&v, v.exe);
    within(&v, v.object);
    within(&v, v.host);
    within(&v, v.session);
    within(&v, v.result);
    check(v.host.p != NULL && v.session.len == 32 && v.result.p != NULL);
    check(v.all == (v.manifest.p != NULL) && (!v.all || (v.refs.len == 3 && memcmp(v.refs.p, "all", 3) == 0)));
    return 0;
}
