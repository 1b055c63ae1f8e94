/* SPDX-License-Identifier: MIT */
/* common: random numbers, growing bytes, new files. */
#include "synth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void rng_init(struct rng *rng, uint64_t seed, enum stream stream, uint64_t index)
{
    uint64_t state = seed;
    uint64_t a = splitmix(&state) ^ ((uint64_t)stream << 56);
    uint64_t b = splitmix(&a) ^ index;
    for (size_t i = 0; i < 4; i++)
        rng->s[i] = splitmix(&b);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint32_t rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)(((rng_next(rng) >> 32) * n) >> 32);
}

int rng_range(struct rng *rng, int lo, int hi)
{
    return lo + (int)rng_below(rng, (uint32_t)(hi - lo + 1));
}

bool rng_percent(struct rng *rng, uint32_t percent)
{
    return rng_below(rng, 100) < percent;
}

void synth_die(const char *fmt, ...)
{
    va_list ap;
    fputs("vaultfs-synth: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

void *synth_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        synth_die("out of memory");
    return p;
}

void bytes_need(struct bytes *b, size_t more)
{
    if (more > SIZE_MAX / 4 - b->len)
        synth_die("out of memory");
    if (b->cap - b->len >= more)
        return;
    size_t cap = b->cap ? b->cap * 2 : 256;
    while (cap < b->len + more)
        cap *= 2;
    uint8_t *data = realloc(b->data, cap);
    if (!data)
        synth_die("out of memory");
    b->data = data;
    b->cap = cap;
}

void bytes_put(struct bytes *b, const void *data, size_t len)
{
    bytes_need(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

void bytes_puts(struct bytes *b, const char *s)
{
    bytes_put(b, s, strlen(s));
}

void bytes_printf(struct bytes *b, const char *fmt, ...)
{
    va_list ap;
    size_t room = 512;
    for (;;) { /* once more, when the guess was too small */
        bytes_need(b, room);
        va_start(ap, fmt);
        int n = vsnprintf((char *)b->data + b->len, room, fmt, ap);
        va_end(ap);
        if (n < 0)
            synth_die("cannot format");
        if ((size_t)n < room) {
            b->len += (size_t)n;
            return;
        }
        room = (size_t)n + 1;
    }
}

void bytes_json(struct bytes *b, const char *s)
{
    bytes_puts(b, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            bytes_printf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            bytes_printf(b, "\\u%04x", c);
        else
            bytes_put(b, s, 1);
    }
    bytes_puts(b, "\"");
}

void bytes_be16(struct bytes *b, unsigned v)
{
    uint8_t d[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    bytes_put(b, d, 2);
}

void bytes_be32(struct bytes *b, uint32_t v)
{
    bytes_be16(b, v >> 16);
    bytes_be16(b, v & 0xffff);
}

void bytes_done(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

static void join(char *path, size_t size, const char *dir, const char *name)
{
    int n = snprintf(path, size, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= size)
        synth_die("%s/%s: the path is too long", dir, name);
}

void synth_mkdir(const char *dir, const char *name)
{
    char path[4096];
    join(path, sizeof path, dir, name);
    if (mkdir(path, 0777))
        synth_die("%s: %s", path, strerror(errno));
}

void synth_write(const char *dir, const char *name, const void *data, size_t len)
{
    char path[4096];
    join(path, sizeof path, dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        synth_die("%s: %s", path, strerror(errno));
    for (const uint8_t *p = data; len > 0;) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            synth_die("%s: %s", path, strerror(errno));
        p += n;
        len -= (size_t)n;
    }
    if (close(fd))
        synth_die("%s: %s", path, strerror(errno));
}

void sink_open(struct sink *sink, const char *dir, const char *name)
{
    char path[4096];
    join(path, sizeof path, dir, name);
    *sink = (struct sink){.file = fopen(path, "wxe"), .name = name};
    if (!sink->file)
        synth_die("%s: %s", path, strerror(errno));
}

void sink_flush(struct sink *sink)
{
    if (sink->line.len && fwrite(sink->line.data, 1, sink->line.len, sink->file) != sink->line.len)
        synth_die("%s: %s", sink->name, strerror(errno));
    sink->line.len = 0;
}

void sink_close(struct sink *sink)
{
    sink_flush(sink);
    if (fclose(sink->file))
        synth_die("%s: %s", sink->name, strerror(errno));
    bytes_done(&sink->line);
}
