/* SPDX-License-Identifier: MIT */
/* Lines of the log one after the other: what the line before was makes no difference to how one is taken apart. */
#include "entry_same.h"

#include <stdlib.h>

#define LINES 16 /* a memo looks back by two at most */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct vf_entry_view views[LINES];
    const char *p = (const char *)data;
    const char *end = p + len;
    struct vf_entry_memo memo = {0};

    for (unsigned n = 0; p < end && n < LINES;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t line = (size_t)((nl != NULL ? nl : end) - p);
        bool taken = false;
        if (!entry_same(p, line, &memo, &views[n], &taken))
            abort();
        n += taken ? 1 : 0;
        p += line + 1;
    }
    return 0;
}
