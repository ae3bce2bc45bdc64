/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns writing the heads that the proxy passes on, to a member and to a client, as mod_proxy and
 * httpd would write them. Fields of zones that came in a head, or that an edit has made, are never
 * among them. Does not read heads (hap_http1 does), and does no I/O.
 */
#ifndef HAP_RELAY_H
#define HAP_RELAY_H

#include "hap_edit.h"
#include "hap_http1.h"

/** What stands in an answer, and what stands for it in front of the proxy. */
typedef struct hap_relay_map_t {
    hap_str_t real; /* as the member knows it */
    hap_str_t fake; /* as the client knows it */
    size_t
        exact_n; /* of a location: so many bytes at the end of `real` match with their case only */
} hap_relay_map_t;

typedef struct hap_relay_maps_t {
    const hap_relay_map_t *rows; /* the first that fits is taken */
    unsigned n;
} hap_relay_maps_t;

/** How heads are written under one mount. Made at startup, read-only since. */
typedef struct hap_relay_t {
    hap_str_t from;             /* the path that the client knows, as in ProxyPass */
    hap_str_t to;               /* the path that members know */
    bool preserve_host;         /* ProxyPreserveHost */
    bool add_forwarded;         /* ProxyAddHeaders */
    bool via_block;             /* ProxyVia Block: requests lose theirs */
    hap_str_t via;              /* ProxyVia On or Full: what follows the version; empty none */
    hap_str_t server_name;      /* for X-Forwarded-Server */
    hap_str_t banner;           /* Server of answers that have none; may be empty */
    hap_relay_maps_t locations; /* ProxyPassReverse; beginnings of URLs or of paths */
    hap_relay_maps_t paths;     /* ProxyPassReverseCookiePath; beginnings */
    hap_relay_maps_t domains;   /* ProxyPassReverseCookieDomain; beginnings */
    hap_edit_rules_t edits;     /* what is done to the heads before */
} hap_relay_t;

enum { HAP_RELAY_EXTRA_BYTES = 32 << 10 /* most of `extra` */ };

/** What is particular to one request. */
typedef struct hap_relay_to_t {
    const hap_relay_t *relay;
    hap_str_t host;   /* the member's name and port, as in its URL */
    hap_str_t base;   /* path of the member's URL; empty or without a slash at its end */
    hap_str_t client; /* the client's address */
    hap_str_t extra;  /* lines of the proxy's own, each with its line end; may be empty */
    bool upgrade;     /* pass Upgrade on */
} hap_relay_to_t;

/** What the client is told of its connection. */
typedef enum hap_relay_keep_t {
    HAP_RELAY_CLOSE,     /* Connection: close */
    HAP_RELAY_KEEP,      /* nothing: HTTP/1.1 keeps */
    HAP_RELAY_KEEP_SAID, /* Connection: Keep-Alive, to who asked for it */
    HAP_RELAY_UPGRADE    /* Connection: Upgrade, and the member's Upgrade */
} hap_relay_keep_t;

/** What is particular to one answer. */
typedef struct hap_relay_back_t {
    const hap_relay_t *relay;
    hap_str_t self;        /* scheme, host and port of this server, for Location */
    hap_str_t date;        /* for an answer that has none */
    hap_str_t cookie;      /* the value of a Set-Cookie of ours; empty none */
    bool head;             /* the request was a HEAD */
    bool chunked;          /* the body goes out in chunks */
    bool old;              /* the request was one of HTTP/1.0 */
    bool offers;           /* pass Upgrade on: what it names may be asked for */
    hap_relay_map_t alias; /* URLs that begin with `real` stand for those that begin with `fake` in
                              `locations`; both without a slash at the end. Empty: none do */
    hap_relay_keep_t keep;
    unsigned timeout_s; /* for KEEP_SAID */
    unsigned left;      /* likewise: requests left, 0 unlimited */
} hap_relay_back_t;

/**
 * Writes the head of a request for a member into `out`; its length, or 0 if it does not fit into
 * `room` bytes. The framing stays as it was.
 */
size_t hap_relay_request(char *out, size_t room, const hap_http1_request_t *in,
                         const hap_relay_to_t *to);

/**
 * Writes the head of a request as the client wrote it, but without its body and for a connection
 * that is closed after it: to have it answered without being served. Likewise.
 */
size_t hap_relay_alone(char *out, size_t room, const hap_http1_request_t *in);

/** Writes the head of an answer for a client, likewise. Interim answers too. */
size_t hap_relay_answer(char *out, size_t room, const hap_http1_answer_t *in,
                        const hap_relay_back_t *back);

/** Whether `path` lies under `mount`: is it, or goes on at a slash. */
bool hap_relay_under(hap_str_t mount, hap_str_t path);

#endif
