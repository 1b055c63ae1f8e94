/* SPDX-License-Identifier: MIT */
#include "exif.h"

#include <libexif/exif-data.h>

#define BLOCK_MAX 65533u /* of one segment */

static uint8_t orientation_of(ExifData *exif)
{
    const ExifEntry *e = exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);

    if (e == NULL || e->format != EXIF_FORMAT_SHORT || e->components < 1 || e->data == NULL || e->size < 2)
        return 0;
    ExifShort v = exif_get_short(e->data, exif_data_get_byte_order(exif));
    return v >= 1 && v <= 8 ? (uint8_t)v : 0;
}

enum vf_err vf_exif_read(const uint8_t *block, size_t len, struct vf_exif_facts *ret, struct vf_why *why)
{
    struct vf_exif_facts facts = {0};
    ExifData *exif = len <= BLOCK_MAX ? exif_data_new() : NULL;

    if (exif == NULL)
        return vf_fail(why, VF_E_NOMEM, "EXIF: out of memory");
    /* Read it as it is: nothing is put in, converted or left out for the standard's sake. */
    exif_data_unset_option(exif, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
    exif_data_unset_option(exif, EXIF_DATA_OPTION_IGNORE_UNKNOWN_TAGS);
    exif_data_load_data(exif, block, (unsigned int)len);
    facts.orientation = orientation_of(exif);
    facts.gps = exif->ifd[EXIF_IFD_GPS] != NULL && exif->ifd[EXIF_IFD_GPS]->count > 0;
    facts.thumbnail = exif->data != NULL && exif->size > 0;
    exif_data_unref(exif);
    *ret = facts;
    return VF_OK;
}
