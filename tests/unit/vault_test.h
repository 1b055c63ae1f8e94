/* SPDX-License-Identifier: MIT */
/* What the tests of the vault room share: admins, a vault in a folder of its own, CSVs and pictures to import. */
#ifndef VAULTFS_TESTS_VAULT_TEST_H
#define VAULTFS_TESTS_VAULT_TEST_H

#include "scratch.h"
#include "vaultfs/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

/* What failed, for calls that are expected to succeed. */
extern struct vf_why *const why;
#define OK(call)                                                                            \
    do {                                                                                    \
        if ((call) != VF_OK) {                                                              \
            (void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, why->text); \
            abort();                                                                        \
        }                                                                                   \
    } while (0)
/* The same for a condition. */
#define MUST(cond)                                                                           \
    do {                                                                                     \
        if (!(cond)) {                                                                       \
            (void)fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #cond, why->text); \
            abort();                                                                         \
        }                                                                                    \
    } while (0)

/* Start the crypto room and make the admins alice, bob and carol; for cmocka_run_group_tests. */
int vault_set_up(void **state);
/* The same with an arena of this size. */
int admins_set_up(size_t arena);
int vault_tear_down(void **state);
enum { ALICE, BOB, CAROL, ADMINS };
extern struct vf_identity *admin[ADMINS];
const struct vf_identity_pub *pub_of(unsigned who);

struct place {
    struct scratch dir;
    char vault[300];
};
/* A vault of these admins (alice creates it). */
void place_make(struct place *p, unsigned nadmins, unsigned threshold);
void place_done(struct place *p);
/* A vault of alice's alone, open for writing; closed again, with a full check, which must find nothing. */
struct vf_vault *place_open(struct place *p);
void place_close(struct place *p, struct vf_vault **v);
char *place_path(const struct place *p, const char *name, char out[400]);

/* A policy file: parsed, to be given to vf_policy_chain_done; with one more signature in its place. */
void chain_of(const struct vf_buf *file, struct vf_policy_chain *ret);
void sign_policy(struct vf_buf *file, unsigned who);

struct vf_vault *open_as(const struct place *p, enum vf_vault_mode mode, unsigned who);
void close_vault(struct vf_vault *v);

/* Write a file below the place. */
void put_file(const struct place *p, const char *name, const void *data, size_t len);
/* malloc'ed, NUL behind. */
char *get_file(const char *path, size_t *ret_len);
/* Write `csv` and import it; aborts unless the result is `expect`. `photos`: folder below the place, or NULL. */
void import_csv(struct vf_vault *v, const struct place *p, const char *csv, const char *photos, enum vf_err expect,
                struct vf_import_report *ret);
/* A JPEG of 300x350, different for each seed, into folder/name. */
void put_photo(const struct place *p, const char *name, unsigned seed);

/* The value as text; the buffer is static. */
const char *text_of(struct vf_vault *v, const struct vf_ref *ref, enum vf_field field);
struct vf_ref ref_of(struct vf_vault *v, const char *warrant_no);
void set_text(struct vf_vault *v, const struct vf_ref *ref, enum vf_field field, const char *text);
uint64_t count_rows(struct vf_vault *v, unsigned table);

/* No finding in a full check with alice's key. Returns the report. */
struct vf_vault_check_report check_clean(const struct place *p);
uint64_t check_findings(const struct place *p, unsigned who, bool print);

#endif
