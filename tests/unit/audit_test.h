/* SPDX-License-Identifier: MIT */
/* What the tests of the audit room share: a log in a folder of its own, a device that signs it, typical entries, files to tamper with. */
#ifndef VAULTFS_TESTS_AUDIT_TEST_H
#define VAULTFS_TESTS_AUDIT_TEST_H

#include "scratch.h"
#include "vaultfs/audit.h"

#include <stdlib.h>
#include <string.h>

struct audit_place {
    struct scratch dir;
    char log[300];  /* the folder of the log */
    char seal[300]; /* its slot file */
    struct vf_hash id;
};

/* For cmocka_run_group_tests: keys, and `device`. */
int audit_set_up(void **state);
int audit_tear_down(void **state);
extern struct vf_identity *device;
extern struct vf_note_key device_key;

/* These abort with a message when they fail: usable in children and threads, where cmocka is not. */
void audit_place_make(struct audit_place *p); /* with a new, empty log in it */
void audit_place_done(struct audit_place *p);
struct vf_log *audit_open(const struct audit_place *p, const struct vf_log_options *opt);
void audit_close(struct vf_log *log);
void audit_commit(struct vf_log *log, uint64_t n); /* the nth typical entry: an opened photo */
void audit_seal(struct vf_log *log);
/* So many typical entries more, three a seal, in short segments. */
void audit_grow(const struct audit_place *p, unsigned entries);
/* The log in folder `from` as the file `to`, as a station hands it in. Returns how many entries. */
uint64_t audit_hand_in(const char *from, const char *to);
/* A typical entry of about 400 bytes; what it points to is static and differs with n. */
struct vf_entry audit_entry(uint64_t n, struct vf_ref *ref);

/* Verify with the device's key and the log's id. Returns the verdict's `good`. */
bool audit_verify(const struct audit_place *p, const char *path, struct vf_verdict *v);
/* Is there a finding (note) with these words in it? */
bool audit_found(const struct vf_verdict *v, const char *words);
bool audit_noted(const struct vf_verdict *v, const char *words);
void audit_print(const struct vf_verdict *v);

/* Whole files. audit_read gives malloc'ed bytes with a NUL behind them. */
char *audit_read(const char *path, size_t *ret_len);
void audit_write(const char *path, const void *data, size_t len);
void audit_copy_tree(const char *from, const char *to);
void audit_path(char out[400], const char *dir, const char *name);

/* The call succeeds, or the test program ends with its reason. WHY is where calls within OK put it. */
extern struct vf_why audit_why;
#define WHY (&audit_why)
#define OK(call)                                                                                 \
    do {                                                                                         \
        if ((call) != VF_OK) {                                                                   \
            (void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, audit_why.text); \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

#endif
