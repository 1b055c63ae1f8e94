/* SPDX-License-Identifier: MIT */
/* For tests of the station's side: one client, one online grant, and the desk that does as it is told. On desk_fake. */
#ifndef VAULTFS_TESTS_DESK_CLIENT_TEST_H
#define VAULTFS_TESTS_DESK_CLIENT_TEST_H

#include "desk_fake.h"

#include "fakeclock.h"

#define WAIT_US (3 * VF_SECOND_US) /* in real time: none of these should need it */

extern struct fake_world w;
extern struct vf_desk_client *client;
extern struct vf_job *job;

void client_begin(uint64_t budget, const char *request, const char *answer); /* by files, or NULL */
void client_end(void);
void client_tell(void *user, const char *text);
bool client_was_told(const char *words);
enum vf_err client_get(uint32_t index, enum vf_part part);
int64_t client_now_ms(void);
void client_wait_for_requests(unsigned n);
struct client_opener { /* on a thread */
    pthread_t thread;
    uint32_t index;
    enum vf_part part;
    enum vf_err err;
};
void *client_open_one(void *opener);

#endif
