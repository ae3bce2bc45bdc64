/* SPDX-License-Identifier: Apache-2.0 */
#include "mh_address.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>

static in_port_t port_of(const struct sockaddr *address)
{
    return address->sa_family == AF_INET6
               ? ((const struct sockaddr_in6 *)(const void *)address)->sin6_port
               : ((const struct sockaddr_in *)(const void *)address)->sin_port;
}

static const struct in6_addr *six_of(const struct sockaddr *address)
{
    return &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
}

static in_addr_t four_of(const struct sockaddr *address)
{
    return ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
}

static bool is_all(const struct sockaddr *address)
{
    return address->sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(six_of(address))
                                          : four_of(address) == INADDR_ANY;
}

static bool takes_four(int fd)
{
    int only = 0;
    socklen_t n = sizeof(only);
    return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0 && !only;
}

bool mh_address_of(mh_address_t *address, int fd)
{
    int listens = 0;
    socklen_t n = sizeof(listens);
    socklen_t address_n = sizeof(*address);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) != 0 || !listens ||
        getsockname(fd, &address->any, &address_n) != 0) {
        return false;
    }
    int family = address->any.sa_family;
    return family == AF_INET || (family == AF_INET6 && (!is_all(&address->any) || takes_four(fd)));
}

bool mh_address_same(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family || port_of(a) != port_of(b)) {
        return false;
    }
    return a->sa_family == AF_INET6 ? memcmp(six_of(a), six_of(b), sizeof(struct in6_addr)) == 0
                                    : four_of(a) == four_of(b);
}

bool mh_address_includes(const struct sockaddr *whole, const struct sockaddr *part)
{
    return port_of(whole) == port_of(part) && whole->sa_family == AF_INET6 && is_all(whole) &&
           part->sa_family == AF_INET && is_all(part);
}

/* All of IPv4 is nothing to IPv6. */
static bool covers(const struct sockaddr *whole, const struct sockaddr *part)
{
    return is_all(whole) && (whole->sa_family == AF_INET6 || part->sa_family == AF_INET);
}

bool mh_address_overlap(const struct sockaddr *a, const struct sockaddr *b)
{
    return port_of(a) == port_of(b) && (covers(a, b) || covers(b, a) || mh_address_same(a, b));
}

void mh_address_write(char text[MH_ADDRESS_BYTES], const mh_address_t *address)
{
    char bare[INET6_ADDRSTRLEN] = "";
    bool six = address->any.sa_family == AF_INET6;
    inet_ntop(address->any.sa_family,
              six ? (const void *)&address->in6.sin6_addr : (const void *)&address->in.sin_addr,
              bare, sizeof(bare));
    apr_snprintf(text, MH_ADDRESS_BYTES, six ? "[%s]:%u" : "%s:%u", bare,
                 ntohs(port_of(&address->any)));
}
