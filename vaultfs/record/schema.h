/* SPDX-License-Identifier: MIT */
/* record, internal: what the schema knows of a field beyond what other rooms may see. */
#ifndef VAULTFS_RECORD_SCHEMA_H
#define VAULTFS_RECORD_SCHEMA_H

#include "vaultfs/record.h"

enum vf_form {
    VF_FORM_TEXT,    /* any printable text */
    VF_FORM_RANK,    /* one of the force's list */
    VF_FORM_WARRANT, /* the force's pattern */
    VF_FORM_CHOICE,  /* one of def->choices */
    VF_FORM_DATE,    /* YYYY-MM-DD */
    VF_FORM_MOMENT,  /* a date or an RFC 3339 time */
    VF_FORM_NUMBER,  /* 1, 2, 3 ... */
    VF_FORM_HEX,     /* a chip's UID: 4, 7 or 10 bytes */
    VF_FORM_IMAGE,
};

#define VF_CHOICES_MAX 8

struct vf_field_def {
    struct vf_field_info info;
    enum vf_form form;
    const char *choices[VF_CHOICES_MAX + 1]; /* ends with NULL */
};

/* NULL for a number that is no field. */
const struct vf_field_def *vf_schema_def(unsigned field);

#endif
