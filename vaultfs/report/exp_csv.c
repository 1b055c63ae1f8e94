/* SPDX-License-Identifier: MIT */
/* exposed.csv, written. No cell holds free text, so none can begin with what a spreadsheet would run. */
#include "exp.h"

#define CHUNK (256u * 1024)

static const struct {
    const char *word, *meaning;
} words[VF_EXPOSED_WORD_COUNT] = {
#define ROW_(code, text, tier, says) [VF_EXPOSED_##code] = {.word = (text), .meaning = (says)},
    VF_EXPOSED_WORDS(ROW_)
#undef ROW_
};

const char *vf_exposed_word_text(enum vf_exposed_word word)
{
    return word < VF_EXPOSED_WORD_COUNT ? words[word].word : "";
}

const char *vf_exposed_word_meaning(enum vf_exposed_word word)
{
    return word < VF_EXPOSED_WORD_COUNT ? words[word].meaning : "";
}

static void put_time(int64_t us, struct vf_buf *out)
{
    char text[VF_TIME_LEN + 1] = "";

    if (us != 0)
        vf_time_format(us, text);
    vf_buf_text(out, ",");
    vf_buf_text(out, text);
}

static void put_line(const struct vf_exposure *x, uint32_t ref, unsigned part, struct vf_buf *out)
{
    struct vf_exp_line l = vf_exp_line_of(x, ref, part);
    bool both = l.read_word != 0 && l.presumed_word != 0;

    vf_buf_put(out, x->c->refs[ref].ref.c, VF_REF_LEN);
    vf_buf_fmt(out, ",%s,%u,", part == VF_PART_TEXT ? "text" : "image", l.tier);
    if (l.read_word != 0)
        vf_buf_text(out, vf_exposed_word_text(l.read_word));
    if (both)
        vf_buf_text(out, "+");
    if (l.presumed_word != 0 || l.read_word == 0)
        vf_buf_text(out, vf_exposed_word_text(l.presumed_word != 0 ? l.presumed_word : l.other_word));
    vf_buf_text(out, ",");
    if (l.source != VF_EXP_NONE)
        vf_buf_put(out, x->sources[l.source].id.c, VF_GRANT_ID_LEN);
    vf_buf_text(out, ",");
    vf_field_set_put(l.fields, " ", out);
    put_time(l.first_us, out);
    put_time(l.last_us, out);
    vf_buf_text(out, "\n");
}

static enum vf_err flush(struct vf_buf *out, int fd, const char *what, struct vf_hasher *hasher, struct vf_why *why)
{
    VF_TRY(vf_buf_check(out, what, why));
    vf_hasher_update(hasher, out->data, out->len);
    VF_TRY(vf_fd_write(fd, out->data, out->len, what, why));
    vf_buf_reset(out);
    return VF_OK;
}

static enum vf_err write_all(const struct vf_exposure *x, int fd, const char *what, struct vf_hasher *hasher,
                             struct vf_why *why)
{
    VF_BUF out = {0};

    vf_buf_init(&out, CHUNK + 4096);
    vf_buf_text(&out, "ref,part,tier,evidence,grant,fields,first_read,last_read\n");
    for (uint32_t i = 0; i < x->c->nrefs; i++) {
        uint32_t ref = x->order[i];
        if (x->opt.scope != VF_EXPOSURE_ALL && x->touched[ref] == 0)
            continue;
        put_line(x, ref, VF_PART_TEXT, &out);
        put_line(x, ref, VF_PART_IMAGE, &out);
        if (out.len >= CHUNK)
            VF_TRY(flush(&out, fd, what, hasher, why));
    }
    return flush(&out, fd, what, hasher, why);
}

enum vf_err vf_exposure_write_csv(const struct vf_exposure *x, int fd, const char *what, struct vf_hash *ret_hash,
                                  struct vf_why *why)
{
    struct vf_hasher hasher;

    VF_TRY(vf_hasher_init(&hasher, why));
    enum vf_err err = write_all(x, fd, what, &hasher, why);
    if (err == VF_OK)
        vf_hasher_final(&hasher, ret_hash);
    vf_hasher_done(&hasher);
    return err;
}
