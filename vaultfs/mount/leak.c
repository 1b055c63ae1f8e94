/* SPDX-License-Identifier: MIT */
/* Where plaintext may leave this computer's memory without us: swap that is not encrypted, hibernation. */
#include "mount.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

static bool read_line(const char *path, char *out, size_t size)
{
    VF_CLEANUP(vf_stream_close) FILE *f = fopen(path, "re");
    if (!f || !fgets(out, (int)size, f))
        return false;
    out[strcspn(out, "\n")] = '\0';
    return true;
}

/* A dm-crypt device, or compressed memory. */
static bool swap_is_safe(const char *device)
{
    char path[128], uuid[128];
    struct stat st;
    if (strncmp(device, "/dev/zram", 9) == 0)
        return true;
    if (stat(device, &st) || !S_ISBLK(st.st_mode))
        return false; /* a swap file lies on some filesystem: not known to be encrypted */
    (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dm/uuid", major(st.st_rdev), minor(st.st_rdev));
    return read_line(path, uuid, sizeof(uuid)) && strncmp(uuid, "CRYPT-", 6) == 0;
}

void vf_leak_warn(FILE *out)
{
    char line[512], device[256];
    VF_CLEANUP(vf_stream_close) FILE *swaps = fopen("/proc/swaps", "re");
    bool header = true;
    while (swaps && fgets(line, sizeof(line), swaps)) {
        if (!header && sscanf(line, "%255s", device) == 1 && !swap_is_safe(device))
            (void)fprintf(
                out,
                "vaultfs: warning: swap on %s is not known to be encrypted; what programs read may stay on the disk. "
                "Use encrypted swap or none.\n",
                device);
        header = false;
    }
    if (read_line("/sys/power/state", line, sizeof(line)) && strstr(line, "disk") &&
        read_line("/sys/power/resume", device, sizeof(device)) && strcmp(device, "0:0") != 0)
        (void)fprintf(out, "vaultfs: warning: this computer can hibernate; hibernation writes all memory to the disk. "
                           "Switch it off while records are mounted.\n");
}
