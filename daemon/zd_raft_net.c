/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the five functions of a transport of libraft.
 */
#include "config.h"

#include "zd_raft_net.h"

#include <stdlib.h>

/* What a transport of ours has beside libraft's part. */
typedef struct own_t {
    zd_net_t *net;
    raft_uv_accept_cb accept;
} own_t;

static int init(struct raft_uv_transport *transport, raft_id id, const char *address)
{
    return transport->impl ? 0 : RAFT_NOMEM;
}

static int listen_for(struct raft_uv_transport *transport, raft_uv_accept_cb cb)
{
    own_t *own = transport->impl;
    own->accept = cb;
    return 0;
}

/* Who connects before the engine listens, or when it has ended, tries again. */
void zd_raft_net_accepted(struct raft_uv_transport *transport, uint64_t number, const char *address,
                          uv_stream_t *stream)
{
    own_t *own = transport->impl;
    if (!own || !own->accept) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
        return;
    }
    own->accept(transport, number, address, stream);
}

static void connected(void *baton, uv_stream_t *stream, const char *why)
{
    struct raft_uv_connect *request = baton;
    request->cb(request, stream, stream ? 0 : RAFT_NOCONNECTION);
}

static int connect_to(struct raft_uv_transport *transport, struct raft_uv_connect *request,
                      raft_id id, const char *address, raft_uv_connect_cb cb)
{
    own_t *own = transport->impl;
    request->cb = cb;
    return own->net && zd_net_connect(own->net, ZD_NET_RAFT, address, connected, request)
               ? 0
               : RAFT_NOCONNECTION;
}

static void close_it(struct raft_uv_transport *transport, raft_uv_transport_close_cb cb)
{
    free(transport->impl);
    transport->impl = NULL;
    cb(transport);
}

void zd_raft_net_make(struct raft_uv_transport *transport, zd_net_t *net)
{
    own_t *own = calloc(1, sizeof(*own));
    if (own) {
        own->net = net;
    }
    *transport = (struct raft_uv_transport){
        .impl = own,
        .init = init,
        .listen = listen_for,
        .connect = connect_to,
        .close = close_it,
    };
#if !ZD_RAFT_LOSES
    transport->version = 1;
#endif
}
