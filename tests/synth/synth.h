/* SPDX-License-Identifier: MIT */
/*
 * vaultfs-synth: a maker of synthetic police forces.
 *
 * It is an oracle: it shares no code with what it helps to test, so that a mistake there cannot be made here as well. Everything is
 * a function of (seed, record number), never of time, thread or order: the same options give the same bytes. No libm function that
 * rounds differently from one processor to the next is used.
 */
#ifndef VAULTFS_SYNTH_H
#define VAULTFS_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---------------------------------------------------------------------------------------------------------------- common.c */

/* xoshiro256** (Blackman, Vigna, public domain), seeded by splitmix64. */
struct rng {
    uint64_t s[4];
};
/* Streams keep draws apart: a change in how photos are drawn must not change anybody's name. */
enum stream {
    STREAM_PERSON = 1,
    STREAM_PHOTO,
    STREAM_SIGNATURE,
    STREAM_FACE,
    STREAM_NOISE,
    STREAM_BAD,
    STREAM_STAMP,
    STREAM_FORCE
};
void rng_init(struct rng *rng, uint64_t seed, enum stream stream, uint64_t index);
/* One draw an expression: the order in which a call's arguments are worked out differs from compiler to compiler. */
uint64_t rng_next(struct rng *rng);
uint32_t rng_below(struct rng *rng, uint32_t n); /* 0 to n - 1 */
int rng_range(struct rng *rng, int lo, int hi);  /* both included */
bool rng_percent(struct rng *rng, uint32_t percent);

/* Bytes that grow. Running out of memory ends the program: this is a tool, nothing is left half true that a new run would not mend. */
struct bytes {
    uint8_t *data;
    size_t len, cap;
};
void bytes_need(struct bytes *b, size_t more);
void bytes_put(struct bytes *b, const void *data, size_t len);
void bytes_puts(struct bytes *b, const char *s);
void bytes_printf(struct bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bytes_json(struct bytes *b, const char *s); /* as a JSON string with its quotes */
void bytes_be16(struct bytes *b, unsigned v);
void bytes_be32(struct bytes *b, uint32_t v);
void bytes_done(struct bytes *b);

void synth_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void *synth_alloc(size_t size);
void synth_mkdir(const char *dir, const char *name);
void synth_write(const char *dir, const char *name, const void *data, size_t len); /* a new file, 0644 */
/* A new file that is written bit by bit: bytes are flushed to it when there are many. */
struct sink {
    FILE *file;
    const char *name;
    struct bytes line;
};
void sink_open(struct sink *sink, const char *dir, const char *name);
void sink_flush(struct sink *sink); /* writes sink->line and empties it */
void sink_close(struct sink *sink);

/* ---------------------------------------------------------------------------------------------------------------- options */

enum photos { PHOTOS_NONE, PHOTOS_UPRIGHT, PHOTOS_MIXED };

struct options {
    const char *out;
    uint32_t records;
    uint64_t seed;
    enum photos photos;
    uint32_t kb_min, kb_max;
    uint32_t large;                           /* photos of 12 megapixels */
    uint32_t signatures, guarded, incomplete; /* per cent */
    bool bad, truth_photos;
    uint32_t jobs;
};

/* --------------------------------------------------------------------------------------------------------------- person.c */

enum field {
    F_NAME_ON_CARD,
    F_RANK,
    F_WARRANT_NO,
    F_CARD_TYPE,
    F_CARD_SERIAL,
    F_ISSUE_NO,
    F_VALID_FROM,
    F_VALID_TO,
    F_ENDORSEMENT,
    F_CHIP_TYPE,
    F_CHIP_UID,
    F_PERSON_TYPE,
    F_SURNAME,
    F_FORENAMES,
    F_TITLE,
    F_SHOULDER_NO,
    F_UNIT_CODE,
    F_STATION,
    F_GRADE,
    F_PAY_NO,
    F_VETTING,
    F_VETTING_EXPIRY,
    F_PROTECT,
    F_NOTIFY_TO,
    F_STATUS,
    F_SOURCE_SYSTEM,
    F_SOURCE_UPDATED,
    FIELDS
};
#define FIELD_BYTES 128

enum lack { LACK_NOTHING, LACK_PHOTO, LACK_NAME, LACK_RANK };

struct person {
    char v[FIELDS][FIELD_BYTES]; /* as it must be served: NFC */
    enum lack lack;
    bool photo, large, signature;
};
void synth_person(const struct options *opt, uint64_t index, struct person *p);
extern const char SYNTH_WARRANT_PATTERN[];
const char *const *synth_ranks(size_t *n);

/* ---------------------------------------------------------------------------------------------------------------- names.c */

void synth_name(struct rng *rng, char *forenames, char *surname, char *on_card, char *title);

/* ----------------------------------------------------------------------------------------------------------------- table.c */

const char *synth_field_name(enum field field);
char synth_field_class(enum field field);
void synth_csv_header(struct bytes *out);
/* `index` gives the columns that are to be ignored. Returns the number of line ends in the row (cells may hold some). */
uint32_t synth_csv_row(struct bytes *out, uint64_t seed, uint64_t index, const struct person *p);
size_t synth_csv_columns(void);
void synth_map(struct bytes *out);
void synth_columns_json(struct bytes *out);
void synth_person_json(struct bytes *out, const struct person *p); /* "A": {…}, "B": {…}, "C": {…} */

/* ----------------------------------------------------------------------------------------------------------------- paint.c */

struct picture { /* RGB, 3 bytes a pixel, no padding */
    uint32_t w, h;
    uint8_t *rgb;
    size_t cap;
};
void picture_size(struct picture *pic, uint32_t w, uint32_t h); /* contents are lost */
void picture_done(struct picture *pic);

void paint_init(uint64_t seed);
void paint_done(void);
/* An officer: a base picture from the pool, features and noise of (seed, index), the stamp. noise 0 to 511. */
void paint_officer(struct picture *pic, uint32_t w, uint32_t h, uint64_t seed, uint64_t index, unsigned noise);
/* What the stamp says: 24 bits of index, 16 bits of check. 8x5 cells, row by row, black is 0; see --help. */
uint64_t paint_stamp(uint64_t seed, uint64_t index);
/* Bring a stored picture upright, as EXIF orientation 1 to 8 says. */
void paint_turn(const struct picture *from, unsigned orientation, struct picture *to);
void paint_shrink(const struct picture *from, uint32_t longest, struct picture *to);

/* ------------------------------------------------------------------------------------------------------------------ jpeg.c */

struct segment {
    int marker; /* 0xE1 … */
    struct bytes data;
};
#define SEGMENTS_MAX 16
struct segments {
    struct segment s[SEGMENTS_MAX];
    unsigned n;
};
struct bytes *segments_new(struct segments *segs, int marker);
void segments_done(struct segments *segs);

enum sampling { S420, S444, S422 };
struct jpeg_spec {
    int quality;
    enum sampling sampling;
    bool progressive, gray, optimize, restarts, jfif, cmyk;
};
void jpeg_encode(const struct picture *pic, const struct jpeg_spec *spec, const struct segments *segs, struct bytes *out);
void jpeg_decode(const uint8_t *data, size_t len, struct picture *out);    /* libjpeg's defaults; dies if it warns */
size_t jpeg_scan_offset(const uint8_t *data, size_t len, size_t *ret_end); /* first byte of entropy-coded data */

/* ------------------------------------------------------------------------------------------------------------------ meta.c */

enum meta {
    META_EXIF = 1u << 0,
    META_GPS = 1u << 1,
    META_THUMBNAIL = 1u << 2,
    META_SERIAL = 1u << 3,
    META_MAKERNOTE = 1u << 4,
    META_XMP = 1u << 5,
    META_IPTC = 1u << 6,
    META_COMMENT = 1u << 7,
    META_ICC = 1u << 8,
    META_MPF = 1u << 9,
    META_TRAILING = 1u << 10,
    META_JFXX = 1u << 11,
    META_KINDS = 12
};
#define META_THUMBED (META_THUMBNAIL | META_MPF | META_JFXX) /* kinds that hold a second, small JPEG */
extern const char *const META_NAMES[META_KINDS];

struct meta_plan {
    unsigned kinds;    /* enum meta bits */
    int orientation;   /* EXIF tag; -1: no such tag */
    bool big_endian;   /* EXIF as MM */
    uint32_t trailing; /* bytes behind the end of the image, without a second picture */
    bool icc_in_two;   /* profile spread over two segments */
    double lat, lon;
    char serial[24];
    char author[FIELD_BYTES];
    uint32_t w, h; /* stored */
};
void meta_plan(struct rng *rng, struct meta_plan *plan, unsigned kinds, int orientation, const char *author);
/* `thumb` is a whole JPEG. */
void meta_segments(struct rng *rng, const struct meta_plan *plan, const struct bytes *thumb, struct segments *segs);
/* After encoding: what follows the end of the image, and the MPF index that tells where it is. */
void meta_trailer(struct rng *rng, const struct meta_plan *plan, const struct bytes *thumb, struct bytes *jpeg);

/* ----------------------------------------------------------------------------------------------------------------- photo.c */

struct photo { /* what truth knows of one photo */
    char file[40];
    uint32_t bytes, up_w, up_h, st_w, st_h;
    unsigned kinds;
    uint8_t orientation; /* applied: 1 to 8 */
    int8_t tag;          /* what the file says; -1 nothing */
    uint8_t mcu_w, mcu_h;
    struct jpeg_spec spec;
    bool made, lossless;
    uint64_t stamp;
    float lat, lon;
    char serial[24];
    uint8_t fragment[16];
    const char *size_class;
};
struct painter { /* one a thread */
    const struct options *opt;
    struct picture upright, stored, small;
    struct bytes jpeg, thumb;
    struct segments segs;
    struct rng rng;
};
void photo_init(const struct options *opt); /* measures how noise and quality make size */
void photo_make(struct painter *pt, uint64_t index, const struct person *p, const char *dir, struct photo *ret);
void photo_json(struct bytes *out, const struct photo *ph);
void painter_done(struct painter *pt);

/* ------------------------------------------------------------------------------------------------------------- signature.c */

struct signature {
    uint32_t w, h;
    bool text; /* carries a tEXt chunk with the name, a tIME */
};
void signature_draw(uint64_t seed, uint64_t index, const char *name, struct bytes *png, struct signature *ret);

/* ------------------------------------------------------------------------------------- bad.c, badphoto.c, badfile.c */

struct bad_photo_case {
    const char *kind;
    const char *expect; /* of the photo: "accept", "refused", "missing", "warned", "orphan" */
    const char *fit;    /* the same with --photo-fit */
};
const struct bad_photo_case *bad_photo_cases(size_t *n);
/* Writes what case `n` needs into dir/bad.photos under that warrant number. */
void bad_photo_make(const struct options *opt, size_t n, uint64_t index, const char *dir, const char *warrant);
/* A good photo with the usual baggage. */
void bad_photo_good(const struct options *opt, uint64_t index, const char *dir, const char *warrant);
/* A person with nothing missing or special: `index` is beyond the force's own. */
void bad_person(const struct options *opt, uint64_t index, struct person *p);
/* Whole files that are wrong from the start, and unusual ones that are right: dir/files, dir/files.expected.jsonl. */
void bad_files(const struct options *opt, const char *dir, uint64_t index);
void bad_make(const struct options *opt, const char *dir);

/* -------------------------------------------------------------------------------------------------------------- manifest.c */

void manifest_make(const struct options *opt, const char *dir, const struct photo *photos); /* NULL: none were made */

#endif
