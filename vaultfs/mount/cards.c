/* SPDX-License-Identifier: MIT */
/*
 * cards.csv: one row a record whose text is whole, every field quoted. Sizes are known from the catalogue, so the file has its exact size
 * before anything is decrypted, and a READ decrypts only the rows it asks for.
 *
 * Row: "ref","<text fields in schema order>","photo","photo_path". cards-excel.csv: the same after a BOM, with CRLF.
 */
#include "mount.h"

#include <stdlib.h>
#include <string.h>

static const char bom[] = "\xEF\xBB\xBF";
#define BOM_LEN   3
#define PHOTO_LEN (sizeof("photos/") - 1 + VF_REF_LEN + sizeof(".JPG") - 1)

/* What photo_path begins with, without a slash at its end. */
static const char *path_prefix(const struct vf_session *s)
{
    return s->opt->path_prefix ? s->opt->path_prefix : s->mountpoint;
}

/* The folder of the job as a path prefix: PREFIX/JOB/, or PREFIX/ when --job puts the job at the root. */
static void put_folder(const struct vf_session *s, const struct vf_job *job, struct vf_buf *out)
{
    vf_buf_text(out, path_prefix(s));
    vf_buf_text(out, "/");
    if (!s->opt->job) {
        vf_buf_text(out, vf_job_grant(job)->job);
        vf_buf_text(out, "/");
    }
}

static void put_header(const struct vf_grant_layout *l, struct vf_buf *out)
{
    vf_buf_text(out, "\"ref\"");
    for (unsigned i = 0; i < l->ntext; i++)
        vf_buf_fmt(out, ",\"%s\"", vf_field_info(l->text_field[i])->name);
    vf_buf_text(out, ",\"photo\",\"photo_path\"");
}

/* Without the line end. Everything but the text fields' own quoted lengths is counted here and put in put_row alike. */
static size_t row_len(const struct vf_session *s, const struct vf_job *job, uint32_t index, bool photo)
{
    const struct vf_grant_layout *l = vf_job_layout(job);
    const struct vf_catalogue *c = vf_job_catalogue(job);
    VF_BUF folder;
    vf_buf_init(&folder, 16384);
    put_folder(s, job, &folder);
    size_t len = VF_REF_LEN + 2;
    for (unsigned i = 0; i < l->ntext; i++)
        len += 1 + vf_catalogue_quoted_len(c, index, l->text_field[i]);
    len += 3 + (photo ? PHOTO_LEN : 0); /* ,"photos/REF.JPG" */
    if (photo) {
        VF_BUF quoted;
        vf_buf_init(&quoted, 65536);
        vf_csv_quote(&quoted, (const char *)folder.data, folder.len);
        len += 1 + quoted.len + PHOTO_LEN;
    } else {
        len += 3;
    }
    return len;
}

struct vf_cards *vf_cards_ref(struct vf_cards *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void vf_cards_unref(struct vf_cards *c)
{
    if (c && atomic_fetch_sub(&c->refs, 1) == 1) {
        free(c->at);
        free(c->rows_to);
        free(c);
    }
}

enum vf_err vf_cards_layout(struct vf_session *s, struct vf_job *job, struct vf_cards **ret)
{
    *ret = NULL;
    const struct vf_grant_layout *l = vf_job_layout(job);
    if (l->ntext == 0 || !vf_job_catalogue(job))
        return VF_OK;
    uint32_t count = vf_job_count(job);
    struct vf_cards *c = calloc(1, sizeof(*c));
    if (!c)
        return VF_E_NOMEM;
    c->refs = 1;
    c->count = count;
    c->at = calloc((size_t)count + 1, sizeof(*c->at));
    c->rows_to = calloc((size_t)count + 1, sizeof(*c->rows_to));
    if (!c->at || !c->rows_to) {
        vf_cards_unref(c);
        return VF_E_NOMEM;
    }
    VF_BUF header;
    vf_buf_init(&header, 4096);
    put_header(l, &header);
    uint64_t at = header.len + 1;

    /* The fixed parts of a row are the same for all records with a photo, and for all without. */
    bool photos_granted = (vf_job_grant(job)->fields & VF_FIELD_BIT(VF_FIELD_PHOTO)) != 0;
    size_t base[2] = {0, 0};
    const struct vf_catalogue *cat = vf_job_catalogue(job);
    for (uint32_t i = 0; i < count; i++) {
        struct vf_job_item item;
        vf_job_item_get(job, i, &item);
        c->at[i] = at;
        c->rows_to[i] = c->rows;
        if (!item.text)
            continue;
        bool photo = photos_granted && item.photo;
        size_t fields = 0;
        for (unsigned f = 0; f < l->ntext; f++)
            fields += vf_catalogue_quoted_len(cat, i, l->text_field[f]);
        if (base[photo] == 0)
            base[photo] = row_len(s, job, i, photo) - fields;
        size_t len = base[photo] + fields + 1;
        if (len + 1 > c->row_max)
            c->row_max = len + 1;
        at += len;
        c->rows++;
    }
    c->at[count] = at;
    c->rows_to[count] = c->rows;
    *ret = c;
    return VF_OK;
}

uint64_t vf_cards_size(const struct vf_cards *c, bool excel)
{
    uint64_t size = c->at[c->count];
    return excel ? size + BOM_LEN + 1 + c->rows : size;
}

bool vf_cards_exist(struct vf_session *s, struct vf_job *job)
{
    const struct vf_grant *g = vf_job_grant(job);
    (void)s;
    return vf_job_layout(job)->ntext > 0 && (g->budget == 0 || g->budget >= g->records) &&
           (!vf_job_online(job) || vf_desk_client_all(job));
}

static enum vf_err put_row(struct vf_session *s, struct vf_job *job, struct vf_value_reader *reader, uint32_t index,
                           struct vf_buf *out, struct vf_why *why)
{
    const struct vf_grant_layout *l = vf_job_layout(job);
    const struct vf_ref *ref = vf_catalogue_ref(vf_job_catalogue(job), index);
    struct vf_text_value texts[VF_FIELD_COUNT];
    struct vf_job_item item;
    VF_TRY(vf_value_reader_texts(reader, job, index, texts, why));
    vf_job_item_get(job, index, &item);
    bool photo = item.photo && (vf_job_grant(job)->fields & VF_FIELD_BIT(VF_FIELD_PHOTO));

    vf_buf_fmt(out, "\"%.8s\"", ref->c);
    for (unsigned i = 0; i < l->ntext; i++) {
        vf_buf_text(out, ",");
        vf_csv_quote(out, texts[i].text, texts[i].len);
    }
    if (!photo) {
        vf_buf_text(out, ",\"\",\"\"");
        return VF_OK;
    }
    vf_buf_fmt(out, ",\"photos/%.8s.JPG\",", ref->c);
    VF_BUF path;
    vf_buf_init(&path, 32768);
    put_folder(s, job, &path);
    vf_buf_fmt(&path, "photos/%.8s.JPG", ref->c);
    vf_csv_quote(out, (const char *)path.data, path.len);
    return VF_OK;
}

/* Where the row of record `index` ends, in the coordinates of cards.csv or cards-excel.csv. */
static uint64_t row_end(const struct vf_cards *c, uint32_t index, bool excel)
{
    uint64_t end = c->at[index + 1];
    return excel ? end + BOM_LEN + 1 + c->rows_to[index + 1] : end;
}

/* First record whose row ends after `at`. */
static uint32_t find_row(const struct vf_cards *c, uint64_t at, bool excel)
{
    uint32_t low = 0, high = c->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (row_end(c, mid, excel) > at)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Copy what of [piece_at, piece_at + piece->len) lies at or after the place we are at. */
static void take(const struct vf_buf *piece, uint64_t piece_at, uint64_t at, uint8_t *out, size_t size, size_t *len)
{
    uint64_t want = at + *len;
    if (want < piece_at || want >= piece_at + piece->len)
        return;
    size_t skip = (size_t)(want - piece_at);
    size_t n = piece->len - skip;
    if (n > size - *len)
        n = size - *len;
    memcpy(out + *len, piece->data + skip, n);
    *len += n;
}

enum vf_err vf_cards_read(struct vf_session *s, struct vf_job *job, const struct vf_cards *c, struct vf_value_reader *reader,
                          bool excel, uint64_t at, uint8_t *out, size_t size, size_t *ret_len, struct vf_why *why)
{
    const char *end_of_line = excel ? "\r\n" : "\n";
    size_t len = 0;

    /* One row at a time, in locked memory: it is as long as the catalogue says, or it is refused. */
    size_t room = c->row_max + 1024;
    VF_SECRET uint8_t *memory = vf_secret_new(room);
    if (!memory)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for a row of cards.csv");
    struct vf_buf piece = {.data = memory, .cap = room - 1, .max = room - 1};
    *ret_len = 0;
    if (excel)
        vf_buf_put(&piece, bom, BOM_LEN);
    put_header(vf_job_layout(job), &piece);
    vf_buf_text(&piece, end_of_line);
    take(&piece, 0, at, out, size, &len);
    for (uint32_t i = find_row(c, at + len, excel); i < c->count && len < size; i++) {
        if (c->at[i + 1] == c->at[i])
            continue;
        uint64_t end = row_end(c, i, excel);
        vf_buf_reset(&piece);
        VF_TRY(put_row(s, job, reader, i, &piece, why));
        vf_buf_text(&piece, end_of_line);
        VF_TRY(vf_buf_check(&piece, "cards.csv", why));
        uint64_t start = end - (c->at[i + 1] - c->at[i]) - (excel ? 1 : 0);
        /* A row that is not as long as the catalogue said would shift everything after it. */
        if (piece.len != end - start)
            return vf_fail(why, VF_E_DAMAGED, "%.8s: the catalogue says another length than the record has",
                           vf_catalogue_ref(vf_job_catalogue(job), i)->c);
        take(&piece, start, at, out, size, &len);
    }
    *ret_len = len;
    return VF_OK;
}
