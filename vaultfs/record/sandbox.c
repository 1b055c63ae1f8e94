/* SPDX-License-Identifier: MIT */
/*
 * The owner's side of a sandbox. What comes out of one is believed no more than what went in: it is read once nobody can write it any
 * more, bounded, and has to be a picture with nothing else in it, by our own reading of its segments.
 *
 * Lock order: there is one lock, for the list of free lanes; nobody holds it while he waits for a picture.
 */
#include "sandbox.h"

#include "image.h"
#include "jpeg.h"
#include "png_walk.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LANES_MAX   64u
#define CPU_SECONDS 60u
#define KEEP_MAX    (1024u * 1024) /* of the memory of a picture, for the next */

struct lane {
    pid_t pid;
    int sock;
    struct vf_tray *tray;
    struct lane *next; /* free ones */
};

struct vf_image_sandbox {
    pthread_mutex_t lock;
    pthread_cond_t one_free;
    struct lane *free;
    unsigned n;
    struct lane lanes[LANES_MAX];
};

/* ------------------------------------------------------------------------------------------------------------------- begin, end */

static enum vf_err no_filter(struct vf_why *why)
{
    return vf_fail(why, VF_E_UNSUPPORTED,
                   "pictures cannot be looked at apart from the keys: the kernel gives no seccomp filter here");
}

static enum vf_err hear(const struct lane *l, int *ret, struct vf_why *why)
{
    ssize_t n = 0;

    do
        n = recv(l->sock, ret, sizeof(*ret), MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(*ret))
        return VF_OK;
    return vf_fail(why, VF_E_SYSTEM, "the process that looks at pictures has ended");
}

static void lane_stop(struct lane *l)
{
    vf_fd_close(&l->sock);
    if (l->pid > 0) {
        (void)kill(l->pid, SIGKILL); /* it holds nothing that could be lost */
        while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (l->tray != NULL)
        (void)munmap(l->tray, sizeof(*l->tray));
    *l = (struct lane){.sock = -1};
}

static enum vf_err lane_start(struct vf_image_sandbox *s, struct lane *l, vf_tray_work *work, unsigned cpu_seconds,
                              struct vf_why *why)
{
    int pair[2];
    int ready = 0;

    void *tray = mmap(NULL, sizeof(*l->tray), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (tray == MAP_FAILED)
        return vf_fail_sys(why, "no memory for pictures");
    l->tray = tray;
    if (madvise(tray, sizeof(*l->tray), MADV_DONTDUMP) != 0)
        return vf_fail_sys(why, "no memory for pictures");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return vf_fail_sys(why, "no process for pictures could be made");
    l->sock = pair[0];
    l->pid = fork();
    if (l->pid == 0) {
        for (struct lane *other = s->lanes; other < l; other++)
            (void)munmap(other->tray, sizeof(*other->tray));
        vf_sandbox_main(pair[1], l->tray, work, cpu_seconds);
    }
    int eno = errno;
    (void)close(pair[1]);
    errno = eno;
    if (l->pid < 0)
        return vf_fail_sys(why, "no process for pictures could be made");
    VF_TRY(hear(l, &ready, why));
    if (ready != VF_SANDBOX_READY)
        return no_filter(why);
    return VF_OK;
}

void vf_image_sandbox_end(struct vf_image_sandbox **sp)
{
    struct vf_image_sandbox *s = *sp;

    *sp = NULL;
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n; i++)
        lane_stop(&s->lanes[i]);
    (void)pthread_cond_destroy(&s->one_free);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

enum vf_err vf_image_sandbox_start_with(unsigned lanes, vf_tray_work *work, unsigned cpu_seconds,
                                        struct vf_image_sandbox **ret, struct vf_why *why)
{
    VF_CLEANUP(vf_image_sandbox_end) struct vf_image_sandbox *s = calloc(1, sizeof(*s));

    if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0 || pthread_cond_init(&s->one_free, NULL) != 0)
        return vf_fail(why, VF_E_NOMEM, "no memory for pictures");
    if (lanes == 0)
        lanes = vf_processors();
    for (; s->n < lanes && s->n < LANES_MAX; s->n++) {
        struct lane *l = &s->lanes[s->n];
        *l = (struct lane){.sock = -1};
        enum vf_err err = lane_start(s, l, work, cpu_seconds, why);
        if (err != VF_OK) {
            lane_stop(l);
            return err;
        }
        l->next = s->free;
        s->free = l;
    }
    *ret = s;
    s = NULL;
    return VF_OK;
}

enum vf_err vf_image_sandbox_start(unsigned lanes, struct vf_image_sandbox **ret, struct vf_why *why)
{
    return vf_image_sandbox_start_with(lanes, vf_tray_clean, CPU_SECONDS, ret, why);
}

/* ---------------------------------------------------------------------------------------------------------------- one picture */

static struct lane *lane_take(struct vf_image_sandbox *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (s->free == NULL)
        (void)pthread_cond_wait(&s->one_free, &s->lock);
    struct lane *l = s->free;
    s->free = l->next;
    (void)pthread_mutex_unlock(&s->lock);
    return l;
}

static void lane_give(struct vf_image_sandbox *s, struct lane *l)
{
    (void)pthread_mutex_lock(&s->lock);
    l->next = s->free;
    s->free = l;
    (void)pthread_cond_signal(&s->one_free);
    (void)pthread_mutex_unlock(&s->lock);
}

/* How the process with the picture ended. */
static enum vf_err ended(int status, struct vf_why *why)
{
    if (status == VF_SANDBOX_NO_FORK)
        return vf_fail(why, VF_E_NOMEM, "no process for pictures could be made");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return VF_OK;
    if (WIFSIGNALED(status) && WTERMSIG(status) == VF_SANDBOX_OPEN)
        return no_filter(why);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return vf_fail(why, VF_E_NOMEM, "the system ended the process that looked at a picture: out of memory?");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        return vf_fail(why, VF_E_INPUT, "takes over a minute to decode");
    return vf_fail(why, VF_E_INPUT,
                   "made the decoder crash, which was shut in: it may be made to break in; keep the file apart, and ask "
                   "where it is from");
}

/* Nothing in it but a picture of the size that a vault stores. */
static bool is_clean(enum vf_field field, const uint8_t *data, size_t len, const struct vf_image_report *r)
{
    struct vf_jpeg_layout l;
    struct vf_image_report png = {0};
    size_t end = 0;

    if (field == VF_FIELD_PHOTO)
        return vf_jpeg_bare(data, len) && vf_jpeg_layout(data, len, &l, NULL) == VF_OK && l.width == r->width &&
               l.height == r->height && vf_photo_storable(&l);
    return vf_png_bare(data, len) && vf_png_walk(data, len, &end, &png, NULL) == VF_OK && png.width == r->width &&
           png.height == r->height && vf_signature_size_fits(png.width, png.height);
}

static enum vf_err take_answer(enum vf_field field, struct vf_tray *t, struct vf_buf *out, struct vf_image_report *ret,
                               struct vf_why *why)
{
    const uint32_t err = t->answer.err, len = t->answer.len, f = t->answer.found;

    if (err == VF_E_NOMEM)
        return vf_fail(why, VF_E_NOMEM, "decoding: out of memory");
    if (err != VF_OK) {
        t->answer.text[sizeof(t->answer.text) - 1] = '\0';
        vf_text_one_line(t->answer.text);
        if (t->answer.text[0] == '\0')
            return vf_fail(why, VF_E_INPUT, "the decoder gave no answer");
        return vf_fail(why, err == VF_E_LIMIT ? VF_E_LIMIT : VF_E_INPUT, "%s", t->answer.text);
    }
    struct vf_image_report r = {
        .width = t->answer.width,
        .height = t->answer.height,
        .orientation = (uint8_t)(t->answer.orientation <= 8 ? t->answer.orientation : 0),
        .had_exif = (f & 1u) != 0,
        .had_gps = (f >> 1 & 1u) != 0,
        .had_thumbnail = (f >> 2 & 1u) != 0,
        .had_xmp = (f >> 3 & 1u) != 0,
        .had_iptc = (f >> 4 & 1u) != 0,
        .had_comment = (f >> 5 & 1u) != 0,
        .had_mpf = (f >> 6 & 1u) != 0,
        .had_trailing = (f >> 7 & 1u) != 0,
        .had_icc = (f >> 8 & 1u) != 0,
        .reencoded = (f >> 9 & 1u) != 0,
        .scaled = (f >> 10 & 1u) != 0,
    };
    if (len > sizeof(t->out) || !is_clean(field, t->out, len, &r))
        return vf_fail(why, VF_E_INPUT, "cannot be separated from what hangs on it");
    vf_buf_put(out, t->out, len);
    VF_TRY(vf_buf_check(out, "picture", why));
    *ret = r;
    return VF_OK;
}

/* Whole pages are given back, which costs next to nothing where nobody wrote; the rest is wiped. */
static void forget(uint8_t *from, const uint8_t *to, size_t page)
{
    size_t before = -(uintptr_t)from & (page - 1);
    size_t all = (size_t)(to - from);
    size_t whole = all > before ? (all - before) & ~(page - 1) : 0;

    if (whole == 0 || madvise(from + before, whole, MADV_REMOVE) != 0)
        whole = before = 0;
    explicit_bzero(from, before);
    explicit_bzero(from + before + whole, all - before - whole);
}

/*
 * The next picture must find nothing of this one, wherever a decoder that was taken over has left it: up to the end of the last page.
 * Nor may what it filled stay taken. What an honest one had is wiped before the kernel gets it back.
 */
static void clear(struct vf_tray *t, size_t len)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uint32_t said = t->answer.len; /* read once, though nobody should be left to change it */
    const size_t out_len = said < sizeof(t->out) ? said : sizeof(t->out);
    const size_t keep = len < KEEP_MAX ? len : KEEP_MAX;

    explicit_bzero(t->out, out_len);
    forget(t->out + out_len, t->in, page);
    explicit_bzero(t->in, len);
    forget(t->in + keep, (uint8_t *)t + (sizeof(*t) + page - 1) / page * page, page);
    memset((uint8_t *)t, 0, offsetof(struct vf_tray, out));
}

static enum vf_err ask(const struct lane *l, struct vf_why *why)
{
    int status = 0;

    if (send(l->sock, "?", 1, MSG_NOSIGNAL) != 1)
        return vf_fail(why, VF_E_SYSTEM, "the process that looks at pictures has ended");
    VF_TRY(hear(l, &status, why));
    return ended(status, why);
}

enum vf_err vf_image_clean(struct vf_image_sandbox *s, enum vf_field field, const uint8_t *data, size_t len,
                           const struct vf_image_options *opt, struct vf_buf *out, struct vf_image_report *ret,
                           struct vf_why *why)
{
    if (s == NULL)
        return field == VF_FIELD_PHOTO ? vf_photo_clean(data, len, opt, out, ret, why)
                                       : vf_signature_clean(data, len, opt, out, ret, why);
    vf_buf_reset(out);
    if (len > VF_IMAGE_SOURCE_MAX)
        return vf_fail(why, VF_E_INPUT, "a file of over %u MiB", VF_IMAGE_SOURCE_MAX >> 20);
    struct lane *l = lane_take(s);
    struct vf_tray *t = l->tray;
    t->field = (uint32_t)field;
    t->fit = opt->fit;
    t->decode = opt->decode;
    t->len = len;
    t->answer.err = VF_E_INPUT; /* until it says otherwise */
    if (len > 0)
        memcpy(t->in, data, len);
    enum vf_err err = ask(l, why);
    if (err == VF_OK)
        err = take_answer(field, t, out, ret, why);
    clear(t, len);
    lane_give(s, l);
    return err;
}
