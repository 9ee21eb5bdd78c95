#define _GNU_SOURCE
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#ifndef SCM_TS_OPT_ID
#define SCM_TS_OPT_ID 81
#endif

void socket_address_text(const union socket_address *address, char *text, size_t size)
{
    char number[INET6_ADDRSTRLEN] = "?";

    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, number, sizeof(number));
        snprintf(text, size, "[%s]", number);
    } else {
        inet_ntop(AF_INET, &address->v4.sin_addr, number, sizeof(number));
        snprintf(text, size, "%s", number);
    }
}

static bool set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* The privileged form passes net.core.rmem_max; the other is cut to it. */
static void set_receive_buffer(int fd, uint32_t bytes)
{
    if (!set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)bytes)) {
        set_int(fd, SOL_SOCKET, SO_RCVBUF, (int)bytes);
    }
}

static bool set_family_options(int fd, int family, const struct socket_options *options)
{
    if (family == AF_INET6) {
        return set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) && set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
               set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, options->dscp << 2);
    }
    return set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) && set_int(fd, IPPROTO_IP, IP_TOS, options->dscp << 2);
}

static int receive_stamps(const struct socket_options *options)
{
    return options->hardware_stamps ? SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE
                                    : SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
}

static int transmit_stamps(const struct socket_options *options)
{
    int kind = options->hardware_stamps ? SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE
                                        : SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

    return kind | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
}

static int fail(int fd, struct start_error *error, const char *action, const char *where)
{
    error->code = errno;
    snprintf(error->text, sizeof(error->text), "%s %s: %s", action, where, strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int socket_listen(const union socket_address *address, uint16_t port, bool stamped,
                  const struct socket_options *options, struct start_error *error)
{
    int family = address->any.sa_family;
    union socket_address bound = *address;
    char where[80];
    char host[INET6_ADDRSTRLEN + 2];
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    socket_address_text(address, host, sizeof(host));
    snprintf(where, sizeof(where), "UDP %s port %u", host, port);
    if (fd < 0) {
        return fail(fd, error, "cannot open", where);
    }
    if (family == AF_INET6) {
        bound.v6.sin6_port = htons(port);
    } else {
        bound.v4.sin_port = htons(port);
    }
    set_receive_buffer(fd, options->receive_buffer_bytes);
    if (!set_family_options(fd, family, options) || !set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1) ||
        (stamped && !set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, receive_stamps(options)))) {
        return fail(fd, error, "cannot set the options of", where);
    }
    if (bind(fd, &bound.any, family == AF_INET6 ? sizeof(bound.v6) : sizeof(bound.v4)) < 0) {
        return fail(fd, error, "cannot bind", where);
    }
    return fd;
}

int socket_reply(int family, bool stamped, const struct socket_options *options, struct start_error *error)
{
    /* Nobody has business with these ports, and what arrives would eat the room of the transmit stamps. */
    struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog filter = {.len = 1, .filter = &drop_all};
    union socket_address bound = {.any.sa_family = (sa_family_t)family};
    const char *where = family == AF_INET6 ? "an IPv6 reply socket" : "an IPv4 reply socket";
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return fail(fd, error, "cannot open", where);
    }
    if (stamped) { /* the error queue that holds the stamps is charged to the receive buffer */
        set_receive_buffer(fd, options->receive_buffer_bytes);
    }
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
        !set_family_options(fd, family, options) ||
        (stamped && !set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, transmit_stamps(options)))) {
        return fail(fd, error, "cannot set the options of", where);
    }
    if (bind(fd, &bound.any, family == AF_INET6 ? sizeof(bound.v6) : sizeof(bound.v4)) < 0) {
        return fail(fd, error, "cannot bind", where);
    }
    return fd;
}

int socket_restart_stamp_ids(int fd, const struct socket_options *options)
{
    int flags = transmit_stamps(options);

    /* The kernel zeroes its counter when OPT_ID goes from off to on. */
    return set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, flags & ~SOF_TIMESTAMPING_OPT_ID) &&
                   set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, flags)
               ? 0
               : -errno;
}

/* Append a control message to `header`, whose buffer has room for it. */
static void add_control(struct msghdr *header, int level, int type, const void *data, size_t size)
{
    struct cmsghdr *control = (struct cmsghdr *)((char *)header->msg_control + header->msg_controllen);

    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), data, size);
    header->msg_controllen += CMSG_SPACE(size);
}

int socket_send(int fd, const struct endpoint *to, uint8_t *data, size_t size, const uint32_t *stamp_id)
{
    union {
        char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t))];
        struct cmsghdr align;
    } control = {{0}};
    union socket_address peer = to->peer;
    struct iovec iov = {data, size};
    struct msghdr header = {.msg_name = &peer, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room};

    if (peer.any.sa_family == AF_INET6) {
        struct in6_pktinfo source = {.ipi6_addr = to->local, .ipi6_ifindex = to->interface};

        memset(data + size, 0, PTP_IPV6_TRAILER);
        iov.iov_len += PTP_IPV6_TRAILER;
        header.msg_namelen = sizeof(peer.v6);
        add_control(&header, IPPROTO_IPV6, IPV6_PKTINFO, &source, sizeof(source));
    } else {
        struct in_pktinfo source = {0};

        memcpy(&source.ipi_spec_dst, &to->local, sizeof(source.ipi_spec_dst));
        header.msg_namelen = sizeof(peer.v4);
        add_control(&header, IPPROTO_IP, IP_PKTINFO, &source, sizeof(source));
    }
    if (stamp_id != NULL) {
        add_control(&header, SOL_SOCKET, SCM_TS_OPT_ID, stamp_id, sizeof(*stamp_id));
    }
    return sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A socket on loopback, with its own address in `self`; -1 when there is no loopback. */
static int scratch_socket(struct endpoint *self, int stamps)
{
    socklen_t length = sizeof(self->peer.v4);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *self = (struct endpoint){.peer.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    if (fd >= 0 && (bind(fd, &self->peer.any, length) < 0 || getsockname(fd, &self->peer.any, &length) < 0 ||
                    !set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, stamps))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool socket_takes_stamp_ids(void)
{
    const struct socket_options software = {0};
    struct endpoint self;
    uint8_t nothing[1] = {0};
    uint32_t id = 0;
    int fd = scratch_socket(&self, transmit_stamps(&software));
    bool takes = fd >= 0 && socket_send(fd, &self, nothing, 0, &id) == 0; /* older kernels say EINVAL */

    if (fd >= 0) {
        close(fd);
    }
    return takes;
}

/* Did this datagram come with a stamp? Also false when there is no datagram. */
static bool receive_stamped(int fd)
{
    _Alignas(struct cmsghdr) char control[256];
    struct msghdr header = {.msg_control = control, .msg_controllen = sizeof(control)};

    if (recvmsg(fd, &header, MSG_DONTWAIT) < 0) {
        return false;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPING) {
            return true;
        }
    }
    return false;
}

void socket_await_stamps(void)
{
    enum { TRIES = 100, PAUSE_NS = 1000000 };
    const struct socket_options software = {0};
    const struct timespec pause = {0, PAUSE_NS};
    struct endpoint self;
    uint8_t nothing[1] = {0};
    int fd = scratch_socket(&self, receive_stamps(&software));

    for (int i = 0; fd >= 0 && i < TRIES && socket_send(fd, &self, nothing, 0, NULL) == 0; i++) {
        if (receive_stamped(fd)) {
            break;
        }
        nanosleep(&pause, NULL);
    }
    if (fd >= 0) {
        close(fd);
    }
}
