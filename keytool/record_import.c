/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <stdlib.h>
#include <string.h>

struct importing {
    struct kt_progress progress; /* first: the callbacks share one user pointer */
    json_t *problems;            /* with --json */
};

static void print_problem(void *user, uint32_t row, const char *column, const char *reason, bool warning)
{
    struct importing *im = user;
    kt_progress_done(&im->progress);
    if (im->problems) {
        (void)json_array_append_new(im->problems, json_pack("{s:i,s:s?,s:s,s:b}", "row", (int)row, "column", column,
                                                            "reason", reason, "warning", (int)warning));
        return;
    }
    if (row)
        (void)fprintf(stderr, "%s%u:%s: %s\n", warning ? "warning: " : "", row, column ? column : "", reason);
    else
        (void)fprintf(stderr, "%s%s%s%s\n", warning ? "warning: " : "", column ? column : "", column ? ": " : "", reason);
}

#define N(field) (json_int_t) r->field
static json_t *report_json(const struct vf_import_report *r, bool check, json_t *problems)
{
    json_t *photos = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "taken", N(photos), "bad", N(bad_photos), "missing",
                               N(photos_missing), "orphan", N(photos_orphan), "duplicate", N(photos_duplicate), "turned",
                               N(turned), "reencoded", N(reencoded), "scaled", N(scaled));
    json_t *removed =
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "exif", N(exif), "gps", N(gps), "thumbnails", N(thumbnails), "xmp",
                  N(xmp), "iptc", N(iptc), "comments", N(comments), "mpf", N(mpf), "trailing", N(trailing));
    return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "check", (int)check, "rows", N(rows), "new", N(added),
                     "changed", N(changed), "unchanged", N(unchanged), "leavers", N(leavers), "bad_rows", N(bad_rows),
                     "warnings", N(warnings), "photos", photos, "metadata_removed", removed, "problems", problems);
}
#undef N

#define N(field) (unsigned long long)r->field
static void print_report(const struct vf_import_report *r, bool check)
{
    (void)printf("%s%llu row%s: %llu new, %llu changed, %llu unchanged, %llu bad", check ? "Would import " : "", N(rows),
                 kt_s(r->rows), N(added), N(changed), N(unchanged), N(bad_rows));
    if (r->leavers)
        (void)printf(", %llu marked as leaver%s", N(leavers), kt_s(r->leavers));
    (void)printf("\n");
    if (r->photos || r->bad_photos || r->photos_orphan)
        (void)printf(
            "Photos: %llu taken, %llu bad, %llu record%s without one, %llu file%s that no row names, %llu picture%s "
            "on two records\n",
            N(photos), N(bad_photos), N(photos_missing), kt_s(r->photos_missing), N(photos_orphan), kt_s(r->photos_orphan),
            N(photos_duplicate), kt_s(r->photos_duplicate));
    if (r->turned || r->scaled || r->reencoded)
        (void)printf("Turned upright: %llu (%llu re-encoded); scaled down: %llu\n", N(turned), N(reencoded), N(scaled));
    if (r->exif || r->xmp || r->iptc || r->comments || r->mpf || r->trailing)
        (void)printf(
            "Removed from photos: EXIF %llu, places (GPS) %llu, thumbnails %llu, XMP %llu, IPTC %llu, comments %llu, "
            "further pictures %llu, trailing bytes %llu\n",
            N(exif), N(gps), N(thumbnails), N(xmp), N(iptc), N(comments), N(mpf), N(trailing));
}
#undef N

enum vf_err kt_record_import(const struct kt_args *a, struct vf_why *why)
{
    VF_IMAGE_SANDBOX sandbox = NULL;
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    struct vf_import_report r = {0};
    struct importing im = {.progress = {.what = "Importing", .unit = "rows"},
                           .problems = kt_has(a, KT_JSON) ? json_array() : NULL};
    struct vf_import_options opt = {
        .csv_path = kt_get(a, KT_CSV),
        .photos_dir = kt_get(a, KT_PHOTOS),
        .photo_key = VF_FIELD_WARRANT_NO,
        .map_path = kt_get(a, KT_MAP),
        .date_format = kt_get(a, KT_DATE_FORMAT),
        .rejects_path = kt_get(a, KT_REJECTS),
        .refs_out_path = kt_get(a, KT_REFS_OUT),
        .check = kt_has(a, KT_CHECK),
        .full_snapshot = kt_has(a, KT_FULL_SNAPSHOT),
        .photo_fit = kt_has(a, KT_PHOTO_FIT),
        .force = kt_has(a, KT_FORCE),
        .problem = print_problem,
        .progress = kt_progress_show,
        .user = &im,
    };
    if (kt_has(a, KT_PHOTO_KEY)) {
        opt.photo_key = vf_field_by_name(kt_get(a, KT_PHOTO_KEY), strlen(kt_get(a, KT_PHOTO_KEY)));
        if (opt.photo_key == VF_FIELD_NONE || vf_field_is_image((unsigned)opt.photo_key)) {
            json_decref(im.problems);
            return kt_usage(why, "--photo-key: \"%s\" is no text field", kt_get(a, KT_PHOTO_KEY));
        }
    }
    enum vf_err err = opt.photos_dir ? vf_image_sandbox_start(0, &sandbox, why) : VF_OK;
    if (!err)
        err = kt_vault_open(a, a->argv[0], VF_VAULT_WRITE, &id, &v, why);
    if (!err) {
        vf_vault_sandbox(v, sandbox);
        err = vf_import(v, &opt, &r, why);
    }
    kt_progress_done(&im.progress);
    err = kt_vault_close(v, err, why);
    v = NULL;
    bool told = err == VF_OK || err == VF_E_PARTIAL;
    if (told && im.problems)
        (void)kt_print_json(report_json(&r, opt.check, im.problems), NULL);
    else if (told)
        print_report(&r, opt.check);
    else
        json_decref(im.problems);
    return err;
}
