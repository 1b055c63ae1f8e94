/* SPDX-License-Identifier: MIT */
/* Photos: refused with a reason, or bare: cleaned again, a photo is what it was and has nothing on it. */
#include "vaultfs/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void clean(const uint8_t *data, size_t len, const struct vf_image_options *opt)
{
    struct vf_image_report r = {0};
    struct vf_image_report again = {0};
    struct vf_why why = {0};
    VF_BUF once;
    VF_BUF twice;

    vf_buf_init(&once, 1024 * 1024);
    vf_buf_init(&twice, 1024 * 1024);
    if (vf_photo_clean(data, len, opt, &once, &r, &why) != VF_OK) {
        check(why.err == VF_E_INPUT && why.text[0] != '\0' && vf_text_printable(why.text, strlen(why.text)) &&
              once.len == 0);
        return;
    }
    const struct vf_image_options proof = {.fit = false, .decode = true};
    check(vf_photo_clean(once.data, once.len, &proof, &twice, &again, NULL) == VF_OK);
    check(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    check(again.width == r.width && again.height == r.height && again.orientation == 0 && !again.reencoded && !again.scaled);
    check(!again.had_exif && !again.had_gps && !again.had_thumbnail && !again.had_xmp && !again.had_iptc &&
          !again.had_comment && !again.had_mpf && !again.had_trailing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct vf_image_options opt = {.fit = len % 2 == 1, .decode = true};

    clean(data, len, &opt);
    return 0;
}
