/* SPDX-License-Identifier: MIT */
/* Pictures for the tests of photos and signatures: painted, compressed, dressed with metadata and looked at by libjpeg alone. */
#ifndef VAULTFS_TESTS_RECORD_IMAGES_H
#define VAULTFS_TESTS_RECORD_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pixels { /* 8 bits a channel, rows without gaps */
    uint8_t *d;
    unsigned w, h, ch;
};
struct blob { /* a file */
    uint8_t *d;
    size_t n;
};

struct jpeg_how {
    unsigned hs, vs; /* of luma: 1 1 is 4:4:4, 2 1 4:2:2, 2 2 4:2:0; 0 0: 2 2 */
    int quality;     /* 0: 90 */
    bool progressive, arithmetic, rgb, cmyk, no_heads;
    unsigned restart; /* MCU rows between restart markers */
};

/* Something like a face before a wall, with no symmetry: ch 1 or 3. `detail` adds fine structure, 0 to 100. */
struct pixels px_paint(unsigned w, unsigned h, unsigned ch, unsigned detail);
void px_free(struct pixels *p);
/* What a stored picture with this EXIF orientation looks like, by the words of the TIFF standard. */
struct pixels px_upright(const struct pixels *stored, unsigned orientation);
bool px_same(const struct pixels *a, const struct pixels *b);
double px_psnr(const struct pixels *a, const struct pixels *b); /* dB; 999 for equal ones; negative when sizes differ */
/* Area average, by floating point. */
struct pixels px_shrink(const struct pixels *p, unsigned w, unsigned h);

struct blob jpeg_make(const struct pixels *p, const struct jpeg_how *how);
struct pixels jpeg_pixels(const uint8_t *d, size_t n); /* gray or RGB; exits when it is damaged; *d NULL on a warning */
/* Turn back and forth by coefficients, by TurboJPEG: the operations of TJXOP_*. */
struct blob jpeg_transform(const uint8_t *d, size_t n, int op);
void blob_free(struct blob *b);

/* Put a segment behind the first two bytes, or behind the JFIF head (after_jfif). */
void jpeg_insert(struct blob *b, uint8_t marker, const void *body, size_t len, bool after_jfif);
void blob_append(struct blob *b, const void *d, size_t n);
struct exif_how {
    unsigned orientation; /* 0: no tag; may be nonsense */
    bool big_endian, gps, thumbnail, serial;
};
struct blob exif_make(const struct exif_how *how); /* content of an APP1 segment */
void jpeg_add_exif(struct blob *b, const struct exif_how *how);
/* A profile of `size` bytes, in parts of at most `part` bytes. */
struct blob icc_make(size_t size);
void jpeg_add_icc(struct blob *b, const struct blob *icc, size_t part);
/* The profile that libjpeg reads; d NULL: none. */
struct blob jpeg_icc(const uint8_t *d, size_t n);
/* Every other kind of metadata at once. */
void jpeg_add_everything(struct blob *b);

struct facts {             /* of a file, by libjpeg's own reading of the markers */
    unsigned app[16], com; /* how many of each */
    bool progressive, arithmetic, jfif, adobe;
    unsigned width, height, components, hs, vs;
    size_t end; /* behind EOI */
};
struct facts jpeg_facts(const uint8_t *d, size_t n);

/* PNG: colour type and depth of libpng; pixels are random from `seed`. Text and time chunks when `dressed`. */
struct png_how {
    unsigned w, h;
    int colour, depth;
    bool interlaced, transparent, dressed, srgb, noise;
};
struct blob png_make(const struct png_how *how);
/* Rows as stored (no conversion), head included; n 0 on any error or warning. */
struct blob png_raw(const uint8_t *d, size_t n);
/* Insert a chunk (with checksum) before the first IDAT. */
void png_insert(struct blob *b, const char type[4], const void *body, size_t len);

#endif
