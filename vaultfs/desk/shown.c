/* SPDX-License-Identifier: MIT */
/*
 * The log that a request shows: no log, no key. It (1) is of a device that no alarm is about, (2) does not hold our word for more than we have, (3) is
 * not shorter than it was, (4) begins where the copy ends, and goes on, (5) fits on the disk, (6) extends the copy, durably.
 */
#include "release.h"

#include <stdlib.h>
#include <string.h>

/* Does it hold our word for more than we have? Then it is this store that is not what it was. */
static bool receipt_known(struct desk_work *w, const struct vf_log_copy_state *s)
{
    struct vf_note_key key;
    struct vf_checkpoint c;
    int64_t time_us = 0;
    VF_FREE struct vf_note *note = calloc(1, sizeof(*note));

    if (w->req->receipt.len == 0 || note == NULL)
        return true;
    if (vf_note_parse(w->req->receipt.data, w->req->receipt.len, note, NULL) != VF_OK ||
        vf_checkpoint_parse(note, &c, NULL) != VF_OK || strcmp(c.origin, s->origin.line) != 0)
        return true; /* not ours: it says nothing */
    /* For no more than there is it says nothing either, whoever has signed it: that is looked at when it matters. */
    if (c.size < s->size || (c.size == s->size && vf_equal(c.root.b, s->root.b, sizeof(c.root.b))))
        return true;
    vf_note_cosigner_key_of(&w->d->pub, &key);
    if (vf_receipt_verify(note, &key, 1, &c, &time_us, NULL) != VF_OK)
        return true;
    pthread_mutex_lock(&w->d->clock.lock);
    bool confirmed = w->d->clock.confirmed_us > 0 && time_us <= w->d->clock.confirmed_us;
    pthread_mutex_unlock(&w->d->clock.lock);
    if (confirmed)
        return true;
    vf_desk_clock_doubt(
        w->d,
        "%s has a receipt of this desk for %llu entries, and the desk has %llu: the store was restored from a "
        "backup; hand policy and revocations to it again, then: vaultfs-keytool desk clock --confirm",
        w->dev->enrol.name, (unsigned long long)c.size, (unsigned long long)s->size);
    enum vf_err ignored = vf_desk_clock_tell(w->d, NULL);
    (void)ignored; /* the next tick tries again */
    w->ready = false;
    return false;
}

/* The entry of an extension that was accepted goes to the disk together with what follows it. */
static bool tell_extension(struct desk_work *w, const struct vf_log_copy_state *s, uint64_t *ret_ticket)
{
    char words[2 * VF_HASH_LEN + 8] = "root ";
    const struct vf_entry e = {.event = VF_EVENT_HANDIN,
                               .grant = &w->g->g.id,
                               .recipient = w->dev->enrol.name,
                               .part = -1,
                               .has_count = true,
                               .count = s->size,
                               .object = words,
                               .result = "ok"};

    vf_hex(s->root.b, sizeof(s->root.b), words + 5);
    enum vf_err err = vf_desk_tell(w->d, &e, ret_ticket, NULL);
    return err == VF_OK || vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk cannot write its log: %s", vf_err_text(err));
}

static bool extended(struct desk_work *w, enum vf_err err, const struct vf_why *one)
{
    switch ((int)err) {
    case VF_OK:
        return true;
    case VF_E_STALE:
        return vf_desk_ends(w, VF_ANSWER_BEHIND, "send the log from where the desk has it");
    case VF_E_FORGED:
    case VF_E_FORMAT:
    case VF_E_VERSION:
    case VF_E_UNSIGNED:
        vf_desk_alarm(w->d, w->dev, one->text);
        return vf_desk_ends(w, VF_ANSWER_FORKED,
                            "the log is not what was handed in before, or is damaged: the force has to look at it");
    default:
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk could not store the log: %s", vf_err_text(err));
    }
}

/*
 * An old request that comes late, or once more, was made when the log had no entry later than those that are here: its times never decrease. A log
 * that has one, and has no more entries, is without some that it had.
 */
static bool whole(struct desk_work *w, const struct vf_log_copy_state *s)
{
    const struct vf_request *req = w->req;
    char text[160];

    if (req->log_end > s->size || req->log_end_us <= s->last_us)
        return true;
    (void)snprintf(text, sizeof(text), "it has %llu entries, and %llu were handed in before the last of them was written",
                   (unsigned long long)req->log_end, (unsigned long long)s->size);
    vf_desk_alarm(w->d, w->dev, text);
    return vf_desk_ends(w, VF_ANSWER_FORKED,
                        "the log is shorter than what was handed in before: the force has to look at it");
}

/* One supplier cannot fill the disk on which the others' revocations are to be written. */
static bool has_room(struct desk_work *w, bool by_hand)
{
    const uint64_t bytes = (uint64_t)w->req->entries.len + w->req->checkpoints.len;

    if (!vf_desk_has_room(w->d, bytes))
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk's disk is full: somebody at the force has to make room");
    if (!by_hand && vf_desk_log_too_much(w->dev, bytes, vf_clock_boot_us()))
        return vf_desk_ends(w, VF_ANSWER_RATE,
                            "more log in an hour than the desk takes from one device: send the rest later");
    return true;
}

bool vf_desk_log_take(struct desk_work *w, bool by_hand, uint64_t *ret_ticket)
{
    const struct vf_request *req = w->req;
    VF_FREE struct vf_log_copy_state *s = calloc(1, sizeof(*s));
    struct vf_why one = {0};

    if (s == NULL)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "out of memory");
    enum vf_err err = vf_desk_copy_open(w->d, w->dev, NULL);
    if (err != VF_OK) /* our copy, not its log: no alarm about the station */
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "the copy of the log on the desk cannot be used: %s", vf_err_text(err));
    vf_log_copy_state_get(w->dev->copy, s);
    w->answer.log_size = s->size;
    pthread_mutex_lock(&w->dev->small);
    bool alarm = w->dev->alarm;
    pthread_mutex_unlock(&w->dev->small);
    if (alarm)
        return vf_desk_ends(w, VF_ANSWER_FORKED,
                            "the log did not extend what was handed in before: the force has to look at it");
    if (!receipt_known(w, s))
        return vf_desk_ends(w, VF_ANSWER_UNREADY, VF_DESK_IN_DOUBT);
    if (!whole(w, s))
        return false;
    if (req->log_from != s->size || req->log_size <= s->size)
        return vf_desk_ends(w, VF_ANSWER_BEHIND, "send the log from where the desk has it, and more than it has");
    if (!has_room(w, by_hand))
        return false;
    uint64_t before = s->size;
    err = vf_log_copy_extend(w->dev->copy, before, req->checkpoints, req->entries, NULL, NULL, &one);
    if (err != VF_OK && err != VF_E_STALE && err != VF_E_FORGED && err != VF_E_FORMAT)
        vf_desk_copy_close(w->dev); /* what the disk has is found out at the next try */
    if (!extended(w, err, &one))
        return false;
    vf_log_copy_state_get(w->dev->copy, s);
    vf_desk_copy_note(w->dev);
    w->answer.log_size = s->size;
    w->out->entries = s->size - before;
    return tell_extension(w, s, ret_ticket);
}
