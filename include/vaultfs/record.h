/* SPDX-License-Identifier: MIT */
/*
 * record: the schema of a personnel record, its fields and their classes; CSV and photos from outside into typed values.
 *
 * Pure functions over memory and files: no keys, no database. Thread-safe as long as an object is used by one thread at a time.
 */
#ifndef VAULTFS_RECORD_H
#define VAULTFS_RECORD_H

#include <vaultfs/base.h>

/* Numbers are part of the stored formats: never reuse one. 0 is no field. */
enum vf_field {
    VF_FIELD_NONE = 0,
    VF_FIELD_NAME_ON_CARD = 1,
    VF_FIELD_RANK = 2,
    VF_FIELD_WARRANT_NO = 3,
    VF_FIELD_PHOTO = 4,
    VF_FIELD_SIGNATURE = 5,
    VF_FIELD_CARD_TYPE = 6,
    VF_FIELD_CARD_SERIAL = 7,
    VF_FIELD_ISSUE_NO = 8,
    VF_FIELD_VALID_FROM = 9,
    VF_FIELD_VALID_TO = 10,
    VF_FIELD_ENDORSEMENT = 11,
    VF_FIELD_CHIP_TYPE = 12,
    VF_FIELD_CHIP_UID = 13,
    VF_FIELD_PERSON_TYPE = 14,
    VF_FIELD_SURNAME = 15,
    VF_FIELD_FORENAMES = 16,
    VF_FIELD_TITLE = 17,
    VF_FIELD_SHOULDER_NO = 18,
    VF_FIELD_UNIT_CODE = 19,
    VF_FIELD_STATION = 20,
    VF_FIELD_GRADE = 21,
    VF_FIELD_PAY_NO = 22,
    VF_FIELD_VETTING = 23,
    VF_FIELD_VETTING_EXPIRY = 24,
    VF_FIELD_PROTECT = 25,
    VF_FIELD_NOTIFY_TO = 26,
    VF_FIELD_STATUS = 27,
    VF_FIELD_SOURCE_SYSTEM = 28,
    VF_FIELD_SOURCE_UPDATED = 29,
    VF_FIELD_COUNT = 30 /* one more than the highest number */
};

enum vf_class { VF_CLASS_A = 'A', VF_CLASS_B = 'B', VF_CLASS_C = 'C' };
enum vf_kind { VF_KIND_TEXT, VF_KIND_JPEG, VF_KIND_PNG };

enum vf_protect { VF_PROTECT_STANDARD = 0, VF_PROTECT_RESTRICTED = 1, VF_PROTECT_COVERT = 2 };
enum vf_status { VF_STATUS_ACTIVE = 0, VF_STATUS_LEAVER = 1 };

struct vf_field_info {
    enum vf_field field;
    const char *name; /* as in DOMAIN: "name_on_card" */
    enum vf_class class;
    enum vf_kind kind;
    uint32_t max_bytes; /* of the UTF-8 value, and for text also its padded size */
    uint32_t max_chars; /* code points; 0: bytes decide */
    bool card_print;    /* in the card-print profile */
    bool required;      /* a record without it is incomplete for card-print */
};

/* NULL for a number that is no field. Borrowed, static. */
VF_PUBLIC const struct vf_field_info *vf_field_info(unsigned field);
/* VF_FIELD_NONE when there is no such name. */
VF_PUBLIC enum vf_field vf_field_by_name(const char *name, size_t len);
VF_PUBLIC VF_MUST_USE bool vf_field_is_image(unsigned field);
/* 0 (text) or 1 (image): vf_part of crypto.h. */
VF_PUBLIC unsigned vf_field_part(unsigned field);
/* Size after padding of a value of `len` bytes: text to its field's maximum, images to the next multiple of 8 KiB (at least one). */
VF_PUBLIC size_t vf_field_padded(unsigned field, size_t len);

/* A set of fields as a bit mask; bit n is field n. */
typedef uint32_t vf_field_set;
#define VF_FIELD_BIT(f) ((vf_field_set)1 << (f))
VF_PUBLIC vf_field_set vf_field_set_card_print(void);
VF_PUBLIC vf_field_set vf_field_set_class(enum vf_class class);
/* "name_on_card,rank" -> set; VF_E_INPUT names the unknown word. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_field_set_parse(const char *list, vf_field_set *ret, struct vf_why *why);
/* Names in schema order, separated by `sep`, appended. */
VF_PUBLIC void vf_field_set_put(vf_field_set set, const char *sep, struct vf_buf *out);

/* Well-formed UTF-8 in which there is nothing to see: spaces, marks without a letter, joiners, blank letters. */
VF_PUBLIC VF_MUST_USE bool vf_text_blank(const char *text, size_t len);

/* What a force may set of its own. Owned strings; vf_rules_done frees. A zeroed struct is valid: default ranks, any warrant number. */
struct vf_rules {
    char **ranks; /* NULL: the default list, in rules.c */
    size_t nranks;
    char *warrant_pattern; /* POSIX extended regular expression matched against the whole number; NULL: any text <= 12 */
    void *compiled;        /* internal */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_rules_init(struct vf_rules *rules, const char *ranks_text, size_t ranks_len,
                                                const char *warrant_pattern, struct vf_why *why);
VF_PUBLIC void vf_rules_done(struct vf_rules *rules);

/*
 * Check and normalise one text value: UTF-8, NFC (libutf8proc), outer spaces cut, no control or bidirectional characters, length,
 * the field's own form (dates, enumerations, hex, numbers, rank list, warrant pattern, spreadsheet damage, class A not starting with
 * = + - @). The normalised value is put into `out` (reset first; wiped by its owner). An empty value is legal for every field but
 * warrant_no. VF_E_INPUT: `why->text` is the reason alone ("longer than 40 characters"), never the value.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_field_check(const struct vf_rules *rules, enum vf_field field, const char *value,
                                                 size_t len, struct vf_buf *out, struct vf_why *why);
/*
 * Checks between the fields of one record, for an import or a change: `values` has VF_FIELD_COUNT entries, indexed by vf_field, of
 * normalised values; text NULL is a field that is not there. Now: valid_to is not before valid_from. VF_E_INPUT: *ret_field is the field
 * at fault, why->text the reason alone.
 */
struct vf_csv_cell {
    const char *text;
    size_t len;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_row_check(const struct vf_csv_cell *values, enum vf_field *ret_field,
                                               struct vf_why *why);

/*
 * How another system writes dates (`--date-format`): D, M, Y in any order with one separator out of "/-. " or none, "DD/MM/YYYY",
 * "D.M.YYYY", "YYYYMMDD", "DD-MMM-YYYY" (English month names), or the same as "%d/%m/%Y" ("%b": month name). Years have four digits.
 * With a separator one digit is enough for day and month, without one all digits are needed. VF_E_USAGE: no such format.
 */
#define VF_DATE_LEN 10 /* YYYY-MM-DD */
struct vf_date_format {
    char order[3];  /* 'D', 'M' or 'b' (month by name), 'Y' */
    char separator; /* 0: none */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_date_format_parse(const char *text, struct vf_date_format *ret, struct vf_why *why);
/* One value, outer spaces cut, to YYYY-MM-DD and NUL; empty stays empty. VF_E_INPUT: not a date of that format, or no real date. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_date_convert(const struct vf_date_format *format, const char *value, size_t len,
                                                  char ret[VF_DATE_LEN + 1], struct vf_why *why);
/* True for the fields to which a date format applies: valid_from, valid_to, vetting_expiry. (To source_updated where it is one: it may be a time.) */
VF_PUBLIC VF_MUST_USE bool vf_field_is_date(unsigned field);

VF_PUBLIC VF_MUST_USE bool vf_protect_parse(const char *s, size_t len, enum vf_protect *ret); /* "" is STANDARD */
VF_PUBLIC VF_MUST_USE bool vf_status_parse(const char *s, size_t len,
                                           enum vf_status *ret); /* "" is ACTIVE; ACTIVE, LEAVER */

/* Bytes that a value takes in a CSV cell with quotes: quotes doubled, plus two. */
VF_PUBLIC size_t vf_csv_quoted_len(const char *value, size_t len);
VF_PUBLIC void vf_csv_quote(struct vf_buf *out, const char *value, size_t len);
/* Would a spreadsheet take it for a formula? It begins with = + - or @, in any width, or a tab or line end, whatever blanks of Unicode and
 * invisible characters stand before. An apostrophe in front makes it text. */
VF_PUBLIC VF_MUST_USE bool vf_csv_runs(const char *value, size_t len);

/* ---------------------------------------------------------------------------------------------------------------- CSV in */

#define VF_CSV_BYTES_MAX (64u * 1024 * 1024)
#define VF_CSV_ROWS_MAX  200000u

/*
 * Lines `column = field` or `column = ignore`; '#' starts a comment, at the beginning of a line or behind the field (a column may be called
 * "Warrant #"). A column without a name is ` = ignore`. Outer spaces do not count; case does.
 */
struct vf_csv_map;
VF_PUBLIC VF_MUST_USE enum vf_err vf_csv_map_parse(const char *data, size_t len, const char *what, struct vf_csv_map **ret,
                                                   struct vf_why *why);
VF_PUBLIC void vf_csv_map_free(struct vf_csv_map *map);

/*
 * One data row: cells (struct vf_csv_cell above, a NUL behind each text) in file order, borrowed for the callback. `row` counts rows as a
 * spreadsheet does: the header of an ordinary file is 1, the first data row 2; blank rows count, and a cell with line breaks is one row.
 */
struct vf_csv_row {
    uint32_t row;
    size_t ncells;
    const struct vf_csv_cell *cells;
};
struct vf_csv_header {
    size_t ncolumns;
    const char *const *columns;  /* as in the file */
    const enum vf_field *fields; /* VF_FIELD_NONE: ignored */
};
/*
 * Parse a whole CSV held in memory (RFC 4180 by libcsv in strict mode, BOM tolerated, CRLF or LF). The header is resolved first: every
 * column must be a field's name or be mapped; an unknown or doubled one is VF_E_INPUT and names it and its place. A field of images
 * cannot be a column. on_header once, then on_row for each data row (blank lines and rows of empty cells alone are skipped); a callback's
 * error ends the parse and is returned. A row of the wrong number of cells is passed on as it is (the caller lists it as bad). Refused as
 * a whole, with `what: row:column: reason`: a quote out of place (what follows cannot be told apart), NUL bytes and UTF-16, a cell over
 * 64 KiB, over 1,024 cells in a row (VF_E_INPUT), over VF_CSV_BYTES_MAX or VF_CSV_ROWS_MAX (VF_E_LIMIT).
 */
struct vf_csv_sink {
    void *user;
    enum vf_err (*on_header)(void *user, const struct vf_csv_header *header, struct vf_why *why);
    enum vf_err (*on_row)(void *user, const struct vf_csv_row *row, struct vf_why *why);
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_csv_parse(const char *data, size_t len, const char *what, const struct vf_csv_map *map,
                                               const struct vf_csv_sink *sink, struct vf_why *why);

/* ---------------------------------------------------------------------------------------------------------------- photos */

struct vf_image_report {    /* what was found and done; counted in the import report */
    uint32_t width, height; /* upright, after */
    uint8_t orientation;    /* EXIF tag found: 1 to 8, 0 none */
    bool had_exif, had_gps, had_thumbnail, had_xmp, had_iptc, had_comment, had_mpf, had_trailing, had_icc;
    bool reencoded; /* the orientation could not be applied losslessly, or the picture was scaled */
    bool scaled;
};
struct vf_image_options {
    bool fit;    /* may scale down what is over the permitted size */
    bool decode; /* decode every pixel to prove that it is whole (always true in imports; false only in benchmarks) */
};
/*
 * Make of a JPEG from outside what the vault stores: whole and decodable (every scan to EOI), 300x350 to 1200x1600 upright, at most
 * 1 MiB, metadata gone (EXIF, XMP, IPTC, comments, MPF, trailing bytes), ICC profile and pixels kept, orientation applied: losslessly
 * where the dimensions allow it, else one re-encoding at quality 95. Never crashes on any input: decoding is bounded in memory and
 * pixels before it starts. `out` is reset and receives the file. VF_E_INPUT: why->text is the reason alone.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_photo_clean(const uint8_t *data, size_t len, const struct vf_image_options *opt,
                                                 struct vf_buf *out, struct vf_image_report *ret, struct vf_why *why);
/* The same for a signature: PNG, whole, at most 2000x1000 and 1 MiB; every chunk but IHDR PLTE tRNS IDAT IEND, gAMA, cHRM, sRGB, iCCP goes. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_signature_clean(const uint8_t *data, size_t len, const struct vf_image_options *opt,
                                                     struct vf_buf *out, struct vf_image_report *ret, struct vf_why *why);
/*
 * Decoders are where a file from outside is likeliest to break in. So programs that hold keys have pictures cleaned in a sandbox: for each
 * picture a process of its own without files, network, keys, environment or a way to get them (seccomp: it may ask for memory, up to 1.5 GiB
 * of addresses in all, and end), which is gone before the next, with all it wrote. What comes out has to be a picture of the right size with
 * nothing else in it, by a reading that decodes nothing.
 *
 * Start: one lane for each picture at a time (0: one a processor; 64 at most). Call it before the process has read anything secret and
 * while it has one thread: what is in its memory then is in the sandbox's too (but for the arena, which is wiped at a fork).
 * VF_E_UNSUPPORTED: the kernel has no seccomp filter here. End: its processes are gone; NULL is fine.
 */
struct vf_image_sandbox;
VF_PUBLIC VF_MUST_USE enum vf_err vf_image_sandbox_start(unsigned lanes, struct vf_image_sandbox **ret, struct vf_why *why);
VF_PUBLIC void vf_image_sandbox_end(struct vf_image_sandbox **s);
#define VF_IMAGE_SANDBOX VF_CLEANUP(vf_image_sandbox_end) struct vf_image_sandbox *
/*
 * vf_photo_clean or vf_signature_clean, by `field`, in a sandbox; NULL: in this process. From any thread; waits for a free lane. Beside
 * their errors: VF_E_INPUT also when the decoder crashed or took over a minute, VF_E_NOMEM and VF_E_SYSTEM when a process could not be
 * had or was ended by others. (The picture is not to blame; but a decoder that was taken over can say that it has no memory, so name it.)
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_image_clean(struct vf_image_sandbox *s, enum vf_field field, const uint8_t *data,
                                                 size_t len, const struct vf_image_options *opt, struct vf_buf *out,
                                                 struct vf_image_report *ret, struct vf_why *why);
#define VF_IMAGE_SOURCE_MAX (64u * 1024 * 1024) /* largest file that is looked at */

#endif
