/* SPDX-License-Identifier: MIT */
/* badphoto: every kind of photo that must not go in, and a few odd ones that must. */
#include "synth.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum bad_photo {
    TRUNCATED_HALF,
    TRUNCATED_HEADER,
    NO_END,
    CORRUPT_SCAN,
    PNG_RENAMED,
    TEXT_RENAMED,
    EMPTY,
    TOO_SMALL,
    TOO_NARROW,
    TOO_LARGE,
    OVER_1_MIB,
    MISSING,
    SYMLINK,
    DIRECTORY,
    CMYK,
    HUGE_DECLARED,
    SAME_FILE_1,
    SAME_FILE_2,
    SAME_PICTURE_1,
    SAME_PICTURE_2,
    ORPHAN,
    EXIF_BROKEN,
    ORIENTATION_9,
    SMALLEST,
    LARGEST,
    UPPER_CASE,
    LONG_SUFFIX,
    ALL_BAGGAGE,
    CASES
};

static const struct bad_photo_case CASE[CASES] = {
    [TRUNCATED_HALF] = {"photo_truncated", "refused", "refused"},
    [TRUNCATED_HEADER] = {"photo_truncated_header", "refused", "refused"},
    [NO_END] = {"photo_no_end_marker", "refused", "refused"},
    [CORRUPT_SCAN] = {"photo_corrupt_scan", "refused", "refused"},
    [PNG_RENAMED] = {"photo_is_png", "refused", "refused"},
    [TEXT_RENAMED] = {"photo_is_text", "refused", "refused"},
    [EMPTY] = {"photo_empty", "refused", "refused"},
    [TOO_SMALL] = {"photo_too_small", "refused", "refused"},
    [TOO_NARROW] = {"photo_too_narrow", "refused", "refused"},
    [TOO_LARGE] = {"photo_dimensions_too_large", "refused", "accept"},
    [OVER_1_MIB] = {"photo_over_1_mib", "refused", "accept"},
    [MISSING] = {"photo_missing", "missing", "missing"},
    [SYMLINK] = {"photo_symlink", "refused", "refused"},
    [DIRECTORY] = {"photo_is_directory", "refused", "refused"},
    [CMYK] = {"photo_cmyk", "refused", "refused"},
    [HUGE_DECLARED] = {"photo_huge_declared_size", "refused", "refused"},
    [SAME_FILE_1] = {"photo_same_file_first", "warned", "warned"},
    [SAME_FILE_2] = {"photo_same_file_second", "warned", "warned"},
    [SAME_PICTURE_1] = {"photo_same_picture_first", "warned", "warned"},
    [SAME_PICTURE_2] = {"photo_same_picture_other_metadata", "warned", "warned"},
    [ORPHAN] = {"photo_orphan", "orphan", "orphan"},
    [EXIF_BROKEN] = {"photo_exif_broken", "accept", "accept"},
    [ORIENTATION_9] = {"photo_orientation_9", "accept", "accept"},
    [SMALLEST] = {"photo_smallest_permitted", "accept", "accept"},
    [LARGEST] = {"photo_largest_permitted", "accept", "accept"},
    [UPPER_CASE] = {"photo_suffix_JPG", "accept", "accept"},
    [LONG_SUFFIX] = {"photo_suffix_jpeg", "accept", "accept"},
    [ALL_BAGGAGE] = {"photo_all_metadata", "accept", "accept"},
};

const struct bad_photo_case *bad_photo_cases(size_t *n)
{
    *n = CASES;
    return CASE;
}

struct ask {
    uint32_t w, h;
    int quality, orientation;
    unsigned noise, kinds;
    bool cmyk, broken_exif;
};
static const struct ask USUAL = {500, 653, 85, 1, 40, META_EXIF | META_GPS | META_THUMBNAIL | META_SERIAL, false, false};

static void make(const struct options *opt, uint64_t index, const struct ask *ask, struct bytes *out)
{
    struct picture pic = {0}, small = {0};
    struct bytes thumb = {0};
    struct segments segs = {0};
    struct meta_plan plan;
    struct rng rng;
    rng_init(&rng, opt->seed, STREAM_BAD, index);
    paint_officer(&pic, ask->w, ask->h, opt->seed, index, ask->noise);
    paint_shrink(&pic, 160, &small);
    jpeg_encode(&small, &(struct jpeg_spec){.quality = 78}, NULL, &thumb);
    meta_plan(&rng, &plan, ask->kinds, ask->orientation, "Nobody Inparticular");
    plan.w = ask->w;
    plan.h = ask->h;
    meta_segments(&rng, &plan, &thumb, &segs);
    if (ask->broken_exif) /* the TIFF header stays, what follows points anywhere */
        memset(segs.s[0].data.data + 14, 0xfe, segs.s[0].data.len - 14);
    jpeg_encode(&pic, &(struct jpeg_spec){.quality = ask->quality, .cmyk = ask->cmyk, .jfif = true}, &segs, out);
    meta_trailer(&rng, &plan, &thumb, out);
    picture_done(&pic);
    picture_done(&small);
    bytes_done(&thumb);
    segments_done(&segs);
}

static void save(const char *dir, const char *warrant, const char *suffix, const struct bytes *file)
{
    char name[64];
    snprintf(name, sizeof name, "bad.photos/%.12s.%s", warrant, suffix);
    synth_write(dir, name, file->data, file->len);
}

void bad_photo_good(const struct options *opt, uint64_t index, const char *dir, const char *warrant)
{
    struct bytes file = {0};
    make(opt, index, &USUAL, &file);
    save(dir, warrant, "jpg", &file);
    bytes_done(&file);
}

static void declare_huge(struct bytes *file)
{
    for (size_t at = 2; at + 9 < file->len; at += 2 + (size_t)(file->data[at + 2] << 8 | file->data[at + 3])) {
        if (file->data[at + 1] != 0xc0)
            continue;
        memcpy(file->data + at + 5, (uint8_t[4]){0xff, 0xdc, 0xff, 0xdc}, 4);
        return;
    }
    synth_die("no SOF0 in the JPEG just written");
}

/* All ones is no Huffman code: no decoder can take this for picture. */
static void corrupt(struct bytes *file)
{
    size_t end, at = jpeg_scan_offset(file->data, file->len, &end);
    at += (end - at) / 2;
    for (size_t i = 0; i < 64; i += 2)
        memcpy(file->data + at + i, (uint8_t[2]){0xff, 0x00}, 2);
}

static void not_a_file(size_t n, const char *dir, const char *warrant, const struct bytes *file)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/bad.photos/%s.jpg", dir, warrant);
    if (n == SYMLINK)
        synth_write(dir, "elsewhere.jpg", file->data, file->len);
    if (n == SYMLINK ? symlink("../elsewhere.jpg", path) : mkdir(path, 0777))
        synth_die("%s: %s", path, strerror(errno));
}

static void ask_for(size_t n, struct ask *ask)
{
    static const struct {
        enum bad_photo n;
        uint16_t w, h;
    } SIZES[] = {{TOO_SMALL, 200, 240},    {TOO_NARROW, 299, 400}, {TOO_LARGE, 1600, 2000},
                 {OVER_1_MIB, 1200, 1600}, {SMALLEST, 300, 350},   {LARGEST, 1200, 1600}};
    *ask = USUAL;
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        if (SIZES[i].n == n) {
            ask->w = SIZES[i].w;
            ask->h = SIZES[i].h;
        }
    }
    if (n == TOO_LARGE)
        ask->noise = 4;
    if (n == OVER_1_MIB) {
        ask->quality = 97;
        ask->noise = 300;
    }
    ask->cmyk = n == CMYK;
    ask->broken_exif = n == EXIF_BROKEN;
    if (n == ORIENTATION_9)
        ask->orientation = 9;
    if (n == SAME_PICTURE_2)
        ask->kinds = META_XMP | META_COMMENT | META_IPTC;
    if (n == ALL_BAGGAGE)
        ask->kinds = (1u << META_KINDS) - 1;
}

void bad_photo_make(const struct options *opt, size_t n, uint64_t index, const char *dir, const char *warrant)
{
    struct bytes file = {0};
    struct ask ask;
    ask_for(n, &ask);
    if (n == MISSING)
        return;
    if (n == SAME_FILE_2 || n == SAME_PICTURE_2)
        index--; /* the picture of the row before */
    make(opt, index, &ask, &file);
    if (n == OVER_1_MIB && file.len <= 1048576)
        synth_die("the photo over 1 MiB is not");
    switch (n) {
    case TRUNCATED_HALF:
        file.len /= 2;
        break;
    case TRUNCATED_HEADER:
        file.len = 300;
        break;
    case NO_END:
        file.len -= 2;
        break;
    case CORRUPT_SCAN:
        corrupt(&file);
        break;
    case PNG_RENAMED:
        signature_draw(opt->seed, index, "Nobody", &file, &(struct signature){0});
        break;
    case TEXT_RENAMED:
        file.len = 0;
        bytes_puts(&file, "Photo to follow, camera is with stores.\r\n");
        break;
    case EMPTY:
        file.len = 0;
        break;
    case HUGE_DECLARED:
        declare_huge(&file);
        break;
    default:
        break;
    }
    if (n == SYMLINK || n == DIRECTORY)
        not_a_file(n, dir, warrant, &file);
    else
        save(dir, warrant, n == UPPER_CASE ? "JPG" : n == LONG_SUFFIX ? "jpeg" : "jpg", &file);
    bytes_done(&file);
}
