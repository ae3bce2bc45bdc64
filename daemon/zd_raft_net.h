/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the engine's transport: what libraft asks of connections, on zd_net's. Of zd_raft.c alone.
 */
#ifndef ZD_RAFT_NET_H
#define ZD_RAFT_NET_H

#include <raft/uv.h>

#include "zd_net.h"

/** Makes a transport over `net`, which has to outlive it; NULL: of a node without peers. */
void zd_raft_net_make(struct raft_uv_transport *transport, zd_net_t *net);

/** A stream that the net has accepted for ZD_NET_RAFT. Takes it. */
void zd_raft_net_accepted(struct raft_uv_transport *transport, uint64_t number, const char *address,
                          uv_stream_t *stream);

#endif
