/* SPDX-License-Identifier: MIT */
/*
 * The release protocol of the key desk (include/vaultfs/desk.h, docs/protocol.md), for Spin: one grant of RECORDS records and a budget, one device that
 * mounts twice, two threads of the desk, a network that belongs to an attacker, and a machine that may stop at every step. Steps bear the
 * names of the functions that take them. What a disk holds is apart from what was written but not flushed, and from what is in memory.
 *
 * What must hold (assertions, named by the macro MUST):
 *   RELEASED   no share without its release entry, durable in the desk's own log
 *   EXTENDED   ... nor without the station's log, longer than before, extending what was there, durable at the desk
 *   OVER       no share once the desk has said that the grant is revoked, or has ended; no key in use once its destruction was reported
 *   REPLAY     a request is answered with a share at most once, however often it is delivered
 *   BUDGET     never more records released than the budget, counted in what is durable and in memory
 *   BACK       a slot that was overwritten is never live again, nor a grant whose tombstone is durable
 *   SESSION    a mount takes only the answer to its own open request
 *
 * The environment variable MODEL_BREAK takes away one step of the protocol; the check must then find a violation (check.sh).
 */
#ifndef REQUESTS
#define REQUESTS 2      /* that the station sends in all */
#endif
#ifndef DELIVERIES
#define DELIVERIES 2    /* of any of these, in any order, any of them again */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define RECORDS 2
#define BUDGET  1
#define FORGED  REQUESTS /* one more, by a thief with a copy of the station: its log does not extend what the desk has */

c_decl {
\#include <stdlib.h>
\#include <string.h>
    static int break_is(const char *what)
    {
        const char *is = getenv("MODEL_BREAK");
        return is != NULL && strcmp(is, what) == 0;
    }
    static int no_flush, no_extend, no_longer, copy_later, no_gate, ack_early, no_recover, no_lock, no_recall, any_answer, undead;
};

#define BROKEN(what) c_expr { what }
#define MUST(property, what) assert(what)

mtype = { LIVE, TORN, GONE };                /* a slot of prekeys/N */

typedef request {
    bool extends; /* its log extends what the desk was shown before, if it is longer than that */
    byte size;    /* entries of the station's log */
    byte want     /* the record */
};

/* On the desk's disk. */
mtype slot = LIVE;
bool tombstone;                 /* VF_DT_TOMBSTONE */
bool revocation;                /* VF_DT_REVOCATION */
byte copy_size;                 /* the copy of the station's log, as far as it counts */
bool log_release[RECORDS];      /* STORE/log */
bool log_end;

/* Written, not flushed. */
byte copy_cache;
bool log_cache[RECORDS];

/* In the desk's memory. */
bool serving;
byte epoch;                     /* which process it is */
bool dead;                      /* batch->dead */
bool bits[RECORDS];             /* grant->bits */
bool device_lock;

/* The world. */
bool over;                      /* the time of the grant is over */
bool said_over;                 /* the desk has said so: a revocation was acknowledged, or an entry tells of the end */
bool was_gone;                  /* the slot was overwritten, or its tombstone was durable */
bool served[REQUESTS + 1];      /* requests that were answered with a share */
request sent[REQUESTS + 1];
byte deliveries, crashes;

inline count_released(n)
{
    n = 0;
    if :: log_release[0] || bits[0] || log_cache[0] -> n++ :: else fi;
    if :: log_release[1] || bits[1] || log_cache[1] -> n++ :: else fi
}

/* ------------------------------------------------------------------------------------------- the station, the network, a thief */

/*
 * What the station sends does not depend on what it gets, and the network delivers whatever was ever sent whenever it likes, also before: so all
 * requests lie there from the beginning. Each shows a longer log than the one before; any record; of whichever mount. And a thief signs with the
 * device's key, on a log that he continued from an older copy: longer than all others, and no extension.
 */
inline vf_request_make()
{
    sent[0].size = 1;
    sent[0].extends = true;
    sent[0].want = 0; /* the records' names do not matter */
    sent[REQUESTS - 1].size = REQUESTS;
    sent[REQUESTS - 1].extends = true;
    if :: sent[REQUESTS - 1].want = 0 :: sent[REQUESTS - 1].want = 1 fi;
    sent[FORGED].size = REQUESTS + 1;
    sent[FORGED].want = 1
}

/*
 * An answer to request r, or any that was kept of r's, is delivered to a mount that waits for the answer to any request, its own. It names the
 * request by its hash, and is sealed to the key that was made for that one.
 */
inline vf_answer_open(r)
{
    if :: n = 0 :: n = REQUESTS - 1 fi;
    if
    :: r == n || BROKEN(any_answer) -> MUST(SESSION, r == n)
    :: else
    fi
}

/* ------------------------------------------------------------------------------------------------------------------ the desk */

#define MAY_STOP if :: crashes < CRASHES -> goto stop :: true fi

/* At opening. */
inline vf_desk_open()
{
    /* vf_desk_load */
    atomic {
        copy_cache = copy_size;
        dead = tombstone || (revocation && !BROKEN(undead))
    };
    /* vf_desk_recall: the own log is what counts */
    atomic {
        if :: !BROKEN(no_recall) -> bits[0] = log_release[0]; bits[1] = log_release[1] :: else fi;
        dead = dead || log_end;
        if :: BROKEN(no_recover) -> dead = false :: else fi
    };
    MAY_STOP;
    /* vf_desk_end_recover: what was begun is finished before anything is answered */
    if
    :: dead && slot != GONE && !BROKEN(no_recover) ->
        atomic { tombstone = true; was_gone = true };
        MAY_STOP;
        slot = TORN;
        MAY_STOP;
        slot = GONE;
        MAY_STOP;
        log_end = true
    :: else
    fi;
    serving = true
}

/*
 * One answer. After each step the process may be another one: then this thread is gone with all it knew. Variables of the thread are
 * reset at its end, so that they make no states of their own.
 */
#define STILL_HERE if :: epoch != mine -> goto lost :: else fi

proctype vf_desk_answer()
{
    byte r, mine, n;
    bool fresh;

next:
    /*
     * (1) a request as the attacker delivers it: any that was ever sent; signed by the device, or it is not looked at. Then one exchange with a
     * device at a time.
     */
    atomic {
        r = 0; n = 0; fresh = false; mine = 0;
        if
        :: deliveries == DELIVERIES -> goto done
        :: serving && deliveries < DELIVERIES && (!device_lock || BROKEN(no_lock)) ->
            mine = epoch;
            deliveries++;
            device_lock = true;
            if
            :: r = 0
            :: r = REQUESTS - 1
            :: r = FORGED
            fi
        fi
    };
    /* (2) the grant: revoked, ended, clock */
    atomic {
        STILL_HERE;
        if :: dead || over -> goto refused :: else fi
    };
    /* (3) vf_log_copy_extend: verified, longer; the entries, then their checkpoints; durable */
    atomic {
        STILL_HERE;
        if :: sent[r].size <= copy_cache && !BROKEN(no_longer) -> goto refused :: else fi;
        if :: !sent[r].extends && !BROKEN(no_extend) -> goto refused :: else fi;
        if :: sent[r].size > copy_cache -> copy_cache = sent[r].size :: else fi
    };
    atomic {
        STILL_HERE;
        if
        :: !BROKEN(copy_later) && copy_cache > copy_size -> copy_size = copy_cache
        :: else
        fi
    };
    /* (4) vf_desk_ask: budget, of what is released for the first time */
    atomic {
        STILL_HERE;
        fresh = !bits[sent[r].want];
        n = (bits[0] -> 1 : 0) + (bits[1] -> 1 : 0);
        if :: fresh && n >= BUDGET -> goto refused :: else fi;
        n = 0
    };
    /* (5) vf_desk_tell: the release entry goes into the queue; vf_log_wait: durable, or lost with the process */
    if
    :: fresh ->
        atomic {
            STILL_HERE;
            log_cache[sent[r].want] = true
        };
        if
        :: !BROKEN(no_flush) ->
            atomic {
                STILL_HERE;
                log_release[sent[r].want] = true
            }
        :: else
        fi;
        /* vf_desk_released */
        atomic {
            STILL_HERE;
            bits[sent[r].want] = true;
            count_released(n);
            MUST(BUDGET, n <= BUDGET);
            n = 0
        }
    :: else
    fi;
    /* (6) shares, under batch->gate: vf_desk_prekey_live, vf_prekeys_get */
    atomic {
        STILL_HERE;
        if :: dead && !BROKEN(no_gate) -> goto refused :: else fi;
        if :: slot != LIVE -> goto refused :: else fi;
        MUST(RELEASED, log_release[sent[r].want]);
        MUST(EXTENDED, sent[r].extends && copy_size >= sent[r].size);
        MUST(OVER, !said_over);
        MUST(BACK, !was_gone);
        MUST(REPLAY, !served[r]);
        served[r] = true
    };
    /* (7), (8) receipt and answer */
    atomic {
        STILL_HERE;
        vf_answer_open(r);
        device_lock = false;
        goto next
    };
refused:
    atomic {
        if :: epoch == mine -> device_lock = false :: else fi;
        goto next
    };
lost:
    goto next;
done:
    skip
}

/* vf_desk_receive of a revocation, and vf_desk_tick at the end: mark, tombstone, overwrite, entry. Once each; again after a crash. */
proctype vf_desk_end()
{
    byte mine;
    bool revoked;

again:
    atomic {
        mine = 0; revoked = false;
        if
        :: said_over && slot == GONE && log_end -> goto done
        :: serving && !(said_over && slot == GONE && log_end) ->
            mine = epoch;
            if
            :: !over -> revoked = true        /* somebody brings a revocation, */
            :: over = true                    /* or the time is over */
            fi
        fi
    };
    /* the notice itself */
    if
    :: revoked -> atomic { STILL_HERE; revocation = true }
    :: else
    fi;
    atomic { STILL_HERE; dead = true };      /* vf_desk_mark_dead, under batch->gate */
    if
    :: BROKEN(ack_early) -> atomic { STILL_HERE; said_over = true }
    :: else
    fi;
    atomic { STILL_HERE; tombstone = true; was_gone = true }; /* the store's commit */
    if
    :: revoked -> atomic { STILL_HERE; said_over = true }     /* acknowledged */
    :: else
    fi;
    atomic { STILL_HERE; slot = TORN };                       /* vf_prekeys_destroy: overwritten, */
    atomic { STILL_HERE; slot = GONE };                       /* flushed */
    atomic { STILL_HERE; log_end = true; said_over = true };  /* event expire or revoke */
    goto again;
lost:
    goto again;
done:
    skip
}

/* The machine stops: what was not on the disk is gone. Starting may be interrupted too. */
proctype machine()
{
start:
    vf_desk_open();
    if
    :: crashes < CRASHES -> goto stop
    :: goto done
    fi;
stop:
    atomic {
        crashes++;
        epoch++;
        serving = false;
        device_lock = false;
        dead = false;
        bits[0] = false; bits[1] = false;
        log_cache[0] = log_release[0]; log_cache[1] = log_release[1];
        copy_cache = copy_size;
        goto start
    };
done:
    skip
}

init {
    c_code {
        no_flush = break_is("no_flush");     /* (5) the share does not wait for the disk */
        no_extend = break_is("no_extend");   /* (3) any log will do */
        no_longer = break_is("no_longer");   /* (3) the log need not be longer */
        copy_later = break_is("copy_later"); /* (3) the copy is not flushed */
        no_gate = break_is("no_gate");       /* (6) whether the key is dead is not asked again */
        ack_early = break_is("ack_early");   /* a revocation is acknowledged before its tombstone is durable */
        undead = break_is("ack_early");      /*   and a stored notice alone does not count at opening */
        no_recover = break_is("no_recover"); /* tombstones are not looked at when the desk starts */
        no_lock = break_is("no_lock");       /* two exchanges with one device at a time */
        no_recall = break_is("no_recall");   /* what was released is counted in memory alone */
        any_answer = break_is("any_answer"); /* the station does not look which request was answered */
    };
    atomic {
        vf_request_make();
        run machine();
        run vf_desk_answer();
        run vf_desk_answer();
        run vf_desk_end()
    }
}
