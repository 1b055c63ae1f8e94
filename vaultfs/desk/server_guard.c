/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/*
 * The pace: 10 s of grace, and 64 KiB a second on top; so the largest request takes at most nine minutes, and who sends a byte now and then is
 * cut off after ten seconds. Who was faster than that may rest, but not long: what has arrived of it stays in memory meanwhile.
 */
#define GRACE_US    (10 * VF_SECOND_US)
#define REST_US     (20 * VF_SECOND_US)
#define PACE        65536 /* bytes a second */
#define PER_ADDRESS 32
#define FAIR_US     (2 * VF_SECOND_US) /* before that nobody knows how fast a body comes */

struct vf_guard {
    pthread_mutex_t lock;
    struct vf_guard_limits limits;
    size_t n; /* places */
    struct vf_client *clients;
    unsigned used, cut_now; /* of `used`, cut and not yet gone */
    size_t held;
    bool draining;
    uint64_t cut, refused;
};

struct vf_guard *vf_guard_new(const struct vf_guard_limits *limits)
{
    struct vf_guard *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->limits = *limits;
    g->n = (size_t)limits->connections + VF_GUARD_SPARE;
    g->clients = calloc(g->n, sizeof(*g->clients));
    if (!g->clients) {
        free(g);
        return NULL;
    }
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

void vf_guard_free(struct vf_guard *g)
{
    if (!g)
        return;
    pthread_mutex_destroy(&g->lock);
    free(g->clients);
    free(g);
}

/* ------------------------------------------------------------------------------------------------------------- addresses */

/* Who it is; of IPv6 the first 64 bits, which one customer of a provider has for himself. */
static void read_address(const struct sockaddr *from, struct vf_client *c)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        memcpy(c->address, mapped, sizeof(mapped));
        memcpy(c->address + 12, &in->sin_addr, 4);
        (void)inet_ntop(AF_INET, &in->sin_addr, c->peer, sizeof(c->peer));
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        bool v4 = memcmp(&in6->sin6_addr, mapped, sizeof(mapped)) == 0;
        bool loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
        memcpy(c->address, &in6->sin6_addr, v4 || loopback ? 16 : 8);
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, c->peer, sizeof(c->peer));
        c->shared = loopback;
    } else {
        (void)snprintf(c->peer, sizeof(c->peer), "unix");
        c->shared = true;
    }
    if (memcmp(c->address, mapped, sizeof(mapped)) == 0 && c->address[12] == 127)
        c->shared = true;
}

bool vf_client_same(const struct vf_client *a, const struct vf_client *b)
{
    return memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static unsigned count_of(const struct vf_guard *g, const struct vf_client *like)
{
    unsigned n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += g->clients[i].used && vf_client_same(&g->clients[i], like);
    return n;
}

static size_t held_of(const struct vf_guard *g, const struct vf_client *like)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->clients[i].used && vf_client_same(&g->clients[i], like))
            n += g->clients[i].held;
    return n;
}

/* The library sees the end of the connection, and closes it in its own thread: until then the descriptor is nobody else's. */
static void cut_off(struct vf_guard *g, struct vf_client *c)
{
    if (c->cut)
        return;
    c->cut = true;
    g->held -= c->held; /* on its way out */
    c->held = 0;
    g->cut_now++;
    g->cut += !(c->served && c->phase == VF_PHASE_HEAD);
    (void)shutdown(c->fd, SHUT_RDWR);
}

/* All places taken: who has been longest without a whole request, and did least for it, goes. */
static bool make_room(struct vf_guard *g)
{
    struct vf_client *oldest = NULL;
    for (size_t i = 0; i < g->n; i++) {
        struct vf_client *c = &g->clients[i];
        if (c->used && !c->cut && (c->phase == VF_PHASE_HEAD || c->phase == VF_PHASE_BODY) &&
            (!oldest || c->due_us < oldest->due_us))
            oldest = c;
    }
    if (!oldest)
        return false;
    cut_off(g, oldest);
    return true;
}

bool vf_guard_admit(struct vf_guard *g, const struct sockaddr *from, socklen_t len)
{
    struct vf_client like = {0};
    if (from && len >= sizeof(sa_family_t))
        read_address(from, &like);
    pthread_mutex_lock(&g->lock);
    unsigned limit = g->limits.per_address ? g->limits.per_address : PER_ADDRESS;
    bool good = !g->draining && ((like.shared && !g->limits.per_address) || count_of(g, &like) < limit);
    if (good && g->used - g->cut_now >= g->limits.connections)
        good = make_room(g);
    good = good && g->used < g->n;
    g->refused += !good;
    pthread_mutex_unlock(&g->lock);
    return good;
}

/* --------------------------------------------------------------------------------------------------------- one connection */

struct vf_client *vf_guard_enter(struct vf_guard *g, int fd, const struct sockaddr *from)
{
    struct vf_client fresh = {.used = true, .fd = fd, .phase = VF_PHASE_HEAD, .due_us = vf_clock_boot_us() + GRACE_US};
    struct vf_client *c = NULL;
    struct ucred peer;
    socklen_t len = sizeof(peer);
    read_address(from, &fresh);
    if (from->sa_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        fresh.self = peer.uid == geteuid() || peer.uid == 0;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->n && !c; i++)
        if (!g->clients[i].used)
            c = &g->clients[i];
    if (c) {
        *c = fresh;
        g->used++;
    }
    pthread_mutex_unlock(&g->lock);
    return c;
}

void vf_guard_leave(struct vf_guard *g, struct vf_client *c)
{
    pthread_mutex_lock(&g->lock);
    g->held -= c->held;
    g->used--;
    g->cut_now -= c->cut;
    *c = (struct vf_client){.fd = -1};
    pthread_mutex_unlock(&g->lock);
}

/* ----------------------------------------------------------------------------------------------------------- large bodies */

static bool arriving(const struct vf_client *c)
{
    return c->used && !c->cut && c->large && c->phase == VF_PHASE_BODY;
}

/* Bytes a second. */
static uint64_t speed(const struct vf_client *c, int64_t now)
{
    int64_t took = now - c->since_us;
    return (uint64_t)c->got * VF_SECOND_US / (uint64_t)(took > FAIR_US ? took : FAIR_US);
}

/* Of those that arrive long enough to be judged the slowest goes, unless that is `for_whom` itself. */
static bool cut_slowest(struct vf_guard *g, const struct vf_client *for_whom)
{
    struct vf_client *slowest = NULL;
    const int64_t now = vf_clock_boot_us();
    for (size_t i = 0; i < g->n; i++) {
        struct vf_client *c = &g->clients[i];
        if (arriving(c) && now - c->since_us >= FAIR_US && (!slowest || speed(c, now) < speed(slowest, now)))
            slowest = c;
    }
    if (!slowest || slowest == for_whom)
        return false;
    cut_off(g, slowest);
    return true;
}

static size_t arriving_of(const struct vf_guard *g, const struct vf_client *like)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += arriving(&g->clients[i]) && (!like || vf_client_same(&g->clients[i], like));
    return n;
}

/* One address has at most half of the memory, and a few at a time; all of them half of the connections. */
static bool may_begin(struct vf_guard *g, const struct vf_client *c, size_t len)
{
    if (len > g->limits.budget || (!c->shared && (len > g->limits.budget / 2 || arriving_of(g, c) >= VF_GUARD_LARGE)))
        return false;
    return arriving_of(g, NULL) < (g->limits.connections + 1) / 2 || cut_slowest(g, NULL);
}

static bool may_hold(struct vf_guard *g, const struct vf_client *c, size_t more)
{
    if (!c->shared && held_of(g, c) + more > g->limits.budget / 2)
        return false;
    while (g->held + more > g->limits.budget)
        if (!cut_slowest(g, c))
            return false;
    return true;
}

bool vf_guard_body(struct vf_guard *g, struct vf_client *c, size_t len)
{
    pthread_mutex_lock(&g->lock);
    const int64_t now = vf_clock_boot_us();
    bool large = len > VF_GUARD_SMALL, good = !c->cut && (!large || may_begin(g, c, len));
    if (good) {
        c->large = large;
        c->got = 0;
        c->since_us = now;
        c->phase = VF_PHASE_BODY;
        c->due_us = now + GRACE_US;
    }
    pthread_mutex_unlock(&g->lock);
    return good;
}

static int64_t pace_us(size_t len)
{
    return (int64_t)((uint64_t)len * VF_SECOND_US / PACE);
}

bool vf_guard_got(struct vf_guard *g, struct vf_client *c, size_t len)
{
    pthread_mutex_lock(&g->lock);
    const int64_t rest = vf_clock_boot_us() + REST_US;
    bool good = !c->cut && (!c->large || may_hold(g, c, len));
    if (good && c->large) {
        c->got += len;
        c->held += len;
        g->held += len;
    }
    c->due_us += pace_us(len);
    if (c->due_us > rest)
        c->due_us = rest;
    pthread_mutex_unlock(&g->lock);
    return good;
}

/* lock is held. */
static void set_phase_locked(struct vf_guard *g, struct vf_client *c, enum vf_phase phase, size_t held, int64_t due_us)
{
    if (!c->cut) {
        g->held += held - c->held;
        c->held = held;
    }
    c->phase = phase;
    c->due_us = due_us;
}

static void set_phase(struct vf_guard *g, struct vf_client *c, enum vf_phase phase, size_t held, int64_t due_us)
{
    pthread_mutex_lock(&g->lock);
    set_phase_locked(g, c, phase, held, due_us);
    pthread_mutex_unlock(&g->lock);
}

void vf_guard_work(struct vf_guard *g, struct vf_client *c)
{
    pthread_mutex_lock(&g->lock);
    set_phase_locked(g, c, VF_PHASE_WORK, 2 * c->held, 0); /* what is in the box, too */
    pthread_mutex_unlock(&g->lock);
}

void vf_guard_send(struct vf_guard *g, struct vf_client *c, size_t len)
{
    set_phase(g, c, VF_PHASE_SEND, len > VF_GUARD_SMALL ? len : 0, vf_clock_boot_us() + GRACE_US + pace_us(len));
}

void vf_guard_done(struct vf_guard *g, struct vf_client *c)
{
    set_phase(g, c, VF_PHASE_HEAD, 0, vf_clock_boot_us() + GRACE_US);
    pthread_mutex_lock(&g->lock);
    c->served = true;
    c->large = false;
    pthread_mutex_unlock(&g->lock);
}

/* ----------------------------------------------------------------------------------------------------------- all of them */

void vf_guard_tick(struct vf_guard *g)
{
    int64_t now = vf_clock_boot_us();
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->n; i++)
        if (g->clients[i].used && g->clients[i].phase != VF_PHASE_WORK && now > g->clients[i].due_us)
            cut_off(g, &g->clients[i]);
    pthread_mutex_unlock(&g->lock);
}

size_t vf_guard_drain(struct vf_guard *g)
{
    size_t inside = 0;
    pthread_mutex_lock(&g->lock);
    g->draining = true;
    for (size_t i = 0; i < g->n; i++) {
        struct vf_client *c = &g->clients[i];
        if (c->used && c->phase == VF_PHASE_HEAD)
            cut_off(g, c);
        inside += c->used && !c->cut;
    }
    pthread_mutex_unlock(&g->lock);
    return inside;
}

void vf_guard_figures_get(struct vf_guard *g, struct vf_guard_figures *ret)
{
    pthread_mutex_lock(&g->lock);
    *ret = (struct vf_guard_figures){.connections = g->used, .cut = g->cut, .refused = g->refused, .held = g->held};
    for (size_t i = 0; i < g->n; i++)
        ret->inside += g->clients[i].used && g->clients[i].phase != VF_PHASE_HEAD;
    pthread_mutex_unlock(&g->lock);
}
