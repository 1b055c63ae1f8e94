/* SPDX-License-Identifier: MIT */
/* manifest: what a test must know of the whole force, and the words that must not be found where they should not be. */
#include "synth.h"

#include <string.h>

#define SAMPLE 200u /* records whose markers are in the manifest itself */

struct counts {
    uint32_t photos, signatures, restricted, covert, large, lossy, gray, progressive;
    uint32_t lack[4], orientation[9], kinds[META_KINDS];
    uint64_t bytes;
};

static void count(struct counts *c, const struct person *p, const struct photo *ph)
{
    c->signatures += p->signature;
    c->restricted += p->v[F_PROTECT][0] == 'R';
    c->covert += p->v[F_PROTECT][0] == 'C';
    c->lack[p->lack]++;
    if (!ph || !ph->made)
        return;
    c->photos++;
    c->large += p->large;
    c->lossy += !ph->lossless;
    c->gray += ph->spec.gray;
    c->progressive += ph->spec.progressive;
    c->bytes += ph->bytes;
    c->orientation[ph->orientation]++;
    for (unsigned i = 0; i < META_KINDS; i++)
        c->kinds[i] += ph->kinds >> i & 1;
}

static void counts_json(struct bytes *out, const struct counts *c)
{
    bytes_printf(out,
                 "  \"counts\": {\n    \"photos\": %u, \"photo_bytes\": %llu, \"large_photos\": %u, \"signatures\": %u,\n",
                 c->photos, (unsigned long long)c->bytes, c->large, c->signatures);
    bytes_printf(out, "    \"protected\": {\"RESTRICTED\": %u, \"COVERT\": %u},\n", c->restricted, c->covert);
    bytes_printf(out, "    \"incomplete\": {\"photo\": %u, \"name_on_card\": %u, \"rank\": %u},\n", c->lack[LACK_PHOTO],
                 c->lack[LACK_NAME], c->lack[LACK_RANK]);
    bytes_printf(out, "    \"turn_needs_reencoding\": %u, \"gray\": %u, \"progressive\": %u,\n    \"orientation\": {",
                 c->lossy, c->gray, c->progressive);
    for (unsigned i = 1; i <= 8; i++)
        bytes_printf(out, "%s\"%u\": %u", i > 1 ? ", " : "", i, c->orientation[i]);
    bytes_puts(out, "},\n    \"metadata\": {");
    for (unsigned i = 0; i < META_KINDS; i++)
        bytes_printf(out, "%s\"%s\": %u", i ? ", " : "", META_NAMES[i], c->kinds[i]);
    bytes_puts(out, "}\n  },\n");
}

/* Strings of a person that are eight bytes or longer and not all digits: such a one is found nowhere by chance. */
static void person_markers(const struct person *p, void (*each)(void *user, const char *marker), void *user)
{
    static const enum field FIELD[] = {F_NAME_ON_CARD, F_SURNAME,     F_FORENAMES, F_NOTIFY_TO,
                                       F_PAY_NO,       F_CARD_SERIAL, F_WARRANT_NO};
    for (size_t i = 0; i < sizeof FIELD / sizeof *FIELD; i++) {
        const char *v = p->v[FIELD[i]];
        if (strlen(v) >= 8 && strspn(v, "0123456789") != strlen(v))
            each(user, v);
    }
}

struct list {
    struct bytes out;
    bool lines; /* a line each, else JSON */
};

static void list_add(void *user, const char *marker)
{
    struct list *list = user;
    if (list->lines) {
        bytes_printf(&list->out, "%s\n", marker);
        return;
    }
    bytes_puts(&list->out, list->out.len ? ",\n    " : "\n    ");
    bytes_json(&list->out, marker);
}

static void photo_markers(const struct photo *ph, struct list *list)
{
    if (ph && ph->made && ph->kinds & (META_SERIAL | META_XMP | META_COMMENT | META_MAKERNOTE | META_TRAILING))
        list_add(list, ph->serial);
}

static void fragment(const struct photo *ph, struct list *list)
{
    char hex[33];
    if (!ph || !ph->made)
        return;
    for (size_t i = 0; i < 16; i++)
        snprintf(hex + i * 2, 3, "%02x", ph->fragment[i]);
    list_add(list, hex);
}

static void array(struct bytes *out, const char *name, struct list *list, const char *after)
{
    bytes_printf(out, "  \"%s\": [", name);
    bytes_put(out, list->out.data, list->out.len);
    bytes_printf(out, "\n  ]%s\n", after);
    bytes_done(&list->out);
}

static void head_json(struct bytes *out, const struct options *opt)
{
    static const char *const PHOTOS[] = {"none", "upright", "mixed"};
    bytes_printf(out, "{\n  \"format\": \"vaultfs-synth/1\",\n  \"seed\": %llu,\n  \"records\": %u,\n",
                 (unsigned long long)opt->seed, opt->records);
    bytes_printf(out,
                 "  \"options\": {\"photos\": \"%s\", \"photo_kb\": [%u, %u], \"large_photos\": %u, \"signatures\": %u, ",
                 PHOTOS[opt->photos], opt->kb_min, opt->kb_max, opt->large, opt->signatures);
    bytes_printf(out, "\"protected\": %u, \"incomplete\": %u, \"bad\": %s},\n", opt->guarded, opt->incomplete,
                 opt->bad ? "true" : "false");
    bytes_puts(out,
               "  \"csv\": \"force.csv\",\n  \"map\": \"force.map\",\n  \"ranks\": \"ranks.txt\",\n  \"warrant_pattern\": ");
    bytes_json(out, SYNTH_WARRANT_PATTERN);
    bytes_puts(out, ",\n  \"columns\": ");
    synth_columns_json(out);
    bytes_puts(out, ",\n");
}

void manifest_make(const struct options *opt, const char *dir, const struct photo *photos)
{
    struct counts c = {0};
    struct list all = {.lines = true}, weak = {.lines = true}, camera = {.lines = true};
    struct list some = {0}, some_weak = {0}, some_camera = {0}, some_fragments = {0};
    uint32_t step = opt->records / SAMPLE + 1;
    for (uint32_t i = 0; i < opt->records; i++) {
        struct person p;
        const struct photo *ph = photos ? &photos[i] : NULL;
        const char *warrant = p.v[F_WARRANT_NO];
        synth_person(opt, i, &p);
        count(&c, &p, ph);
        bool digits = warrant[0] >= '0' && warrant[0] <= '9';
        person_markers(&p, list_add, &all);
        photo_markers(ph, &camera);
        if (digits)
            list_add(&weak, warrant);
        if (i % step)
            continue;
        person_markers(&p, list_add, &some);
        photo_markers(ph, &some_camera);
        fragment(ph, &some_fragments);
        if (digits)
            list_add(&some_weak, warrant);
    }
    synth_write(dir, "truth/markers.txt", all.out.data, all.out.len);
    synth_write(dir, "truth/weak-markers.txt", weak.out.data, weak.out.len);
    synth_write(dir, "truth/camera-markers.txt", camera.out.data, camera.out.len);
    struct bytes out = {0};
    head_json(&out, opt);
    counts_json(&out, &c);
    array(&out, "markers", &some, ",");
    array(&out, "weak_markers", &some_weak, ",");
    array(&out, "camera_markers", &some_camera, ",");
    array(&out, "photo_fragments", &some_fragments, "");
    bytes_puts(&out, "}\n");
    synth_write(dir, "manifest.json", out.data, out.len);
    bytes_done(&out);
    bytes_done(&all.out);
    bytes_done(&weak.out);
    bytes_done(&camera.out);
}
