/* SPDX-License-Identifier: MIT */
/*
 * The ordinary driver of a fuzz target: replay FOLDER...
 *
 * 1. every file of the corpus as it is, and the empty input;
 * 2. cut off at every length, and with one byte more;
 * 3. with each byte changed: lowest bit, highest bit, all bits, to 0x00, to 0xff.
 *
 * Large files are sampled at a fixed stride, so that a run is the same every time; the wall clock is only a last resort and says so.
 * Each input is a heap block of its exact size: a sanitizer sees the first byte read beyond it.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FILE_MAX    ((size_t)4 << 20)
#define WORK_A_FILE ((size_t)24 << 20) /* bytes fed for the cuts of one file, and again for the changes */
#define RUNS_A_FILE ((size_t)20000)
#define SECONDS     60 /* of the mutations of all files */
#define CHANGES     5

struct input {
    char *path;
    uint8_t *data;
    size_t len;
};

static unsigned long runs;
static time_t deadline;
static bool late;

static void give_up(const char *path, const char *why)
{
    (void)fprintf(stderr, "replay: %s: %s\n", path, why);
    exit(1);
}

static void *need(void *p)
{
    if (p == NULL)
        give_up("memory", "none left");
    return p;
}

static void feed(const uint8_t *data, size_t len)
{
    uint8_t *copy = need(malloc(len > 0 ? len : 1));

    if (len > 0)
        memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    runs++;
}

static bool in_time(void)
{
    late = late || time(NULL) > deadline;
    return !late;
}

/* Every nth position, so that the whole costs neither too many bytes nor too many runs. */
static size_t stride_of(size_t len, size_t runs_a_position)
{
    size_t by_runs = len * runs_a_position / RUNS_A_FILE;
    size_t by_work = len * runs_a_position / (WORK_A_FILE / (len + 1) + 1);
    size_t stride = by_runs > by_work ? by_runs : by_work;

    return stride > 0 ? stride : 1;
}

static void feed_cuts(const struct input *in)
{
    size_t stride = stride_of(in->len, 1);

    for (size_t len = 0; len < in->len && in_time(); len += stride)
        feed(in->data, len);
    uint8_t *longer = need(malloc(in->len + 1));
    memcpy(longer, in->data, in->len);
    longer[in->len] = in->len > 0 ? in->data[in->len - 1] : 0;
    feed(longer, in->len + 1);
    free(longer);
}

static uint8_t changed(uint8_t byte, unsigned how)
{
    switch (how) {
    case 0:
        return byte ^ 0x01;
    case 1:
        return byte ^ 0x80;
    case 2:
        return (uint8_t)~byte;
    case 3:
        return 0x00;
    default:
        return 0xff;
    }
}

static void feed_changes(const struct input *in)
{
    uint8_t *copy = need(malloc(in->len + 1));
    size_t stride = stride_of(in->len, CHANGES);

    memcpy(copy, in->data, in->len);
    for (size_t at = 0; at < in->len && in_time(); at += stride) {
        uint8_t was = copy[at];
        for (unsigned how = 0; how < CHANGES; how++) {
            copy[at] = changed(was, how);
            if (copy[at] != was)
                feed(copy, in->len);
        }
        copy[at] = was;
    }
    free(copy);
}

static struct input load(const char *dir, const char *name)
{
    struct input in = {0};
    size_t size = strlen(dir) + strlen(name) + 2;

    in.path = need(malloc(size));
    (void)snprintf(in.path, size, "%s/%s", dir, name);
    FILE *f = fopen(in.path, "rb");
    if (f == NULL)
        give_up(in.path, "cannot open");
    in.data = need(malloc(FILE_MAX + 1));
    in.len = fread(in.data, 1, FILE_MAX + 1, f);
    if (ferror(f) || in.len > FILE_MAX)
        give_up(in.path, "cannot read, or larger than 4 MiB");
    (void)fclose(f);
    in.data = need(realloc(in.data, in.len > 0 ? in.len : 1));
    return in;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    struct input *all = NULL;
    size_t n = 0;

    if (argc < 2)
        give_up("usage", "replay FOLDER...");
    for (int i = 1; i < argc; i++) {
        struct dirent **names = NULL;
        int found = scandir(argv[i], &names, visible, alphasort);
        if (found <= 0)
            give_up(argv[i], "no corpus here: a decoder without examples is not tested");
        all = need(realloc(all, (n + (size_t)found) * sizeof(*all)));
        for (int k = 0; k < found; k++) {
            all[n++] = load(argv[i], names[k]->d_name);
            free(names[k]);
        }
        free(names);
    }
    feed(NULL, 0);
    for (size_t i = 0; i < n; i++)
        feed(all[i].data, all[i].len);
    deadline = time(NULL) + SECONDS;
    for (size_t i = 0; i < n; i++) {
        feed_cuts(&all[i]);
        feed_changes(&all[i]);
    }
    (void)printf("%zu files, %lu inputs%s\n", n, runs, late ? "; STOPPED by the time limit" : "");
    for (size_t i = 0; i < n; i++) {
        free(all[i].path);
        free(all[i].data);
    }
    free(all);
    return 0;
}
