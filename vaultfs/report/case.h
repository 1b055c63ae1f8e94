/* SPDX-License-Identifier: MIT */
/*
 * report, internal: what is known of a force from the outside of its vault, or of a backup of it, without any key: devices and their logs,
 * grants and what they name, which records there are, what the vault's own log says of erasures and revocations.
 */
#ifndef VAULTFS_REPORT_CASE_H
#define VAULTFS_REPORT_CASE_H

#include <string.h>
#include <vaultfs/grant.h>

#define VF_CASE_NONE UINT32_MAX
/* Refs that nobody but a log knows: a hostile log cannot make us take more memory than this. */
#define VF_CASE_STRANGERS_MAX 1000000u

struct vf_case_device {
    struct vf_enrol enrol; /* name, log id, key, enrolment id */
    bool revoked;
    int64_t revoked_us; /* by the vault's log; 0: not known */
    int64_t handin_us;  /* 0: never */
    uint64_t handin_size;
    char *handin_dir; /* the vault's copy of its log; NULL: none */
};
struct vf_case_grant {
    struct vf_grant g;
    uint32_t device;   /* VF_CASE_NONE: its enrolment is not in the vault */
    uint32_t manifest; /* VF_CASE_NONE: not in the vault */
    bool revoked;      /* itself or its device */
    bool exported;     /* a bundle was written for it */
    unsigned signatures;
    int64_t revoked_us; /* 0: not known */
};
struct vf_case_manifest {
    struct vf_hash hash;
    vf_field_set fields;
    uint32_t n;
    uint32_t *at;    /* index of the ref of each row */
    uint8_t *images; /* of each row: bit 0 there is a photo, bit 1 a signature */
};
/* A grant that the vault's log (or a device's) names and the vault does not know. */
struct vf_case_stray {
    struct vf_grant_id id;
    char recipient[VF_NAME_MAX + 1];
    bool has_manifest;
    struct vf_hash manifest;
    vf_field_set fields; /* 0: not known */
    int64_t time_us;
};
struct vf_case_ref {
    struct vf_ref ref;
    bool in_vault;
    int64_t erased_us; /* 0: not erased, as far as the vault's log tells */
};
struct vf_case_log { /* one of the vault's own logs: log/, or that of the vault it was restored from */
    char *path;
    bool read, good;
    uint64_t entries, sealed;
    int64_t sealed_until_us;
    char words[240]; /* what is wrong, when not good */
};

struct vf_case_slot { /* the ref stands here too: a look costs one place in memory */
    struct vf_ref ref;
    uint32_t at; /* VF_CASE_NONE: empty */
};

struct vf_case {
    char *path;
    bool backup;
    int64_t as_of_us;    /* of a backup: when it was made; of a vault: now */
    int64_t restored_us; /* the vault was made from a backup then; 0: it was not */
    bool has_policy;
    struct vf_policy_chain chain;
    struct vf_vault_id vault;
    struct vf_case_device *devices;
    uint32_t ndevices;
    struct vf_case_grant *grants; /* by id */
    uint32_t ngrants;
    struct vf_case_manifest *manifests; /* by hash */
    uint32_t nmanifests;
    struct vf_case_stray *strays;
    uint32_t nstrays;
    struct vf_case_log *logs;
    uint32_t nlogs;
    /* Every ref that is known, in the order in which it became so: an index stays what it is. */
    struct vf_case_ref *refs;
    uint32_t nrefs;
    uint32_t records; /* of these, in the vault */
    /* Internal. */
    uint32_t refs_room, nslots;
    struct vf_case_slot *slots;
    uint32_t devices_room, grants_room, manifests_room, strays_room, logs_room;
};

/*
 * `path`: a vault's folder or a backup file. `scratch`: an empty folder into which the logs of a backup are put; NULL: they are left out.
 * VF_E_NOT_FOUND, VF_E_DAMAGED and what reading brings. Log files that cannot be read are no error: see vf_case_log.
 */
VF_MUST_USE enum vf_err vf_case_open(const char *path, const char *scratch, struct vf_case **ret, struct vf_why *why);
void vf_case_close(struct vf_case *c); /* NULL is fine */
void vf_case_cleanup(struct vf_case **c);
#define VF_CASE VF_CLEANUP(vf_case_cleanup) struct vf_case *

/* Index of a ref; VF_CASE_NONE: not known. */
uint32_t vf_case_find(const struct vf_case *c, const struct vf_ref *ref);
/* It will be looked for: fetch its place from memory meanwhile. */
void vf_case_find_soon(const struct vf_case *c, const struct vf_ref *ref);
/* The same, made known if it was not. */
VF_MUST_USE enum vf_err vf_case_intern(struct vf_case *c, const struct vf_ref *ref, uint32_t *ret, struct vf_why *why);
/* Indexes in the order of the refs; freed by the caller. */
VF_MUST_USE enum vf_err vf_case_order(const struct vf_case *c, uint32_t **ret, struct vf_why *why);
uint32_t vf_case_grant_find(const struct vf_case *c, const struct vf_grant_id *id);
uint32_t vf_case_manifest_find(const struct vf_case *c, const struct vf_hash *hash);
/* Whose log is this? By log id. */
uint32_t vf_case_device_by_log(const struct vf_case *c, const struct vf_hash *log_id);
/* Remember a grant that nobody issued here. */
VF_MUST_USE enum vf_err vf_case_stray_add(struct vf_case *c, const struct vf_case_stray *stray, struct vf_why *why);

/*
 * The logs in the store of a key desk: its own, and its copies of its devices'. *ret_n 0: the path is no such store. Freed with
 * vf_case_paths_free.
 */
VF_MUST_USE enum vf_err vf_case_desk_store(const char *path, char ***ret, size_t *ret_n, struct vf_why *why);
void vf_case_paths_free(char **paths, size_t n);

/* case_log.c: the vault's own logs below `root` (the vault's folder, or the scratch folder of a backup). */
VF_MUST_USE enum vf_err vf_case_read_logs(struct vf_case *c, const char *root, struct vf_why *why);

/* For case_load.c and case_log.c: one row of the vault; what refers to what, once all are there; room for one more in an array. */
VF_MUST_USE enum vf_err vf_case_take_row(void *user, enum vf_vault_table table, struct vf_slice key, struct vf_slice val,
                                         struct vf_why *why);
void vf_case_link(struct vf_case *c);
VF_MUST_USE bool vf_case_room(void *pp, uint32_t n, uint32_t *have, size_t size);

/* What an entry's pieces say. Fields: VF_CASE_FIELDS_ALL when one of them is not known here. */
#define VF_CASE_FIELDS_ALL (((vf_field_set)1 << VF_FIELD_COUNT) - 2)
vf_field_set vf_case_entry_fields(const struct vf_entry_text *t);
/* The i-th ref of "REF","REF"…; count: how many. */
static inline size_t vf_case_entry_refs(const struct vf_entry_view *e)
{
    return e->all || e->refs.p == NULL ? 0 : (e->refs.len + 1) / (VF_REF_LEN + 3);
}
static inline struct vf_ref vf_case_entry_ref(const struct vf_entry_view *e, size_t i)
{
    const char *p = e->refs.p + i * (VF_REF_LEN + 3) + 1;

    return (struct vf_ref){{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]}};
}
/* Here, so that the length of a constant is one: it is asked for every entry. */
static inline bool vf_case_text_is(const struct vf_entry_text *t, const char *text)
{
    size_t n = strlen(text);

    return t->p != NULL && t->len == n && memcmp(t->p, text, n) == 0;
}

#endif
