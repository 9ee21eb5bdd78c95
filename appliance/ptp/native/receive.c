#define _GNU_SOURCE
#include <time.h>

#include <linux/errqueue.h>
#include <string.h>

#include "worker.h"

static void count_received(struct worker *worker, uint8_t type)
{
    static const uint8_t position[16] = {
        [PTP_SYNC] = COUNT_RX_SYNC,
        [PTP_DELAY_REQ] = COUNT_RX_DELAY_REQ,
        [PTP_PDELAY_REQ] = COUNT_RX_PDELAY_REQ,
        [PTP_PDELAY_RESP] = COUNT_RX_PDELAY_RESP,
        [PTP_FOLLOW_UP] = COUNT_RX_FOLLOW_UP,
        [PTP_DELAY_RESP] = COUNT_RX_DELAY_RESP,
        [PTP_PDELAY_RESP_FOLLOW_UP] = COUNT_RX_PDELAY_RESP_FOLLOW_UP,
        [PTP_ANNOUNCE] = COUNT_RX_ANNOUNCE,
        [PTP_SIGNALING] = COUNT_RX_SIGNALING,
        [PTP_MANAGEMENT] = COUNT_RX_MANAGEMENT,
    };

    count(&worker->counters, position[type & 15]);
}

static bool control_is(const struct cmsghdr *control, int level, int type, size_t size)
{
    return control->cmsg_level == level && control->cmsg_type == type && control->cmsg_len >= CMSG_LEN(size);
}

static bool serves_interface(const struct server *server, uint32_t index)
{
    for (uint32_t i = 0; i < server->config.interfaces; i++) {
        if (server->interface_index[i] == index) {
            return true;
        }
    }
    return server->config.interfaces == 0;
}

/* Address asked, receive stamps, queue overflows. COUNTERS, or the counter to blame for an unfit destination.
 */
static enum counter decode_control(struct worker *worker, struct listener *listener, struct msghdr *header,
                                   struct arrival *arrival)
{
    bool unicast = false;
    bool served = false;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (control_is(c, IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo))) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            memcpy(&arrival->from.local, &info.ipi_spec_dst, sizeof(info.ipi_spec_dst));
            /* they differ when the packet was sent to a multicast or broadcast address */
            unicast = info.ipi_spec_dst.s_addr == info.ipi_addr.s_addr;
            served = serves_interface(worker->server, (uint32_t)info.ipi_ifindex);
        } else if (control_is(c, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(struct in6_pktinfo))) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            arrival->from.local = info.ipi6_addr;
            arrival->from.interface = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
            unicast = !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
            served = serves_interface(worker->server, info.ipi6_ifindex);
        } else if (control_is(c, SOL_SOCKET, SO_TIMESTAMPING, sizeof(struct scm_timestamping))) {
            struct scm_timestamping kernel;

            memcpy(&kernel, CMSG_DATA(c), sizeof(kernel));
            arrival->stamps = stamps_from_kernel(&kernel);
        } else if (control_is(c, SOL_SOCKET, SO_RXQ_OVFL, sizeof(uint32_t))) {
            uint32_t overflows;

            memcpy(&overflows, CMSG_DATA(c), sizeof(overflows));
            count_add(&worker->counters, COUNT_RXDROPS, overflows - listener->overflows);
            listener->overflows = overflows;
        }
    }
    return unicast && served ? COUNTERS : COUNT_DROPPED_DESTINATION;
}

/* A source that could be somebody else's victim, or ourselves. */
static bool bad_source(const struct server_config *config, const struct endpoint *from)
{
    uint16_t port = endpoint_port(from);
    bool same;

    if (from->peer.any.sa_family == AF_INET6) {
        const struct in6_addr *source = &from->peer.v6.sin6_addr;

        if (IN6_IS_ADDR_MULTICAST(source) || IN6_IS_ADDR_UNSPECIFIED(source)) {
            return true;
        }
        same = IN6_ARE_ADDR_EQUAL(source, &from->local);
    } else {
        uint32_t source = ntohl(from->peer.v4.sin_addr.s_addr);

        if (source >> 24 == 0 || source >> 28 >= 14) { /* "this network"; multicast, reserved, broadcast */
            return true;
        }
        same = memcmp(&from->peer.v4.sin_addr, &from->local, sizeof(from->peer.v4.sin_addr)) == 0;
    }
    return port == 0 || (same && (port == config->event_port || port == config->general_port));
}

static void handle(struct worker *worker, struct listener *listener, uint32_t i)
{
    struct msghdr *header = &worker->inbox.header[i].msg_hdr;
    struct arrival arrival = {.data = worker->inbox.data[i], .size = worker->inbox.header[i].msg_len};
    struct ptp_message message;
    enum counter obstacle;
    enum ptp_verdict verdict;

    arrival.from.peer = worker->inbox.peer[i];
    obstacle = decode_control(worker, listener, header, &arrival);
    if (obstacle == COUNTERS && header->msg_flags & MSG_TRUNC) {
        obstacle = COUNT_DROPPED_OVERSIZE;
    }
    if (obstacle == COUNTERS && bad_source(&worker->server->config, &arrival.from)) {
        obstacle = COUNT_DROPPED_SOURCE;
    }
    if (obstacle == COUNTERS &&
        !limiter_admits(&worker->limiter, endpoint_prefix(&arrival.from), worker->now_raw_ns)) {
        obstacle = COUNT_DROPPED_RATE;
    }
    if (obstacle != COUNTERS) {
        count(&worker->counters, obstacle);
        return;
    }
    verdict = ptp_parse(arrival.data, arrival.size, &worker->self, &message);
    if (verdict != PTP_OK) {
        _Static_assert(
            (int)COUNT_DROPPED_TLV - (int)COUNT_DROPPED_SIZE == (int)PTP_BAD_TLV - (int)PTP_BAD_SIZE, "");
        count(&worker->counters, COUNT_DROPPED_SIZE + verdict - PTP_BAD_SIZE);
        return;
    }
    count_received(worker, message.type);
    worker->arrived(worker, &arrival, &message);
}

void worker_serve_listener(struct worker *worker, struct listener *listener)
{
    struct inbox *inbox = &worker->inbox;
    bool distrusted = listener->distrusted;
    int received;

    for (int i = 0; i < BATCH; i++) {
        inbox->iov[i] = (struct iovec){inbox->data[i], DATAGRAM_SIZE};
        inbox->header[i].msg_hdr = (struct msghdr){
            .msg_name = &inbox->peer[i],
            .msg_namelen = sizeof(inbox->peer[i]),
            .msg_iov = &inbox->iov[i],
            .msg_iovlen = 1,
            .msg_control = inbox->control[i],
            .msg_controllen = CONTROL_SIZE,
        };
    }
    received = recvmmsg(listener->fd, inbox->header, BATCH, MSG_DONTWAIT, NULL);
    if (received <= 0) {
        return;
    }
    /* Stamps older than this look are between two readings of the clocks, unless a step lies there as well.
     */
    if (worker_note_time(worker)) {
        if (received < BATCH || worker->now_raw_ns > worker->distrust_until_raw_ns) {
            listener->distrusted = false; /* the queue was emptied after the step */
        }
    } else {
        distrusted = true;
    }
    if (distrusted && worker->wants_stamps) {
        count_add(&worker->counters, COUNT_DROPPED_STEP, (uint64_t)received);
        return;
    }
    for (int i = 0; i < received; i++) {
        handle(worker, listener, (uint32_t)i);
    }
    worker_collect_all_stamps(worker);
}
