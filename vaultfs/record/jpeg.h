/* SPDX-License-Identifier: MIT */
/*
 * record, internal: the marker segments of a JPEG file (ITU-T T.81 annex B), read without decoding a pixel. What is a photo
 * and what hangs on it is decided here, and what is stored is cut out here; that the picture is whole, only decoding it can
 * tell (codec.h).
 */
#ifndef VAULTFS_RECORD_JPEG_H
#define VAULTFS_RECORD_JPEG_H

#include "vaultfs/record.h"

#define VF_JPEG_JFIF_LEN  14u /* of a segment without thumbnail, behind its length */
#define VF_JPEG_ADOBE_LEN 12u
#define VF_JPEG_ICC_MAX   255u

struct vf_jpeg_view {
    const uint8_t *data; /* NULL: there is none */
    size_t len;
};

/* What a file holds. Views point into it. */
struct vf_jpeg_layout {
    size_t end;  /* behind the end-of-image marker */
    uint8_t sof; /* marker of the frame header: 0xc0 baseline ... */
    uint8_t precision, ncomponents;
    uint16_t width, height; /* as stored */
    unsigned scans;
    struct vf_jpeg_view jfif,
        adobe;                /* the segments' content; the last one of each before the first scan, as libjpeg takes it */
    struct vf_jpeg_view exif; /* "Exif\0\0" and the block */
    struct vf_jpeg_view icc[VF_JPEG_ICC_MAX]; /* the parts without their heads, by number */
    unsigned icc_parts;                       /* how many the first one announced; 0: no profile */
    bool icc_bad;                             /* doubled or missing parts, differing counts */
    uint8_t huffman[2];                       /* tables defined so far: DC, AC; bit n is table n */
    bool tables_missing; /* a scan uses tables that are nowhere: libjpeg then takes the usual ones, other decoders give up */
    bool had_xmp, had_iptc, had_comment, had_mpf, had_thumbnail;
};

/* Read all segments up to the end of the image. VF_E_INPUT: the reason alone. */
VF_MUST_USE enum vf_err vf_jpeg_layout(const uint8_t *data, size_t len, struct vf_jpeg_layout *ret, struct vf_why *why);
/* The ICC profile in one piece appended to `out`; nothing when there is none or it is not whole. */
void vf_jpeg_icc(const struct vf_jpeg_layout *layout, struct vf_buf *out);
/*
 * The picture alone, byte for byte as it was compressed: tables, frame, scans; JFIF and Adobe heads as far as they say how
 * to read the colours; `icc` (may be empty). Appended to `out`; ask vf_buf_check.
 */
void vf_jpeg_cut(const uint8_t *data, const struct vf_jpeg_layout *layout, const struct vf_buf *icc, struct vf_buf *out);
/* True when a file has nothing in it but what vf_jpeg_cut leaves, and ends with the end of the image. */
VF_MUST_USE bool vf_jpeg_bare(const uint8_t *data, size_t len);

#endif
