/* SPDX-License-Identifier: MIT */
/* keytool's side of STORE/control. */
#include "server.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOCUMENT_MAX (64u * 1024 * 1024)

struct body {
    int fd;
    uint64_t at;
};

static size_t send_body(char *to, size_t size, size_t n, void *user)
{
    struct body *b = user;
    ssize_t got;
    do
        got = pread(b->fd, to, size * n, (off_t)b->at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return CURL_READFUNC_ABORT;
    b->at += (uint64_t)got;
    return (size_t)got;
}

static size_t take_answer(char *data, size_t size, size_t n, void *user)
{
    struct vf_buf *out = user;
    vf_buf_put(out, data, size * n);
    return vf_buf_ok(out) ? size * n : 0;
}

/* Its own URL: what it asks for and, of a file, the name to call it by. */
static enum vf_err put_url(CURL *curl, const char *what, const struct vf_receive_file *file, struct vf_buf *url,
                           struct vf_why *why)
{
    vf_buf_init(url, 65536);
    vf_buf_fmt(url, "http://desk/%s", what);
    if (file) {
        char *name = curl_easy_escape(curl, file->name, 0);
        if (!name)
            return vf_fail(why, VF_E_NOMEM, "out of memory");
        vf_buf_fmt(url, "%sname=%s", strchr(what, '?') ? "&" : "?", name);
        curl_free(name);
    }
    return vf_buf_cstr(url) ? VF_OK : vf_fail(why, VF_E_LIMIT, "the name of the file is too long");
}

static enum vf_err set_options(CURL *curl, const char *socket, const char *url, const struct vf_receive_file *file,
                               struct body *body, struct vf_buf *out, struct vf_why *why)
{
    struct stat st = {0};
    bool good = curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_WRITEDATA, out) == CURLE_OK;
    if (good && file) {
        if (fstat(file->fd, &st))
            return vf_fail_sys(why, "%s", file->name);
        good = curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_READFUNCTION, send_body) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_READDATA, body) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)st.st_size) == CURLE_OK;
    }
    return good ? VF_OK : vf_fail(why, VF_E_NOMEM, "libcurl refused");
}

/* "NUMBER text": the server's error becomes ours. */
static enum vf_err read_error(struct vf_buf *out, struct vf_why *why)
{
    const char *text = vf_buf_cstr(out);
    const char *space = text ? strchr(text, ' ') : NULL;
    uint64_t err;
    char line[sizeof(why->text)];
    if (!space || !vf_uint_parse(text, (size_t)(space - text), VF_ERR_COUNT_ - 1, &err) || err == 0)
        return vf_fail(why, VF_E_FORMAT, "the desk's server gave an answer that could not be read");
    (void)snprintf(line, sizeof(line), "%s", space + 1);
    line[strcspn(line, "\n")] = '\0';
    vf_text_one_line(line);
    return vf_fail(why, (enum vf_err)err, "%s", line);
}

static enum vf_err ask(CURL *curl, const char *store, const char *what, const struct vf_receive_file *file,
                       struct vf_buf *out, struct vf_why *why)
{
    char socket[64];
    VF_BUF url;
    struct body body = {.fd = file ? file->fd : -1};
    long status = 0;
    VF_FD folder = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return vf_fail_sys(why, "%s", store);
    (void)snprintf(socket, sizeof(socket), "/proc/self/fd/%d/control", folder); /* a socket's path has 107 characters */
    VF_TRY(put_url(curl, what, file, &url, why));
    VF_TRY(set_options(curl, socket, vf_buf_cstr(&url), file, &body, out, why));
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_COULDNT_CONNECT)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: nobody serves this desk", store);
    if (code != CURLE_OK)
        return vf_fail(why, VF_E_SYSTEM, "%s: the desk's server did not answer: %s", store, curl_easy_strerror(code));
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? vf_buf_check(out, "the server's answer", why) : read_error(out, why);
}

static void start_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_NOTHING);
}

enum vf_err vf_desk_control(const char *store, const char *what, const struct vf_receive_file *file, struct vf_buf *out,
                            struct vf_why *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, start_curl);
    CURL *curl = curl_easy_init();
    if (!curl)
        return vf_fail(why, VF_E_NOMEM, "libcurl refused");
    vf_buf_init(out, DOCUMENT_MAX);
    enum vf_err err = ask(curl, store, what, file, out, why);
    curl_easy_cleanup(curl);
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------- outcome */

#define OUTCOME_LEN (1 + (VF_NAME_MAX + 1) + (VF_JOB_MAX + 1) + VF_GRANT_ID_LEN + 3 * 8)

void vf_desk_outcome_put(const struct vf_desk_outcome *o, struct vf_buf *out)
{
    vf_buf_u8(out, (uint8_t)o->status);
    vf_buf_put(out, o->device, sizeof(o->device));
    vf_buf_put(out, o->job, sizeof(o->job));
    vf_buf_put(out, o->grant.c, sizeof(o->grant.c));
    vf_buf_u64(out, o->entries);
    vf_buf_u64(out, o->shares);
    vf_buf_u64(out, o->fresh);
}

enum vf_err vf_desk_outcome_take(struct vf_buf *answer, struct vf_desk_outcome *ret, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(answer->data, answer->len);
    struct vf_desk_outcome o = {.status = vf_reader_u8(&r)};
    vf_reader_copy(&r, o.device, sizeof(o.device));
    vf_reader_copy(&r, o.job, sizeof(o.job));
    vf_reader_copy(&r, o.grant.c, sizeof(o.grant.c));
    o.entries = vf_reader_u64(&r);
    o.shares = vf_reader_u64(&r);
    o.fresh = vf_reader_u64(&r);
    o.device[VF_NAME_MAX] = o.job[VF_JOB_MAX] = '\0';
    if (r.bad || o.status >= VF_ANSWER_COUNT)
        return vf_fail(why, VF_E_FORMAT, "the desk's server gave an answer that could not be read");
    memmove(answer->data, answer->data + OUTCOME_LEN, answer->len - OUTCOME_LEN);
    answer->len -= OUTCOME_LEN;
    *ret = o;
    return VF_OK;
}
