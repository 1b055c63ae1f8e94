/* SPDX-License-Identifier: MIT */
/* LIST files. A warrant number is a field's value: messages name the line, never what stands in it. */
#include "select.h"

#include <string.h>

#define LIST_MAX (32u * 1024 * 1024)

struct list {
    struct vf_vault *v;
    struct vf_view *view;
    const char *path;
    struct vf_buf *picks;
    struct vf_buf number; /* normalised */
    uint32_t line;
    uint32_t bad;
    struct vf_why first; /* the first bad line */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && is_blank(**text)) {
        ++*text;
        --*len;
    }
    while (*len > 0 && is_blank((*text)[*len - 1]))
        --*len;
}

/* What is not there is no error here, and leaves no reason behind. */
static enum vf_err unless_absent(enum vf_err err, const struct vf_why *reason, struct vf_why *why)
{
    if (err == VF_OK || err == VF_E_NOT_FOUND)
        return VF_OK;
    if (why != NULL)
        *why = *reason;
    return err;
}

/* VF_OK and *ret_found; errors are of the vault, not of the line. */
static enum vf_err look_up(struct list *l, const char *text, size_t len, struct vf_ref *ret, bool *ret_found,
                           struct vf_why *why)
{
    vf_buf_reset(&l->number);
    *ret_found = false;
    if (vf_field_check(vf_vault_rules(l->v), VF_FIELD_WARRANT_NO, text, len, &l->number, NULL) != VF_OK ||
        l->number.len == 0)
        return VF_OK;
    struct vf_why not_found = {0};
    enum vf_err err = vf_view_find(l->view, (const char *)l->number.data, l->number.len, ret, &not_found);
    *ret_found = err == VF_OK;
    return unless_absent(err, &not_found, why);
}

static enum vf_err head_of(struct list *l, const struct vf_ref *ref, struct vf_pick *pick, bool *ret_found,
                           struct vf_why *why)
{
    struct vf_head head;
    struct vf_why not_found = {0};
    enum vf_err err = vf_view_head(l->view, ref, &head, &not_found);

    *ret_found = err == VF_OK;
    if (err == VF_OK) {
        pick->leaver = head.status == VF_STATUS_LEAVER;
        pick->is_protected = head.protect != VF_PROTECT_STANDARD;
        pick->ref = *ref;
    }
    vf_wipe(&head, sizeof(head));
    return unless_absent(err, &not_found, why);
}

static void bad_line(struct list *l, const char *text)
{
    if (l->bad++ == 0)
        (void)vf_fail(&l->first, VF_E_INPUT, "%s:%u: %s", l->path, (unsigned)l->line, text);
}

static enum vf_err do_line(struct list *l, const char *text, size_t len, struct vf_why *why)
{
    struct vf_pick pick = {.line = l->line};
    struct vf_ref ref;
    struct vf_ref numbered;
    bool is_ref = false;
    bool is_number;

    trim(&text, &len);
    if (len == 0)
        return VF_OK;
    if (vf_ref_parse(text, len, &ref))
        VF_TRY(head_of(l, &ref, &pick, &is_ref, why));
    VF_TRY(look_up(l, text, len, &numbered, &is_number, why));
    if (is_ref && is_number && vf_ref_cmp(&ref, &numbered) != 0) {
        bad_line(l, "this is the ref of one record and the warrant number of another; name both records by ref");
        return VF_OK;
    }
    pick.by_ref = is_ref;
    if (!is_ref && is_number)
        VF_TRY(head_of(l, &numbered, &pick, &is_number, why));
    if (!is_ref && !is_number) {
        bad_line(l, "no record has this ref or warrant number");
        return VF_OK;
    }
    return vf_picks_add(l->picks, &pick) != NULL ? VF_OK : vf_buf_check(l->picks, "the list of records", why);
}

static enum vf_err do_lines(struct list *l, const char *text, size_t len, struct vf_why *why)
{
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t n = end != NULL ? (size_t)(end - text) : len;
        l->line++;
        VF_TRY(do_line(l, text, n, why));
        n += end != NULL;
        text += n;
        len -= n;
    }
    if (l->bad == 1)
        return vf_fail(why, VF_E_INPUT, "%s", l->first.text);
    if (l->bad > 1)
        return vf_fail(why, VF_E_INPUT, "%s (and %u more such lines)", l->first.text, (unsigned)(l->bad - 1));
    return VF_OK;
}

enum vf_err vf_picks_list(struct vf_vault *v, struct vf_view *view, const char *path, struct vf_buf *picks,
                          struct vf_why *why)
{
    VF_BUF file = {0};
    struct list l = {.v = v, .view = view, .path = path, .picks = picks};

    VF_TRY(vf_file_read(path, LIST_MAX, &file, why));
    const char *text = (const char *)file.data;
    size_t len = file.len;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    vf_buf_init(&l.number, VF_VALUE_MAX);
    enum vf_err err = do_lines(&l, text, len, why);
    vf_buf_done(&l.number);
    return err;
}
