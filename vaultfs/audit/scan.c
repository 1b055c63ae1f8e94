/* SPDX-License-Identifier: MIT */
/*
 * Who does what: the caller alone schedules chunks, hands out their lines in order and takes chunks back. The threads, and the caller
 * while it has to wait, take the first chunk of the queue that nobody works on. `mu` guards the queue and the chunks' states; a chunk's
 * content belongs to who has it BUSY, and to the caller when it is DONE.
 */
#include "scan.h"

#include "entry.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK       ((size_t)256 * 1024)
#define OVERHANG    ((size_t)1024) /* read with it at once: most last lines end there */
#define BUFFER      (1 + CHUNK + VF_ENTRY_LINE_MAX + 2)
#define LINE_MIN    171 /* of a well-formed one, with its newline */
#define ENTRIES     (CHUNK / LINE_MIN + 2)
#define CHUNKS_MAX  112 /* 28 MiB of lines: what a writer may have between two checkpoints (VF_LOG_QUEUE_MAX) and more */
#define CHUNKS_HELD 96
#define THREADS_MAX 7
#define THREADS_AT  ((uint64_t)4 << 20) /* from so many bytes on, threads are worth their start */

enum state { FREE, QUEUED, BUSY, DONE };

struct vf_scan_chunk {
    struct vf_scan_chunk *next; /* in the queue, or in the list of free ones */
    enum state state;
    uint64_t at; /* in the file: lines that begin from here on, */
    bool begins; /* at once */
    uint64_t end;
    int fd;
    const char *what;
    const char *const *needles; /* NULL: all lines are wanted */
    size_t nneedles;
    unsigned holds;

    /* What came out. */
    enum vf_err err;
    struct vf_why why;
    char *buf;                     /* buf[0] is the byte before `at` */
    size_t have;                   /* bytes in it */
    size_t first;                  /* in buf: where the first line begins; 0: none begins here */
    size_t last;                   /* behind the last whole line */
    size_t open;                   /* length of a last line that goes on behind the buffer: longer than any entry */
    bool eof;                      /* the file ends in this chunk, */
    size_t torn;                   /* with so many bytes of a line */
    uint32_t bad, bad_at, bad_len; /* malformed lines behind the last entry */
    struct vf_entry_memo memo;     /* while it is worked on */
    uint32_t n;
    struct vf_scan_entry entries[ENTRIES];
};

struct vf_scan {
    /* The caller's. */
    int fd;
    uint64_t start, next_at, end, known; /* known: of the file's bytes when it was opened */
    const char *what;
    const char *const *needles;
    size_t nneedles;
    struct vf_scan_chunk *cur;
    uint32_t cur_entry;
    bool cur_bad_told;
    bool ended;
    uint64_t line_at; /* behind the last whole line */
    uint64_t open;    /* bytes so far of a line without end */
    struct vf_scan_chunk *free;
    size_t chunks, held, ahead, queued;
    struct vf_scan_chunk *all[CHUNKS_MAX];
    unsigned nthreads;
    bool tried;
    pthread_t threads[THREADS_MAX];
    /* Under mu. */
    pthread_mutex_t mu;
    pthread_cond_t work, done;
    struct vf_scan_chunk *head, *tail;
    bool stop;
};

/* --------------------------------------------------------------------------------------------------------------- one chunk */

/* Read up to `upto` bytes of buffer. */
static bool fill(struct vf_scan_chunk *c, size_t upto)
{
    uint64_t from = c->at - 1;

    if (c->begins) /* nothing stands before the first */
        from = c->at;
    size_t skip = c->begins ? 1 : 0;
    while (c->have < upto && !c->eof) {
        uint64_t at = from + c->have - skip;
        size_t room = upto - c->have;
        if (c->end <= at) {
            c->eof = true;
            break;
        }
        room = c->end - at < room ? (size_t)(c->end - at) : room;
        ssize_t n = pread(c->fd, c->buf + c->have, room, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c->err = vf_fail_sys(&c->why, "%s: cannot read", c->what);
            return false;
        }
        c->have += (size_t)n;
        c->eof = n == 0;
    }
    return true;
}

/* Where the first line begins that begins here. */
static size_t first_line(const struct vf_scan_chunk *c)
{
    size_t look = c->have < CHUNK ? c->have : CHUNK;

    if (c->begins)
        return 1;
    const char *nl = memchr(c->buf, '\n', look);
    return nl != NULL ? (size_t)(nl - c->buf) + 1 : 0;
}

static void take_line(struct vf_scan_chunk *c, size_t at, size_t len)
{
    struct vf_scan_entry *e = &c->entries[c->n];

    if (c->n == ENTRIES || !vf_entry_take(c->buf + at, len, &c->memo, &e->view)) {
        if (c->bad++ == 0) {
            c->bad_at = (uint32_t)at;
            c->bad_len = (uint32_t)len;
        }
        return;
    }
    if (c->needles == NULL)
        vf_leaf_hash_in_place((uint8_t *)c->buf + at, len, &e->leaf); /* buf[0] stands before the first */
    e->chunk = c;
    e->end = c->at + at + len;
    e->bad = c->bad;
    e->bad_at = c->bad_at;
    e->bad_len = c->bad_len;
    c->bad = 0;
    c->n++;
}

/* The first place of any of the texts from `at` on; NULL: none. `next` remembers where each was found. */
static const char *first_hit(const struct vf_scan_chunk *c, size_t at, const char *next[VF_SEARCH_NEEDLES])
{
    const char *end = c->buf + c->have;
    const char *best = NULL;

    for (size_t i = 0; i < c->nneedles; i++) {
        if (next[i] != NULL && next[i] < c->buf + at)
            next[i] = memmem(c->buf + at, c->have - at, c->needles[i], strlen(c->needles[i]));
        if (next[i] == NULL)
            next[i] = end;
        if (next[i] != end && (best == NULL || next[i] < best))
            best = next[i];
    }
    return best;
}

/* Only the lines with one of the texts in them. */
static void search_in(struct vf_scan_chunk *c)
{
    const char *next[VF_SEARCH_NEEDLES];
    size_t at = c->first;

    /* The last line that begins here, whole; one longer than any entry is not looked at. */
    if (c->have > CHUNK && memchr(c->buf + CHUNK, '\n', c->have - CHUNK) == NULL && !fill(c, BUFFER))
        return;
    for (size_t i = 0; i < VF_SEARCH_NEEDLES; i++)
        next[i] = c->buf;
    while (at > 0 && at < 1 + CHUNK && at < c->have) {
        const char *hit = first_hit(c, at, next);
        if (hit == NULL)
            break;
        const char *before = memrchr(c->buf + at - 1, '\n', (size_t)(hit - (c->buf + at - 1)));
        size_t begin = before != NULL ? (size_t)(before - c->buf) + 1 : at;
        const char *nl = memchr(hit, '\n', c->have - (size_t)(hit - c->buf));
        if (nl == NULL || begin >= 1 + CHUNK)
            break;
        take_line(c, begin, (size_t)(nl - c->buf) - begin);
        at = (size_t)(nl - c->buf) + 1;
        c->last = at;
    }
    c->bad = 0;
    for (uint32_t i = 0; i < c->n; i++)
        c->entries[i].bad = 0;
    c->eof = c->eof && c->have <= 1 + CHUNK;
}

static void work_on(struct vf_scan_chunk *c)
{
    c->err = VF_OK;
    c->n = c->bad = 0;
    c->first = c->last = c->open = c->torn = 0;
    c->eof = false;
    c->memo = (struct vf_entry_memo){0};
    c->buf[0] = '\n';
    c->have = c->begins ? 1 : 0;
    if (!fill(c, 1 + CHUNK + OVERHANG))
        return;
    c->first = first_line(c);
    c->last = c->first;
    if (c->needles != NULL) {
        search_in(c);
        return;
    }
    size_t at = c->first;
    while (at > 0 && at < 1 + CHUNK && at < c->have) {
        const char *nl = memchr(c->buf + at, '\n', c->have - at);
        if (nl == NULL && !c->eof && c->have < BUFFER) {
            if (!fill(c, BUFFER))
                return;
            continue;
        }
        if (nl == NULL) {
            c->torn = c->eof ? c->have - at : 0;
            c->open = c->eof ? 0 : c->have - at;
            break;
        }
        size_t len = (size_t)(nl - (c->buf + at));
        take_line(c, at, len);
        at += len + 1;
        c->last = at;
    }
    /* Whole lines that begin behind this chunk are the next one's, and then so is the end of the file. */
    c->eof = c->eof && (c->torn > 0 || c->have <= 1 + CHUNK);
}

/* ----------------------------------------------------------------------------------------------------------------- the queue */

/* mu held. */
static struct vf_scan_chunk *first_queued(struct vf_scan *s)
{
    struct vf_scan_chunk *c = s->head;

    while (c != NULL && c->state != QUEUED)
        c = c->next;
    return c;
}

/* mu held; not while it works. */
static void work(struct vf_scan *s, struct vf_scan_chunk *c)
{
    c->state = BUSY;
    (void)pthread_mutex_unlock(&s->mu);
    work_on(c);
    (void)pthread_mutex_lock(&s->mu);
    c->state = DONE;
}

static void *thread_main(void *arg)
{
    struct vf_scan *s = arg;

    (void)pthread_mutex_lock(&s->mu);
    while (!s->stop) {
        struct vf_scan_chunk *c = first_queued(s);
        if (c == NULL) {
            (void)pthread_cond_wait(&s->work, &s->mu);
            continue;
        }
        work(s, c);
        (void)pthread_cond_signal(&s->done);
    }
    (void)pthread_mutex_unlock(&s->mu);
    return NULL;
}

/* One thread less than there are processors: the caller works too. Without threads everything goes the same way, slower. */
static void start_threads(struct vf_scan *s)
{
    sigset_t all;
    sigset_t before;

    if (s->tried)
        return;
    s->tried = true;
    unsigned want = vf_processors() - 1 < THREADS_MAX ? vf_processors() - 1 : THREADS_MAX;
    /* Signals are for the threads that know of them. */
    (void)sigfillset(&all);
    if (want == 0 || pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return;
    while (s->nthreads < want && pthread_create(&s->threads[s->nthreads], NULL, thread_main, s) == 0)
        s->nthreads++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static struct vf_scan_chunk *chunk_new(struct vf_scan *s)
{
    struct vf_scan_chunk *c = s->free;

    if (c != NULL) {
        s->free = c->next;
        return c;
    }
    if (s->chunks == CHUNKS_MAX)
        return NULL;
    c = malloc(sizeof(*c));
    if (c == NULL)
        return NULL;
    c->buf = malloc(BUFFER);
    if (c->buf == NULL) {
        free(c);
        return NULL;
    }
    s->all[s->chunks++] = c;
    return c;
}

static void give_back(struct vf_scan *s, struct vf_scan_chunk *c)
{
    if (c->holds > 0 || c == s->cur)
        return;
    c->state = FREE;
    c->next = s->free;
    s->free = c;
}

/* One more chunk into the queue. False: no room or no memory for one. */
static bool schedule(struct vf_scan *s)
{
    struct vf_scan_chunk *c = chunk_new(s);

    if (c == NULL)
        return false;
    c->next = NULL;
    c->holds = 0;
    c->at = s->next_at;
    c->begins = c->at == s->start;
    c->end = s->end;
    c->fd = s->fd;
    c->what = s->what;
    c->needles = s->needles;
    c->nneedles = s->nneedles;
    s->next_at += CHUNK;
    s->queued++;
    (void)pthread_mutex_lock(&s->mu);
    c->state = QUEUED;
    if (s->tail != NULL)
        s->tail->next = c;
    else
        s->head = c;
    s->tail = c;
    (void)pthread_cond_signal(&s->work);
    (void)pthread_mutex_unlock(&s->mu);
    return true;
}

/* The next chunk of the file, done. */
static struct vf_scan_chunk *next_chunk(struct vf_scan *s)
{
    if (s->queued == 0 && !schedule(s))
        return NULL;
    while (s->queued <= s->ahead && s->next_at < s->known && schedule(s))
        ;
    (void)pthread_mutex_lock(&s->mu);
    struct vf_scan_chunk *c = s->head;
    while (c->state != DONE) {
        struct vf_scan_chunk *mine = first_queued(s);
        if (mine != NULL)
            work(s, mine);
        else
            (void)pthread_cond_wait(&s->done, &s->mu);
    }
    s->head = c->next;
    s->tail = s->head != NULL ? s->tail : NULL;
    (void)pthread_mutex_unlock(&s->mu);
    s->queued--;
    return c;
}

/* ------------------------------------------------------------------------------------------------------------------ interface */

enum vf_err vf_scan_new(struct vf_scan **ret, struct vf_why *why)
{
    struct vf_scan *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory to read a log");
    (void)pthread_mutex_init(&s->mu, NULL);
    (void)pthread_cond_init(&s->work, NULL);
    (void)pthread_cond_init(&s->done, NULL);
    s->fd = -1;
    s->ended = true;
    *ret = s;
    return VF_OK;
}

void vf_scan_free(struct vf_scan *s)
{
    if (s == NULL)
        return;
    (void)pthread_mutex_lock(&s->mu);
    s->stop = true;
    (void)pthread_cond_broadcast(&s->work);
    (void)pthread_mutex_unlock(&s->mu);
    for (unsigned i = 0; i < s->nthreads; i++)
        (void)pthread_join(s->threads[i], NULL);
    for (size_t i = 0; i < s->chunks; i++) {
        free(s->all[i]->buf);
        free(s->all[i]);
    }
    (void)pthread_cond_destroy(&s->done);
    (void)pthread_cond_destroy(&s->work);
    (void)pthread_mutex_destroy(&s->mu);
    free(s);
}

void vf_scan_cleanup(struct vf_scan **s)
{
    vf_scan_free(*s);
    *s = NULL;
}

void vf_scan_filter(struct vf_scan *s, const char *const *needles, size_t n)
{
    vf_scan_stop(s);
    s->needles = n > 0 ? needles : NULL;
    s->nneedles = n;
}

void vf_scan_start(struct vf_scan *s, int fd, uint64_t at, uint64_t end, const char *what)
{
    struct stat st;

    vf_scan_stop(s);
    s->fd = fd;
    s->start = s->next_at = s->line_at = at;
    s->end = end;
    s->what = what;
    s->open = 0;
    s->ended = false;
    s->known = fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
    if (s->known > end)
        s->known = end;
    if (s->known > at && s->known - at >= THREADS_AT)
        start_threads(s);
    s->ahead = s->nthreads > 0 ? 2 * ((size_t)s->nthreads + 1) : 0;
}

void vf_scan_stop(struct vf_scan *s)
{
    struct vf_scan_chunk *cur = s->cur;

    (void)pthread_mutex_lock(&s->mu);
    while (s->head != NULL) {
        struct vf_scan_chunk *c = s->head;
        if (c->state == BUSY) {
            (void)pthread_cond_wait(&s->done, &s->mu);
            continue;
        }
        s->head = c->next;
        give_back(s, c);
    }
    s->tail = NULL;
    (void)pthread_mutex_unlock(&s->mu);
    s->queued = 0;
    s->cur = NULL;
    s->ended = true;
    if (cur != NULL && cur->holds > 0)
        s->held++;
    else if (cur != NULL)
        give_back(s, cur);
}

void vf_scan_hold(struct vf_scan_entry *e)
{
    e->chunk->holds++;
}

void vf_scan_release(struct vf_scan *s, struct vf_scan_entry *e)
{
    struct vf_scan_chunk *c = e->chunk;

    if (--c->holds > 0 || c == s->cur)
        return;
    s->held--;
    give_back(s, c);
}

bool vf_scan_crowded(const struct vf_scan *s)
{
    return s->held >= CHUNKS_HELD;
}

/* --------------------------------------------------------------------------------------------------------------------- items */

static void tell_bad(struct vf_scan *s, struct vf_scan_item *ret, uint32_t count, size_t at, size_t len, uint64_t end)
{
    struct vf_entry_view view;
    struct vf_why bad = {0};

    *ret = (struct vf_scan_item){.kind = VF_SCAN_BAD, .count = count, .end = end};
    if (len > VF_ENTRY_LINE_MAX)
        (void)snprintf(ret->text, sizeof(ret->text), "a line longer than any entry");
    else if (vf_entry_parse(s->cur->buf + at, len, &view, &bad) != VF_OK)
        (void)snprintf(ret->text, sizeof(ret->text), "%.190s", bad.text);
    s->line_at = end;
}

/* The next chunk becomes the current one. *ret_told: an item came of the seam between the two. */
static enum vf_err turn(struct vf_scan *s, struct vf_scan_item *ret, bool *ret_told, struct vf_why *why)
{
    struct vf_scan_chunk *was = s->cur;

    s->cur = NULL;
    if (was != NULL && was->holds > 0)
        s->held++;
    else if (was != NULL)
        give_back(s, was);
    s->cur = next_chunk(s);
    s->cur_entry = 0;
    s->cur_bad_told = false;
    if (s->cur == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: no memory to read it", s->what);
    s->cur->holds = 0;
    if (s->cur->err != VF_OK)
        return vf_fail(why, s->cur->err, "%s", s->cur->why.text);
    *ret_told = s->open > 0 && s->cur->first > 0;
    if (*ret_told) {
        s->open = 0;
        tell_bad(s, ret, 1, 0, SIZE_MAX, s->cur->at + s->cur->first - 1);
    } else if (s->open > 0) {
        s->open += s->cur->have < CHUNK ? s->cur->have : CHUNK;
    }
    return VF_OK;
}

/* What stands in the current chunk next; false: nothing more. */
static bool item_of(struct vf_scan *s, struct vf_scan_item *ret)
{
    struct vf_scan_chunk *c = s->cur;
    struct vf_scan_entry *e = c != NULL && s->cur_entry < c->n ? &c->entries[s->cur_entry] : NULL;

    if (e != NULL && e->bad > 0 && !s->cur_bad_told) {
        s->cur_bad_told = true;
        tell_bad(s, ret, e->bad, e->bad_at, e->bad_len, e->end - e->view.line_len - 1);
        return true;
    }
    if (e != NULL) {
        s->cur_bad_told = false;
        s->cur_entry++;
        s->line_at = e->end;
        ret->kind = VF_SCAN_ENTRY;
        ret->entry = e;
        ret->end = e->end;
        return true;
    }
    if (c != NULL && c->bad > 0) {
        uint32_t count = c->bad;
        c->bad = 0;
        tell_bad(s, ret, count, c->bad_at, c->bad_len, c->at + c->last - 1);
        return true;
    }
    return false;
}

enum vf_err vf_scan_next(struct vf_scan *s, struct vf_scan_item *ret, struct vf_why *why)
{
    bool told = false;

    while (!s->ended && !told) {
        if (item_of(s, ret))
            return VF_OK;
        if (s->cur != NULL && s->cur->open > 0)
            s->open = s->cur->open;
        if (s->cur != NULL && s->cur->eof) {
            s->ended = true;
            *ret = (struct vf_scan_item){.kind = VF_SCAN_END, .end = s->line_at, .bytes = s->open + s->cur->torn};
            return VF_OK;
        }
        VF_TRY(turn(s, ret, &told, why));
    }
    if (!told)
        *ret = (struct vf_scan_item){.kind = VF_SCAN_END, .end = s->line_at};
    return VF_OK;
}
