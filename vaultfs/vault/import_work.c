/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const enum vf_field images[] = {VF_FIELD_PHOTO, VF_FIELD_SIGNATURE};
#define IMAGES (sizeof(images) / sizeof(images[0]))

enum vf_err vf_import_worker_init(struct vf_import_worker *w, struct vf_import_job *job, struct vf_why *why)
{
    w->job = job;
    w->keys = vf_secret_new(sizeof(*w->keys));
    w->head = vf_secret_new(sizeof(*w->head));
    if (w->keys == NULL || w->head == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", job->v->path);
    vf_buf_init(&w->file, VF_IMAGE_SOURCE_MAX);
    vf_buf_init(&w->present_image, VF_VALUE_ROW_MAX);
    for (unsigned f = 0; f < VF_FIELD_COUNT; f++) {
        vf_buf_init(&w->present[f], VF_VALUE_ROW_MAX);
        vf_buf_init(&w->image[f], VF_VALUE_ROW_MAX);
    }
    VF_TRY(vf_view_open(job->v, &w->view, why));
    vf_view_pause(w->view);
    return VF_OK;
}

void vf_import_worker_done(struct vf_import_worker *w)
{
    vf_view_close(w->view);
    vf_secret_free(w->keys);
    vf_secret_free(w->head);
    vf_buf_done(&w->file);
    vf_buf_done(&w->present_image);
    for (unsigned f = 0; f < VF_FIELD_COUNT; f++) {
        vf_buf_done(&w->present[f]);
        vf_buf_done(&w->image[f]);
    }
}

static enum vf_err problem(struct vf_import_worker *w, const struct vf_import_row *row, const char *column,
                           const char *reason, bool warning, struct vf_why *why)
{
    return vf_import_problem(w->job, row->row, column, reason, warning) == VF_OK
               ? VF_OK
               : vf_fail(why, VF_E_NOMEM, "%s: out of memory", w->job->opt->csv_path);
}

/* ----------------------------------------------------------------------------------------------------------- the record as it is */

/* Keys and head of the record that is there, or of a new one. */
static enum vf_err load(struct vf_import_worker *w, const struct vf_import_item *item, struct vf_why *why)
{
    const struct vf_record_keys *keys = NULL;
    const struct vf_head_row *head = NULL;

    if (w->found) {
        VF_TRY(vf_view_head_row(w->view, &item->ref, &head, why));
        VF_TRY(vf_view_record(w->view, &item->ref, &keys, why));
        *w->head = *head;
        *w->keys = *keys;
        return VF_OK;
    }
    memset(w->head, 0, sizeof(*w->head));
    w->head->head.ref = item->ref;
    w->head->head.created_us = w->job->now_us;
    memset(w->keys, 0, sizeof(*w->keys));
    w->keys->ref = item->ref;
    w->keys->n = 1;
    w->keys->epoch[0] = w->job->v->epoch;
    vf_record_key_new(&w->keys->key[0]);
    return VF_OK;
}

/* What the import wants a text field to become; text NULL: to stay. */
static struct vf_csv_cell wanted(const struct vf_import_worker *w, const struct vf_import_item *item, unsigned field)
{
    if (item->row == NULL)
        return field == VF_FIELD_STATUS ? (struct vf_csv_cell){"LEAVER", 6} : (struct vf_csv_cell){0};
    struct vf_csv_cell cell = vf_import_cell_get(w->job, item->row, field);
    /* Who is in a snapshot of the whole force is there, unless it says otherwise itself. */
    if (cell.text == NULL && field == VF_FIELD_STATUS && w->job->opt->full_snapshot && w->found &&
        w->head->head.status == VF_STATUS_LEAVER)
        return (struct vf_csv_cell){"ACTIVE", 6};
    if (cell.text == NULL && !w->found)
        return (struct vf_csv_cell){"", 0};
    return cell;
}

/* The length in the head tells most changes without decrypting. */
static enum vf_err differs(struct vf_import_worker *w, const struct vf_import_item *item, unsigned field,
                           const struct vf_csv_cell *cell, bool *ret, struct vf_why *why)
{
    *ret = true;
    if (!w->found || w->head->head.f[field].len != cell->len)
        return VF_OK;
    VF_TRY(vf_view_value(w->view, &item->ref, field, 0, &w->present[field], why));
    *ret =
        w->present[field].len != cell->len || (cell->len > 0 && memcmp(w->present[field].data, cell->text, cell->len) != 0);
    return VF_OK;
}

/* Every text as it will be, and which of them change. A field that stays is decrypted only when something changes or `needed`. */
static enum vf_err compare_texts(struct vf_import_worker *w, const struct vf_import_item *item, vf_field_set needed,
                                 struct vf_why *why)
{
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        bool changed = false;
        w->cell[f] = (struct vf_csv_cell){0};
        if (vf_field_info(f) == NULL || vf_field_is_image(f))
            continue;
        w->cell[f] = wanted(w, item, f);
        if (w->cell[f].text == NULL)
            continue;
        VF_TRY(differs(w, item, f, &w->cell[f], &changed, why));
        if (changed)
            w->changed |= VF_FIELD_BIT(f);
    }
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if (vf_field_info(f) == NULL || vf_field_is_image(f) || w->cell[f].text != NULL ||
            (w->changed == 0 && (needed & VF_FIELD_BIT(f)) == 0))
            continue;
        VF_TRY(vf_view_value(w->view, &item->ref, f, 0, &w->present[f], why));
        w->cell[f] = (struct vf_csv_cell){w->present[f].len > 0 ? (const char *)w->present[f].data : "", w->present[f].len};
    }
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- pictures */

/* A regular file of this folder itself: no links, no devices, nothing larger than is looked at. */
static enum vf_err read_picture(struct vf_import_worker *w, const char *name, struct vf_why *why)
{
    VF_FD fd = openat(w->job->photos_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ELOOP)
        return vf_fail(why, VF_E_INPUT, "the file is a symbolic link: put the picture itself there");
    if (fd < 0 || fstat(fd, &st) != 0)
        return vf_fail(why, VF_E_INPUT, "the file cannot be opened: %s", strerrordesc_np(errno));
    if (!S_ISREG(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "not a regular file");
    if (st.st_size <= 0 || st.st_size > (off_t)VF_IMAGE_SOURCE_MAX)
        return vf_fail(why, VF_E_INPUT, st.st_size <= 0 ? "the file is empty" : "the file is larger than 64 MiB");
    vf_buf_reset(&w->file);
    uint8_t *data = vf_buf_grow(&w->file, (size_t)st.st_size);
    if (data == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (vf_fd_read(fd, data, (size_t)st.st_size, "the file", why) != VF_OK)
        return vf_fail(why, VF_E_INPUT, "the file cannot be read");
    return VF_OK;
}

static void count_picture(struct vf_import_report *r, const struct vf_image_report *i)
{
    r->photos++;
    r->exif += i->had_exif;
    r->gps += i->had_gps;
    r->thumbnails += i->had_thumbnail;
    r->xmp += i->had_xmp;
    r->iptc += i->had_iptc;
    r->comments += i->had_comment;
    r->mpf += i->had_mpf;
    r->trailing += i->had_trailing;
    r->turned += i->orientation > 1;
    r->reencoded += i->reencoded;
    r->scaled += i->scaled;
}

/* Read and clean one picture into w->image[field]. VF_E_INPUT: why->text is the reason, and the row goes in without it. */
static enum vf_err clean_picture(struct vf_import_worker *w, const struct vf_import_file *file, struct vf_why *why)
{
    const struct vf_import_options *opt = w->job->opt;
    struct vf_image_options options = {.fit = opt->photo_fit, .decode = !opt->no_decode};
    struct vf_image_report report = {0};
    struct vf_buf *out = &w->image[file->field];

    VF_TRY(read_picture(w, file->name, why));
    VF_TRY(vf_image_clean(opt->no_decode ? NULL : w->job->v->sandbox, file->field, w->file.data, w->file.len, &options, out,
                          &report, why));
    if (file->field == VF_FIELD_PHOTO)
        count_picture(&w->report, &report);
    return VF_OK;
}

static enum vf_err take_picture(struct vf_import_worker *w, struct vf_import_row *row, enum vf_field field,
                                struct vf_why *why)
{
    const struct vf_csv_cell *key = &w->cell[w->job->photo_key];
    const char *column = vf_field_info(field)->name;
    struct vf_why reason = {0};
    bool two = false;

    vf_buf_reset(&w->image[field]);
    if (w->job->photos_fd < 0 || key->text == NULL || key->len == 0)
        return VF_OK;
    const struct vf_import_file *file = vf_import_photos_find(w->job, key->text, key->len, field, &two);
    if (file == NULL && !two)
        return VF_OK;
    enum vf_err err = two ? vf_fail(&reason, VF_E_INPUT, "two files are this row's (.jpg, .jpeg, .JPG, .JPEG; .png, .PNG)")
                          : clean_picture(w, file, &reason);
    if (err == VF_OK) {
        if (field == VF_FIELD_PHOTO) {
            vf_sha256(w->image[field].data, w->image[field].len, &row->photo);
            row->has_photo = true;
        }
        return VF_OK;
    }
    vf_buf_reset(&w->image[field]);
    if (err != VF_E_INPUT && err != VF_E_LIMIT) /* not the picture's fault, or so it says: which one is told */
        return vf_fail(why, err, "%s/%s: %s", w->job->opt->photos_dir, file != NULL ? file->name : "", reason.text);
    row->bad_photo = true;
    w->report.bad_photos++;
    return problem(w, row, column, reason.text, false, why);
}

static enum vf_err compare_pictures(struct vf_import_worker *w, const struct vf_import_item *item, struct vf_why *why)
{
    for (size_t i = 0; i < IMAGES; i++) {
        enum vf_field f = images[i];
        const struct vf_buf *image = &w->image[f];
        if (image->len == 0)
            continue;
        if (w->found && w->head->head.f[f].len == image->len) {
            VF_TRY(vf_view_value(w->view, &item->ref, f, 0, &w->present_image, why));
            if (w->present_image.len == image->len && memcmp(w->present_image.data, image->data, image->len) == 0)
                continue;
        }
        w->changed |= VF_FIELD_BIT(f);
    }
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------- sealing it all */

static struct vf_import_block *block_new(const struct vf_import_worker *w, const struct vf_csv_cell *value)
{
    size_t bytes = 0;

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if ((w->changed & VF_FIELD_BIT(f)) != 0)
            bytes += vf_value_row_len(f, value[f].len);
    struct vf_import_block *block = malloc(sizeof(*block) + bytes);
    if (block == NULL)
        return NULL;
    memset(block, 0, sizeof(*block));
    block->bytes = bytes;
    return block;
}

static enum vf_err seal_field(struct vf_import_worker *w, struct vf_import_block *block, uint8_t *data, unsigned field,
                              const struct vf_csv_cell *value, struct vf_why *why)
{
    struct vf_field_state *state = &w->head->head.f[field];

    if (w->head->last[field] == UINT32_MAX || !vf_head_take(w->head, field, value->text, value->len))
        return vf_fail(why, VF_E_LIMIT, "%s: no further value of %s is possible", w->job->v->path,
                       vf_field_info(field)->name);
    *state = (struct vf_field_state){
        .generation = ++w->head->last[field],
        .epoch = w->keys->epoch[w->keys->n - 1],
        .len = (uint32_t)value->len,
        .quoted_len = vf_value_quoted(field, value->text, value->len),
        .changed_us = w->job->now_us,
    };
    block->row[block->n].key = vf_value_key_of(&w->head->head.ref, field, state->generation);
    block->row[block->n].data = data;
    block->row[block->n].len = vf_value_row_len(field, value->len);
    block->n++;
    if (vf_value_row_seal(w->keys, &w->job->v->id, field, state->generation, value->text, value->len, data) != VF_OK)
        return vf_fail(why, VF_E_LIMIT, "%s: a value of %s does not fit", w->job->v->path, vf_field_info(field)->name);
    return VF_OK;
}

static enum vf_err seal_block(struct vf_import_worker *w, const struct vf_import_item *item, struct vf_import_block **ret,
                              struct vf_why *why)
{
    struct vf_csv_cell value[VF_FIELD_COUNT];
    VF_FREE struct vf_import_block *block = NULL;

    memcpy(value, w->cell, sizeof(value));
    for (size_t i = 0; i < IMAGES; i++)
        value[images[i]] = (struct vf_csv_cell){(const char *)w->image[images[i]].data, w->image[images[i]].len};
    block = block_new(w, value);
    if (block == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", w->job->v->path);
    uint8_t *at = block->data;
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if ((w->changed & VF_FIELD_BIT(f)) == 0)
            continue;
        VF_TRY(seal_field(w, block, at, f, &value[f], why));
        at += block->row[block->n - 1].len;
    }
    block->pub.ref = item->ref;
    block->pub.is_new = !w->found;
    vf_head_row_seal(vf_record_keys_newest(w->keys), &w->job->v->id, w->head, block->pub.head);
    if (!w->found) {
        uint8_t row[VF_RECORD_ROW_MAX];
        (void)vf_record_keys_seal(&w->view->keys->wrap, &w->job->v->id, w->keys, row);
        memcpy(block->pub.record, row, sizeof(block->pub.record));
        block->pub.index = item->row->index;
    }
    *ret = block;
    block = NULL;
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- one record */

static enum vf_err compare(struct vf_import_worker *w, const struct vf_import_item *item, struct vf_why *why)
{
    vf_field_set needed = w->job->photos_fd >= 0 ? VF_FIELD_BIT(w->job->photo_key) : 0;

    VF_TRY(vf_view_resume(w->view, why));
    enum vf_err err = load(w, item, why);
    if (err == VF_OK)
        err = compare_texts(w, item, needed, why);
    vf_view_pause(w->view);
    return err;
}

/* Without a transaction: a photo takes its time, and the writer must not wait for it to enlarge the database. */
static enum vf_err look_at_pictures(struct vf_import_worker *w, const struct vf_import_item *item, struct vf_why *why)
{
    for (size_t i = 0; i < IMAGES; i++)
        VF_TRY(take_picture(w, item->row, images[i], why));
    VF_TRY(vf_view_resume(w->view, why));
    enum vf_err err = compare_pictures(w, item, why);
    vf_view_pause(w->view);
    return err;
}

/* What holds between the fields; *ret_good. */
static enum vf_err check_row(struct vf_import_worker *w, struct vf_import_row *row, bool *ret_good, struct vf_why *why)
{
    enum vf_field at = VF_FIELD_NONE;
    struct vf_why reason = {0};
    const char *column = NULL;

    *ret_good = true;
    enum vf_err err = vf_row_check(w->cell, &at, &reason);
    if (err == VF_OK)
        return VF_OK;
    if (err != VF_E_INPUT)
        return vf_fail(why, err, "%s: row %u: %s", w->job->opt->csv_path, (unsigned)row->row, reason.text);
    *ret_good = false;
    row->bad = true;
    if (at != VF_FIELD_NONE)
        column = w->job->column_of[at] >= 0 ? w->job->columns[w->job->column_of[at]] : vf_field_info(at)->name;
    return problem(w, row, column, reason.text, false, why);
}

/* Counts what the records of this import still lack. */
static enum vf_err look_for_photo(struct vf_import_worker *w, const struct vf_import_row *row, struct vf_why *why)
{
    if (w->head->head.f[VF_FIELD_PHOTO].generation != 0 || (w->changed & VF_FIELD_BIT(VF_FIELD_PHOTO)) != 0)
        return VF_OK;
    w->report.photos_missing++;
    if (w->job->photos_fd < 0 || row->bad_photo)
        return VF_OK;
    w->report.warnings++;
    return problem(w, row, "photo", "there is no photo of this row", true, why);
}

enum vf_err vf_import_work(struct vf_import_worker *w, const struct vf_import_item *item, struct vf_import_block **ret,
                           struct vf_why *why)
{
    bool good = true;

    *ret = NULL;
    w->found = item->row == NULL || item->row->found;
    w->changed = 0;
    for (size_t i = 0; i < IMAGES; i++)
        w->image[images[i]].len = 0;
    VF_TRY(compare(w, item, why));
    if (item->row != NULL) {
        if (w->changed != 0)
            VF_TRY(check_row(w, item->row, &good, why));
        if (!good) {
            vf_import_photos_name(w->job, &w->cell[w->job->photo_key]);
            return VF_OK;
        }
        VF_TRY(look_at_pictures(w, item, why));
        VF_TRY(look_for_photo(w, item->row, why));
        item->row->outcome = !w->found ? VF_IMPORT_ADDED : w->changed != 0 ? VF_IMPORT_CHANGED : VF_IMPORT_UNCHANGED;
    }
    if (w->changed == 0 || w->job->opt->check)
        return VF_OK;
    return seal_block(w, item, ret, why);
}
