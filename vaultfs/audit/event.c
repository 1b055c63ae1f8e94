/* SPDX-License-Identifier: MIT */
#include "vaultfs/audit.h"

#include "entry.h"

#include <string.h>

struct row {
    const char *name;
    size_t len;
    enum vf_category category;
};

static const struct row rows[VF_EVENT_COUNT] = {
#define VF_EVENT_ROW_(code, name, category) [VF_EVENT_##code] = {name, sizeof(name) - 1, VF_CATEGORY_##category},
    VF_EVENTS(VF_EVENT_ROW_)
#undef VF_EVENT_ROW_
};

/* DPA 2018 s.62(1)(a) to (f). */
static const char *const categories[] = {
    [VF_CATEGORY_NONE] = "",
    [VF_CATEGORY_COLLECTION] = "collection",
    [VF_CATEGORY_ALTERATION] = "alteration",
    [VF_CATEGORY_CONSULTATION] = "consultation",
    [VF_CATEGORY_DISCLOSURE] = "disclosure",
    [VF_CATEGORY_COMBINATION] = "combination",
    [VF_CATEGORY_ERASURE] = "erasure",
};

const char *vf_event_text(enum vf_event event)
{
    return (unsigned)event < VF_EVENT_COUNT ? rows[event].name : "unknown";
}

bool vf_event_parse(const char *s, size_t len, enum vf_event *ret)
{
    for (unsigned i = 0; i < VF_EVENT_COUNT; i++) {
        if (rows[i].len == len && memcmp(rows[i].name, s, len) == 0) {
            *ret = (enum vf_event)i;
            return true;
        }
    }
    return false;
}

const char *vf_event_category(enum vf_event event)
{
    return categories[(unsigned)event < VF_EVENT_COUNT ? rows[event].category : VF_CATEGORY_NONE];
}
