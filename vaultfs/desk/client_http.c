/* SPDX-License-Identifier: MIT */
/*
 * One HTTP exchange at a time, by libcurl: proxy and certificates as the system has them, no redirects, no signals, an answer of bounded size. What
 * is carried is signed and sealed: TLS in front is good practice, not what security rests on.
 */
#include "client_internal.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SILENCE_S  30  /* at less than this: */
#define SLOWEST    128 /* bytes a second */
#define EXCHANGE_S 300 /* at most, whatever moves */
#define POLL_MS    500
#define PACE       4096 /* bytes; as long as fewer have moved, nothing has */

struct client_http {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
};

enum vf_err vf_client_http_new(struct client_http **ret, struct vf_why *why)
{
    struct client_http *h = calloc(1, sizeof(*h));
    if (!h)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        h->multi = curl_multi_init();
        h->easy = curl_easy_init();
        h->headers = curl_slist_append(NULL, "Content-Type: application/octet-stream");
        /* Not to be asked whether the body may come: that costs a round trip, and some proxies a second. */
        struct curl_slist *more = h->headers ? curl_slist_append(h->headers, "Expect:") : NULL;
        if (h->multi && h->easy && more) {
            *ret = h;
            return VF_OK;
        }
    }
    vf_client_http_free(h);
    return vf_fail(why, VF_E_NOMEM, "the library for HTTP (libcurl) did not start");
}

void vf_client_http_free(struct client_http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->easy);
    curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    free(h);
}

void vf_client_http_wake(struct client_http *h)
{
    (void)curl_multi_wakeup(h->multi);
}

static size_t take_some(char *data, size_t size, size_t n, void *user)
{
    struct vf_buf *answer = user;
    vf_buf_put(answer, data, size * n);
    return vf_buf_ok(answer) ? size * n : 0;
}

/* "http://host/…", "https://…" or "unix:/path", as the policy has it. */
static bool set_url(CURL *e, const char *url)
{
    char full[512];
    size_t len = strlen(url);
    bool is_unix = strncmp(url, "unix:/", 6) == 0;
    if (!is_unix && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return false;
    while (len > 0 && url[len - 1] == '/')
        len--;
    int n = is_unix ? snprintf(full, sizeof(full), "http://localhost/v1/release")
                    : snprintf(full, sizeof(full), "%.*s/v1/release", (int)len, url);
    return n > 0 && (size_t)n < sizeof(full) && curl_easy_setopt(e, CURLOPT_URL, full) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, is_unix ? url + 5 : NULL) == CURLE_OK &&
           (!is_unix || curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK);
}

static bool set_options(const struct client_http *h, const struct vf_buf *request, struct vf_buf *answer)
{
    CURL *e = h->easy;
    return curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK && /* a name that is being looked up is left */
           curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(VF_DESK_CONNECT_US / 1000)) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT, (long)EXCHANGE_S) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_USERAGENT, "vaultfs/" VAULTFS_VERSION) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, h->headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDS, (const char *)request->data) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->len) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_some) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, answer) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)VF_ANSWER_MAX) == CURLE_OK;
}

struct pace { /* as it was when something had moved */
    curl_off_t bytes;
    int64_t at_us;
};

static int64_t monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * VF_SECOND_US + t.tv_nsec / 1000;
}

/* For how long has hardly anything moved? */
static int64_t stands_still(const struct client_http *h, struct pace *p)
{
    curl_off_t up = 0, down = 0;
    int64_t now = monotonic_us();
    (void)curl_easy_getinfo(h->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    (void)curl_easy_getinfo(h->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    if (up + down - p->bytes >= PACE)
        *p = (struct pace){.bytes = up + down, .at_us = now};
    return now - p->at_us;
}

/* Until it is over one way or the other, or we are not to go on: then CURLE_ABORTED_BY_CALLBACK. */
static CURLcode transfer(struct client_http *h, bool (*go_on)(void *user, int64_t still_us), void *user)
{
    struct pace pace = {.at_us = monotonic_us()};
    int running = 1, left;
    while (running) {
        if (!go_on(user, stands_still(h, &pace)))
            return CURLE_ABORTED_BY_CALLBACK;
        if (curl_multi_perform(h->multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (running && curl_multi_poll(h->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            return CURLE_FAILED_INIT;
    }
    for (CURLMsg *m = curl_multi_info_read(h->multi, &left); m; m = curl_multi_info_read(h->multi, &left))
        if (m->msg == CURLMSG_DONE)
            return m->data.result;
    return CURLE_FAILED_INIT;
}

enum vf_err vf_client_http_post(struct client_http *h, const char *url, const struct vf_buf *request, struct vf_buf *answer,
                                bool (*go_on)(void *user, int64_t still_us), void *user, struct vf_why *why)
{
    long status = 0;
    curl_easy_reset(h->easy); /* keeps the connection */
    if (!set_url(h->easy, url))
        return vf_fail(why, VF_E_NO_SHARE, "the policy says that the key desk is at %s, which is no address for it", url);
    if (!set_options(h, request, answer) || curl_multi_add_handle(h->multi, h->easy) != CURLM_OK)
        return vf_fail(why, VF_E_NOMEM, "out of memory for a request to the key desk");
    CURLcode code = transfer(h, go_on, user);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_multi_remove_handle(h->multi, h->easy);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return vf_fail(why, VF_E_BUSY, "the key desk at %s was left in the middle of an exchange", url);
    if (!vf_buf_ok(answer) || code == CURLE_FILESIZE_EXCEEDED)
        return vf_fail(why, VF_E_NO_SHARE, "what answers at %s is no key desk: more than an answer can be", url);
    if (code != CURLE_OK)
        return vf_fail(why, VF_E_NO_SHARE, "the key desk at %s cannot be reached: %s", url, curl_easy_strerror(code));
    if (status != 200)
        return vf_fail(why, VF_E_NO_SHARE, "the key desk at %s took no request (HTTP %ld)", url, status);
    return VF_OK;
}
