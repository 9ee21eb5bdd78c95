/* Who asked, and at which of our addresses: everything needed to answer from where we were asked. */
#ifndef PTP_ENDPOINT_H
#define PTP_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct endpoint {
    union socket_address peer;
    struct in6_addr local; /* IPv4: the first four bytes */
    uint32_t interface;    /* index; set for IPv6 link-local only, elsewhere routing decides */
};

enum { FAMILY_V4, FAMILY_V6, FAMILIES };

static inline int endpoint_family(const struct endpoint *endpoint)
{
    return endpoint->peer.any.sa_family == AF_INET6 ? FAMILY_V6 : FAMILY_V4;
}

static inline uint16_t endpoint_port(const struct endpoint *endpoint)
{
    return ntohs(endpoint->peer.any.sa_family == AF_INET6 ? endpoint->peer.v6.sin6_port
                                                          : endpoint->peer.v4.sin_port);
}

static inline void endpoint_set_port(struct endpoint *endpoint, uint16_t port)
{
    if (endpoint->peer.any.sa_family == AF_INET6) {
        endpoint->peer.v6.sin6_port = htons(port);
    } else {
        endpoint->peer.v4.sin_port = htons(port);
    }
}

static inline bool endpoint_same_host(const struct endpoint *a, const struct endpoint *b)
{
    if (a->peer.any.sa_family != b->peer.any.sa_family) {
        return false;
    }
    if (a->peer.any.sa_family == AF_INET6) {
        return memcmp(&a->peer.v6.sin6_addr, &b->peer.v6.sin6_addr, 16) == 0 &&
               a->peer.v6.sin6_scope_id == b->peer.v6.sin6_scope_id;
    }
    return a->peer.v4.sin_addr.s_addr == b->peer.v4.sin_addr.s_addr;
}

/* The peer's /24 (IPv4) or /64 (IPv6), as a number. IPv4 is put where IPv6 has its discard prefix. */
static inline uint64_t endpoint_prefix(const struct endpoint *endpoint)
{
    uint64_t prefix = 0;

    if (endpoint->peer.any.sa_family != AF_INET6) {
        return 0x0100000000000000ULL | ntohl(endpoint->peer.v4.sin_addr.s_addr) >> 8;
    }
    for (int i = 0; i < 8; i++) {
        prefix = prefix << 8 | endpoint->peer.v6.sin6_addr.s6_addr[i];
    }
    return prefix;
}

/* Spreads 64 bits; the finaliser of splitmix64. */
static inline uint64_t mix64(uint64_t value)
{
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ULL;
    value = (value ^ value >> 27) * 0x94D049BB133111EBULL;
    return value ^ value >> 31;
}

#endif
