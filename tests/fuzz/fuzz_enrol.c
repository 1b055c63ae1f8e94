/* SPDX-License-Identifier: MIT */
/* An enrolment with its signatures. */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    struct vf_enrol e;
    struct vf_why why = {0};
    struct vf_hash log;

    if (!ready && vf_crypto_init(65536, NULL) != VF_OK)
        abort();
    ready = true;
    if (vf_enrol_parse(data, len, "fuzz", &e, &why) != VF_OK)
        return 0;
    vf_sha256(e.origin, e.origin_len, &log);
    if (e.device.role != VF_ROLE_DEVICE || strcmp(e.device.name, e.name) != 0 || memcmp(&log, &e.log_id, sizeof(log)) != 0)
        abort();
    return 0;
}
