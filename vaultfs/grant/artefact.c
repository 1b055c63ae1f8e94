/* SPDX-License-Identifier: MIT */
/* What a file from outside claims to be. Its own parser decides whether it is. */
#include "file.h"

#include <string.h>

struct mark {
    enum vf_artefact artefact;
    const char *head;
};

/* Notes are known by their first line, with the version left to the parser, which can say what is wrong with it. */
static const struct mark marks[] = {
    {VF_ARTEFACT_POLICY, "vaultfs policy v"},
    {VF_ARTEFACT_ENROL, "vaultfs enrolment v"},
    {VF_ARTEFACT_REVOCATION, "vaultfs revocation v"},
    {VF_ARTEFACT_PREKEYS, "vaultfs prekeys v"},
    {VF_ARTEFACT_RECEIPT, "vaultfs.log/"},
    {VF_ARTEFACT_IDENTITY, "vaultfs-identity-v"},
    {VF_ARTEFACT_IDENTITY, "VFIDENT"},
    {VF_ARTEFACT_GRANT, "VFGRANT"},
    {VF_ARTEFACT_BUNDLE, "VFBUNDL"},
    {VF_ARTEFACT_HANDIN, "VFHANDI"},
};

enum vf_artefact vf_artefact_of(const uint8_t *head, size_t len)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        size_t n = strlen(marks[i].head);
        if (len >= n && memcmp(head, marks[i].head, n) == 0)
            return marks[i].artefact;
    }
    return VF_ARTEFACT_UNKNOWN;
}

const char *vf_artefact_text(enum vf_artefact a)
{
    switch (a) {
    case VF_ARTEFACT_POLICY:
        return "a policy";
    case VF_ARTEFACT_GRANT:
        return "a grant";
    case VF_ARTEFACT_BUNDLE:
        return "a bundle";
    case VF_ARTEFACT_ENROL:
        return "an enrolment";
    case VF_ARTEFACT_REVOCATION:
        return "a revocation";
    case VF_ARTEFACT_RECEIPT:
        return "a receipt";
    case VF_ARTEFACT_HANDIN:
        return "a handed-in log";
    case VF_ARTEFACT_PREKEYS:
        return "a batch of prekeys";
    case VF_ARTEFACT_IDENTITY:
        return "an identity";
    case VF_ARTEFACT_UNKNOWN:
        break;
    }
    return "a file of an unknown kind";
}
