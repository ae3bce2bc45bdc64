/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a node that listens as a memcached does, and answers as none would. */
#ifndef UNIT_LIAR_H
#define UNIT_LIAR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** What it answers to `mg`. To all that stores something it says HD, unless said else. */
typedef enum lie_t {
    LIE_NOTHING,      /* reads, and never says a word */
    LIE_OTHER_NUMBER, /* a value, of another question */
    LIE_NO_NUMBER,    /* of none */
    LIE_GARBAGE,      /* bytes, then a line's end */
    LIE_ENDLESS,      /* bytes without a line's end, for ever */
    LIE_HUGE,         /* a value of a terabyte */
    LIE_WRAPPED,      /* of 2^64 - 1 bytes */
    LIE_NO_TOKEN,     /* a value without a CAS value */
    LIE_TWICE,        /* a value, and then the same once more */
    LIE_NO_END,       /* a value, then something else than a line's end */
    LIE_STORED,       /* that it was stored */
    LIE_TOO_LARGE,    /* that it is too large to be stored */
    LIE_OLD,          /* that it knows no such question */
    LIE_HALF,         /* half a value, then nothing */
    LIE_TRICKLE,      /* a value, byte after byte, for longer than anybody has time */
    LIE_LATE,         /* the first answer comes when the second question has come */
    LIE_SLOW,         /* nothing is there, which takes some time to say */
    LIE_BATCH,        /* nothing is there; it says so of all it has been asked, now and then */
    LIE_CLOSE,        /* closes without a word */
    LIE_PUT_NOTHING,  /* EN; never a word to what stores something */
    LIE_PUT_GARBAGE,  /* EN; garbage to what stores something */
    LIE_PUT_NUMBER,   /* EN; that something else was stored */
    LIE_PUT_VALUE,    /* EN; a value to what stores something */
    LIE_PUT_NONE,     /* EN; that too */
    LIE_PUT_EARLY,    /* EN; that it is too large, before it is all there. This is no lie */
    LIE_PUT_CLOSE,    /* EN; closes when something is to be stored */
    LIE_PUT_OTHER,    /* EN; that there is another one by now, each time */
    LIE_PUT_SECOND,   /* EN; the first time that something is to be stored it is NS */
    LIES
} lie_t;

enum { LIAR_CONNS = 64 };

typedef struct liar_t {
    lie_t lie;           /* set before the start */
    uint16_t port;       /* where it listens */
    _Atomic int puts;    /* what it was to store so far */
    _Atomic int asked;   /* questions so far */
    _Atomic int conns_n; /* connections so far */
    _Atomic bool stop;   /* private from here on */
    int listener;
    pthread_t thread;
    struct liar_conn_t {
        struct liar_t *liar;
        int fd;
        char batch[4096]; /* answers that are held back */
        pthread_t thread;
    } conns[LIAR_CONNS];
} liar_t;

void liar_start(liar_t *liar);

/** Ends it and all its connections. */
void liar_stop(liar_t *liar);

#endif
