/* SPDX-License-Identifier: MIT */
/* vaultfs-synth: options, threads, and the order in which a force is written. */
#include "synth.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char HELP[] =
    "usage: vaultfs-synth --out DIR --records N [options]\n"
    "\n"
    "Makes a synthetic police force: a HR system's CSV with its map, photos, and the truth to compare with. The same "
    "options give the\n"
    "same bytes, whatever the number of threads. Nobody in it exists.\n"
    "\n"
    "  --out DIR             new or empty folder\n"
    "  --records N           1 to 500000 (an import takes at most 200000 rows and 64 MiB of CSV)\n"
    "  --seed S              0 to 2^64-1, default 1\n"
    "  --photos KIND         upright (default); mixed: all eight EXIF orientations, dimensions of whole blocks and not, "
    "some files\n"
    "                        called .JPG or .jpeg; none\n"
    "  --photo-kb MIN-MAX    file sizes, default 40-250, within 20-1000\n"
    "  --large-photos N      so many of the photos have 12 megapixels (3000x4000, 1.2 to 3.8 MB): they need --photo-fit\n"
    "  --signatures PERCENT  records with a signature (photos/WARRANT.png), default 0\n"
    "  --protected PERCENT   records that are RESTRICTED (two thirds) or COVERT (one third), default 0\n"
    "  --incomplete PERCENT  records that lack photo, name on card or rank, in turn, default 0\n"
    "  --bad                 also DIR/bad: every kind of bad row and photo among good ones, with what to expect of each\n"
    "  --truth-photos        also DIR/truth/photos/WARRANT.ppm: each photo as libjpeg decodes it, turned upright (1 MB and "
    "more each)\n"
    "  --jobs N              threads, default one a processor\n"
    "\n"
    "What is made:\n"
    "  force.csv             UTF-8, CRLF, RFC 4180, the columns of a HR system     force.map   for `record import --map`\n"
    "  photos/WARRANT.jpg    for `record import --photos DIR/photos`               ranks.txt   for `vault set --ranks`\n"
    "  truth/records.jsonl   one line a record, in the order of the CSV: \"row\" (the header is row 1), the text fields by "
    "class \"A\",\n"
    "                        \"B\", \"C\" as they must be served, \"lacks\", \"signature\", and \"photo\": file, "
    "orientation (applied), tag (what\n"
    "                        EXIF says; null: nothing), upright and stored size, lossless_turn (as jpegtran -perfect "
    "judges), metadata,\n"
    "                        stamp, fragment (16 bytes of its scan, hex)\n"
    "  truth/markers.txt     every name and number of 8 bytes or more that must not be found on a supplier's disk, one a "
    "line;\n"
    "                        weak-markers.txt: those of digits alone, which hex text may hold by chance; "
    "camera-markers.txt: serial\n"
    "                        numbers in photo metadata, which must be gone after import\n"
    "  manifest.json         options, counts, columns, the warrant pattern, markers of up to 200 records\n"
    "  bad/bad.csv, bad.photos, bad.expected.jsonl; bad/files/*.csv, files.expected.jsonl (map: force.map; warrant pattern "
    "must be set)\n"
    "                        a row's \"expect\": accept, reject, either; its \"photo_expect\": accept, refused, missing, "
    "warned, orphan\n"
    "\n"
    "Each photo bears a stamp at the lower left that tells whose it is: 8x5 cells of c = max(5, width / 60) pixels (whole "
    "numbers), the\n"
    "first at x = width / 25, y = height - height / 25 - 5c in the upright picture; row by row, light is 1: 24 bits of "
    "record number\n"
    "(the first record is 0), 16 bits of check.\n";

struct job {
    const struct options *opt;
    struct photo *photos;
    atomic_uint next;
    bool tell;
};

static void *photo_thread(void *user)
{
    struct job *job = user;
    struct painter pt = {.opt = job->opt};
    struct signature sig;
    for (uint32_t i; (i = atomic_fetch_add(&job->next, 1)) < job->opt->records;) {
        struct person p;
        synth_person(job->opt, i, &p);
        if (p.photo)
            photo_make(&pt, i, &p, job->opt->out, &job->photos[i]);
        if (p.signature) {
            char name[64];
            signature_draw(job->opt->seed, i, p.v[F_NAME_ON_CARD], &pt.jpeg, &sig);
            snprintf(name, sizeof name, "photos/%.12s.png", p.v[F_WARRANT_NO]);
            synth_write(job->opt->out, name, pt.jpeg.data, pt.jpeg.len);
        }
        if (job->tell && i % 500 == 499)
            fprintf(stderr, "\r%u of %u photos", i + 1, job->opt->records);
    }
    painter_done(&pt);
    return NULL;
}

static void make_photos(const struct options *opt, struct photo *photos)
{
    struct job job = {.opt = opt, .photos = photos, .tell = isatty(2)};
    pthread_t *threads = synth_alloc(opt->jobs * sizeof *threads);
    for (uint32_t i = 0; i < opt->jobs; i++)
        if (pthread_create(&threads[i], NULL, photo_thread, &job))
            synth_die("cannot start a thread");
    for (uint32_t i = 0; i < opt->jobs; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    if (job.tell)
        fputs("\r\033[K", stderr);
}

static void truth_line(struct bytes *out, const struct options *opt, uint32_t i, const struct person *p,
                       const struct photo *ph)
{
    static const char *const LACKS[] = {"null", "\"photo\"", "\"name_on_card\"", "\"rank\""};
    bytes_printf(out, "{\"row\": %u, ", i + 2);
    synth_person_json(out, p);
    bytes_printf(out, ", \"lacks\": %s, \"signature\": ", LACKS[p->lack]);
    if (p->signature) {
        struct bytes png = {0};
        struct signature sig;
        signature_draw(opt->seed, i, p->v[F_NAME_ON_CARD], &png, &sig);
        bytes_printf(out, "{\"file\": \"photos/%s.png\", \"width\": %u, \"height\": %u, \"metadata\": %s}",
                     p->v[F_WARRANT_NO], sig.w, sig.h, sig.text ? "[\"author\", \"time\"]" : "[]");
        bytes_done(&png);
    } else {
        bytes_puts(out, "null");
    }
    bytes_puts(out, ", \"photo\": ");
    if (ph)
        photo_json(out, ph);
    else
        bytes_puts(out, "null");
    bytes_puts(out, "}\n");
}

static void make_tables(const struct options *opt, const struct photo *photos)
{
    struct sink csv, truth;
    struct bytes text = {0};
    uint64_t size = 0;
    sink_open(&csv, opt->out, "force.csv");
    sink_open(&truth, opt->out, "truth/records.jsonl");
    synth_csv_header(&csv.line);
    for (uint32_t i = 0; i < opt->records; i++) {
        struct person p;
        synth_person(opt, i, &p);
        synth_csv_row(&csv.line, opt->seed, i, &p);
        size += csv.line.len;
        sink_flush(&csv);
        truth_line(&truth.line, opt, i, &p, photos ? &photos[i] : NULL);
        sink_flush(&truth);
    }
    sink_close(&csv);
    sink_close(&truth);
    if (size > 64u << 20 || opt->records > 200000)
        fprintf(stderr, "vaultfs-synth: note: force.csv has %u rows and %llu MiB, more than one import takes\n",
                opt->records, (unsigned long long)(size >> 20));

    synth_map(&text);
    synth_write(opt->out, "force.map", text.data, text.len);
    text.len = 0;
    size_t n;
    const char *const *ranks = synth_ranks(&n);
    for (size_t i = 0; i < n; i++)
        bytes_printf(&text, "%s\n", ranks[i]);
    synth_write(opt->out, "ranks.txt", text.data, text.len);
    bytes_done(&text);
}

/* ---------------------------------------------------------------------------------------------------------------- options */

static void __attribute__((noreturn, format(printf, 1, 2))) usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("vaultfs-synth: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs("; see --help\n", stderr);
    va_end(ap);
    exit(2);
}

static uint64_t whole(const char *name, const char *s, uint64_t lo, uint64_t hi)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || end == s || *end || strspn(s, "0123456789") != strlen(s) || v < lo || v > hi)
        usage("--%s takes a whole number from %llu to %llu", name, (unsigned long long)lo, (unsigned long long)hi);
    return v;
}

static void kb(const char *s, struct options *opt)
{
    unsigned lo, hi;
    char rest;
    if (sscanf(s, "%4u-%4u%c", &lo, &hi, &rest) != 2 || lo < 20 || hi > 1000 || hi * 4 < lo * 5)
        usage("--photo-kb takes MIN-MAX within 20-1000, MAX at least a quarter over MIN");
    opt->kb_min = lo;
    opt->kb_max = hi;
}

static void photo_kind(const char *s, struct options *opt)
{
    if (strcmp(s, "none") == 0)
        opt->photos = PHOTOS_NONE;
    else if (strcmp(s, "upright") == 0)
        opt->photos = PHOTOS_UPRIGHT;
    else if (strcmp(s, "mixed") == 0)
        opt->photos = PHOTOS_MIXED;
    else
        usage("--photos takes upright, mixed or none");
}

enum {
    O_OUT = 256,
    O_RECORDS,
    O_SEED,
    O_PHOTOS,
    O_KB,
    O_LARGE,
    O_SIGNATURES,
    O_PROTECTED,
    O_INCOMPLETE,
    O_BAD,
    O_TRUTH,
    O_JOBS,
    O_HELP
};

static const struct option OPTIONS[] = {
    {"out", required_argument, NULL, O_OUT},
    {"records", required_argument, NULL, O_RECORDS},
    {"seed", required_argument, NULL, O_SEED},
    {"photos", required_argument, NULL, O_PHOTOS},
    {"photo-kb", required_argument, NULL, O_KB},
    {"large-photos", required_argument, NULL, O_LARGE},
    {"signatures", required_argument, NULL, O_SIGNATURES},
    {"protected", required_argument, NULL, O_PROTECTED},
    {"incomplete", required_argument, NULL, O_INCOMPLETE},
    {"bad", no_argument, NULL, O_BAD},
    {"truth-photos", no_argument, NULL, O_TRUTH},
    {"jobs", required_argument, NULL, O_JOBS},
    {"help", no_argument, NULL, O_HELP},
    {NULL, 0, NULL, 0},
};

static void option(int which, const char *arg, struct options *opt)
{
    switch (which) {
    case O_OUT:
        opt->out = arg;
        break;
    case O_RECORDS:
        opt->records = (uint32_t)whole("records", arg, 1, 500000);
        break;
    case O_SEED:
        opt->seed = whole("seed", arg, 0, UINT64_MAX);
        break;
    case O_PHOTOS:
        photo_kind(arg, opt);
        break;
    case O_KB:
        kb(arg, opt);
        break;
    case O_LARGE:
        opt->large = (uint32_t)whole("large-photos", arg, 0, 500000);
        break;
    case O_SIGNATURES:
        opt->signatures = (uint32_t)whole("signatures", arg, 0, 100);
        break;
    case O_PROTECTED:
        opt->guarded = (uint32_t)whole("protected", arg, 0, 100);
        break;
    case O_INCOMPLETE:
        opt->incomplete = (uint32_t)whole("incomplete", arg, 0, 100);
        break;
    case O_BAD:
        opt->bad = true;
        break;
    case O_TRUTH:
        opt->truth_photos = true;
        break;
    case O_JOBS:
        opt->jobs = (uint32_t)whole("jobs", arg, 1, 256);
        break;
    case O_HELP:
        fputs(HELP, stdout);
        exit(0);
    default:
        exit(2); /* getopt has said why */
    }
}

/* A new or empty folder: what was made before is never mixed with what is made now. */
static void claim(const char *dir)
{
    if (mkdir(dir, 0777) == 0)
        return;
    if (errno != EEXIST)
        synth_die("%s: %s", dir, strerror(errno));
    DIR *d = opendir(dir);
    if (!d)
        synth_die("%s: %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            synth_die("%s is not empty: name a new folder", dir);
    closedir(d);
}

int main(int argc, char **argv)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct options opt = {
        .seed = 1, .photos = PHOTOS_UPRIGHT, .kb_min = 40, .kb_max = 250, .jobs = cpus < 1 ? 1 : (uint32_t)cpus};
    for (int which; (which = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
        option(which, optarg, &opt);
    if (optind < argc)
        usage("%s: what is this?", argv[optind]);
    if (!opt.out || !opt.records)
        usage("--out and --records are needed");
    if (opt.large > opt.records)
        usage("there are fewer records than --large-photos");

    claim(opt.out);
    synth_mkdir(opt.out, "truth");
    struct photo *photos = NULL;
    paint_init(opt.seed);
    if (opt.photos != PHOTOS_NONE) {
        photo_init(&opt);
        synth_mkdir(opt.out, "photos");
        if (opt.truth_photos)
            synth_mkdir(opt.out, "truth/photos");
        photos = synth_alloc(opt.records * sizeof *photos);
        make_photos(&opt, photos);
    }
    make_tables(&opt, photos);
    manifest_make(&opt, opt.out, photos);
    if (opt.bad) {
        synth_mkdir(opt.out, "bad");
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/bad", opt.out);
        bad_make(&opt, dir);
    }
    free(photos);
    paint_done();
    return 0;
}
