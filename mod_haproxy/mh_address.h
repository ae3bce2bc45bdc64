/* SPDX-License-Identifier: Apache-2.0 */
/* Owns comparing the addresses of listening sockets. Opens none. */
#ifndef MH_ADDRESS_H
#define MH_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { MH_ADDRESS_BYTES = 56 /* with brackets and a port */ };

/** An address of IPv4 or IPv6. */
typedef union mh_address_t {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
} mh_address_t;

/** Where the socket listens. False when it does not, or on something else; or on all addresses of
 * IPv6 alone, which is not what httpd or HAListen have. */
bool mh_address_of(mh_address_t *address, int fd);

/** The same family, port and address. */
bool mh_address_same(const struct sockaddr *a, const struct sockaddr *b);

/** `part` is all addresses of IPv4, which `whole`, all of IPv6 on the same port, has too. */
bool mh_address_includes(const struct sockaddr *whole, const struct sockaddr *part);

/** No two sockets can listen on them at once. */
bool mh_address_overlap(const struct sockaddr *a, const struct sockaddr *b);

/** As it is written for Listen. */
void mh_address_write(char text[MH_ADDRESS_BYTES], const mh_address_t *address);

#endif
