/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------------------------ create */

/* "vaultfs.log/" and 128 random bits: checkpoints of different logs never look alike. */
static void new_origin_line(char out[VF_ORIGIN_LINE_LEN + 1])
{
    uint8_t id[16];
    char hex[2 * sizeof(id) + 1];

    vf_random(id, sizeof(id));
    vf_hex(id, sizeof(id), hex);
    (void)snprintf(out, VF_ORIGIN_LINE_LEN + 1, "vaultfs.log/%s", hex);
}

/* A whole note or its text alone. */
static enum vf_err parse_follows(const char *text, struct vf_checkpoint *ret, struct vf_why *why)
{
    const char *end = strstr(text, "\n\n");
    struct vf_note note = {.text = text, .text_len = end != NULL ? (size_t)(end - text) + 1 : strlen(text)};

    VF_TRY(vf_checkpoint_parse(&note, ret, why));
    if (strlen(ret->origin) != VF_ORIGIN_LINE_LEN)
        return vf_fail(why, VF_E_FORMAT, "not a checkpoint of a log of vaultfs");
    return VF_OK;
}

static enum vf_err make_origin(const uint8_t seal_key[32], enum vf_log_kind kind, const struct vf_identity *signer,
                               const char *restored_from, struct vf_buf *out, struct vf_why *why)
{
    char line[VF_ORIGIN_LINE_LEN + 1];
    struct vf_checkpoint follows;
    struct vf_origin check;
    struct vf_note note;
    VF_BUF text = {0};

    if (restored_from != NULL)
        VF_TRY(parse_follows(restored_from, &follows, why));
    new_origin_line(line);
    vf_buf_init(&text, VF_LOG_ORIGIN_MAX / 2);
    vf_origin_put(line, kind, vf_identity_pub_get(signer)->name, vf_clock_wall_us(), seal_key,
                  restored_from != NULL ? &follows : NULL, &text);
    VF_TRY(vf_buf_check(&text, "the origin of a log", why));
    VF_TRY(vf_note_sign((const char *)text.data, text.len, signer, out, why));
    /* What could not be read again is not written. */
    VF_TRY(vf_note_parse(out->data, out->len, &note, why));
    return vf_origin_parse(&note, &check, why);
}

static enum vf_err create_seal(const char *seal_path, const struct vf_hash *id, struct vf_log_secret *secret,
                               struct vf_why *why)
{
    size_t len = vf_seal_state_encode(&secret->now, id, secret->payload);

    return vf_slots_create(seal_path, VF_LOG_SLOT_TYPE, secret->payload, len, why);
}

enum vf_err vf_log_create(const char *dir, const char *seal_path, enum vf_log_kind kind, const struct vf_identity *signer,
                          const char *restored_from, struct vf_hash *ret_id, struct vf_why *why)
{
    VF_SECRET struct vf_log_secret *secret = vf_secret_new(sizeof(*secret));
    VF_FREE char *origin_path = vf_path_join(dir, VF_LOG_ORIGIN);
    struct vf_hash id;
    VF_BUF origin = {0};

    if (secret == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no locked memory left for a seal key", dir);
    if (origin_path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    vf_seal_key_new(&secret->now.key);
    vf_tree_init(&secret->now.tree);
    vf_buf_init(&origin, VF_LOG_ORIGIN_MAX);
    VF_TRY(make_origin(secret->now.key.pub, kind, signer, restored_from, &origin, why));
    vf_sha256(origin.data, origin.len, &id);
    VF_TRY(vf_dir_make(dir, why));
    VF_TRY(create_seal(seal_path, &id, secret, why));
    VF_TRY(vf_file_write(origin_path, origin.data, origin.len, 0600, false, why));
    if (ret_id != NULL)
        *ret_id = id;
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------- questions */

enum vf_err vf_log_seal(struct vf_log *log, struct vf_why *why)
{
    enum vf_err err = VF_OK;

    (void)pthread_mutex_lock(&log->mu);
    uint64_t want = log->next;
    uint64_t failures = log->failures;
    if (want > log->sealed) {
        log->want = want;
        (void)pthread_cond_signal(&log->work);
    }
    while (log->sealed < want && log->failures == failures)
        (void)pthread_cond_wait(&log->done, &log->mu);
    if (log->sealed < want)
        err = vf_fail(why, VF_E_DISK_FULL, "%s", log->fail_why.text);
    (void)pthread_mutex_unlock(&log->mu);
    return err;
}

void vf_log_state_get(struct vf_log *log, struct vf_log_state *ret)
{
    (void)pthread_mutex_lock(&log->mu);
    *ret = (struct vf_log_state){
        .id = log->id,
        .size = log->durable,
        .sealed = log->sealed,
        .last_time_us = log->durable_us,
        .sealed_us = log->sealed_us,
        .writable = !log->failed,
    };
    (void)pthread_mutex_unlock(&log->mu);
}

enum vf_err vf_log_checkpoint_get(struct vf_log *log, struct vf_buf *out, struct vf_why *why)
{
    (void)pthread_mutex_lock(&log->mu);
    vf_buf_put(out, log->checkpoint.data, log->checkpoint.len);
    (void)pthread_mutex_unlock(&log->mu);
    return vf_buf_check(out, "the last checkpoint", why);
}

const char *vf_log_session(const struct vf_log *log)
{
    return log->session;
}
