/* The general port: unicast negotiation (IEEE 1588-2019, 16.1), and the message flows it leads to. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

#include "worker.h"

enum {
    FLOWS_PER_ROUND = 256, /* then the sockets get a turn */
    CANCELS_NS = 500000000,
};

static struct reply_pair *pair_for(const struct worker *worker, const struct contract *contract)
{
    return replies_choose(&worker->replies, endpoint_family(&contract->client), contract->identity,
                          contract->port_number, 0);
}

static void count_request(struct worker *worker, uint8_t type)
{
    enum counter which = type == PTP_ANNOUNCE     ? COUNT_RX_GRANT_ANNOUNCE
                         : type == PTP_SYNC       ? COUNT_RX_GRANT_SYNC
                         : type == PTP_DELAY_RESP ? COUNT_RX_GRANT_DELAY_RESP
                                                  : COUNT_RX_GRANT_OTHER;

    count(&worker->counters, which);
}

/* Decide on one REQUEST; returns the duration to grant, 0 for no. */
static uint32_t decide(struct worker *worker, const struct arrival *arrival,
                       const struct ptp_message *message, const uint8_t *value)
{
    struct server *server = worker->server;
    uint32_t duration_s =
        (uint32_t)value[2] << 24 | (uint32_t)value[3] << 16 | (uint32_t)value[4] << 8 | value[5];
    enum contract_answer answer;

    count_request(worker, value[0] >> 4);
    if (!worker->clock.serving) {
        count(&worker->counters, COUNT_DENIED_NOT_SERVING);
        return 0;
    }
    pthread_mutex_lock(&server->contracts_lock);
    answer = contracts_request(&server->contracts, &arrival->from, message, value[0] >> 4, (int8_t)value[1],
                               &duration_s, worker->now_raw_ns);
    pthread_mutex_unlock(&server->contracts_lock);
    count(&worker->counters, COUNT_GRANTED + answer);
    return answer == CONTRACT_GRANTED ? duration_s : 0;
}

static void cancelled_by_client(struct worker *worker, const struct arrival *arrival,
                                const struct ptp_message *message, uint8_t type)
{
    struct server *server = worker->server;
    struct contract *contract;

    pthread_mutex_lock(&server->contracts_lock);
    contract =
        contracts_find(&server->contracts, &arrival->from, message->identity, message->port_number, type);
    if (contract != NULL) {
        contracts_remove(&server->contracts, contract);
    }
    pthread_mutex_unlock(&server->contracts_lock);
}

/*
 * One Signaling in, at most one out with all answers inside, and at most one answer per message type and
 * kind: a datagram full of requests gains nobody anything.
 */
static void general_arrived(struct worker *worker, const struct arrival *arrival,
                            const struct ptp_message *message)
{
    struct reply_pair *pair = replies_choose(&worker->replies, endpoint_family(&arrival->from),
                                             message->identity, message->port_number, 0);
    uint8_t reply[PTP_REPLY_MAX];
    size_t size;
    uint16_t requested = 0;
    uint16_t cancelled = 0;
    enum counter obstacle = COUNTERS;

    if (message->type != PTP_SIGNALING) {
        obstacle = COUNT_DROPPED_UNSUPPORTED;
    } else if (!ptp_targets_us(message, &worker->self)) {
        obstacle = COUNT_DROPPED_TARGET;
    } else if (worker_obstacle(worker) == COUNT_DROPPED_NO_TIME) {
        obstacle =
            COUNT_DROPPED_NO_TIME; /* silence rather than a denial: a renewal then simply comes again */
    }
    if (obstacle != COUNTERS) {
        count(&worker->counters, obstacle);
        return;
    }
    count_add(&worker->counters, COUNT_RX_TLV_EXCESS, message->tlv_excess);
    size =
        ptp_build_signaling(reply, &worker->self, message->identity, message->port_number, message->sequence);
    for (uint32_t i = 0; i < message->tlv_count; i++) {
        const uint8_t *value = message->tlv[i].value;
        uint16_t bit;

        switch (message->tlv[i].type) {
        case PTP_TLV_REQUEST_UNICAST:
            bit = (uint16_t)(1U << (value[0] >> 4));
            if (!(requested & bit)) {
                requested |= bit;
                size = ptp_append_grant(reply, size, value[0] >> 4, (int8_t)value[1],
                                        decide(worker, arrival, message, value));
            }
            break;
        case PTP_TLV_CANCEL_UNICAST:
            bit = (uint16_t)(1U << (value[0] >> 4));
            count(&worker->counters, COUNT_RX_CANCEL);
            if (!(cancelled & bit)) {
                cancelled |= bit;
                cancelled_by_client(worker, arrival, message, value[0] >> 4);
                size = ptp_append_cancel(reply, size, PTP_TLV_ACKNOWLEDGE_CANCEL, value[0] >> 4);
            }
            break;
        case PTP_TLV_ACKNOWLEDGE_CANCEL:
            count(&worker->counters, COUNT_RX_ACKNOWLEDGE_CANCEL);
            break;
        default: /* unknown TLVs are skipped */
            break;
        }
    }
    if (requested | cancelled) {
        worker_send_general(worker, pair, &arrival->from, reply, size, COUNT_TX_SIGNALING);
    }
}

static void send_announce(struct worker *worker, const struct contract *contract)
{
    uint8_t reply[PTP_REPLY_MAX];
    size_t size = ptp_build_announce(reply, &worker->self, &worker->clock.announce, contract->sequence,
                                     worker_now_tai_ns(worker), 0, contract->log_period);

    worker_send_general(worker, pair_for(worker, contract), &contract->client, reply, size,
                        COUNT_TX_ANNOUNCE);
}

/* Sync to the client's event port, then a Follow_Up with its stamp to where the Signaling came from. */
static void send_sync(struct worker *worker, const struct contract *contract)
{
    struct awaited follow_up = {
        .to = contract->client,
        .sequence = contract->sequence,
        .log_interval = contract->log_period,
        .kind = AWAITED_FOLLOW_UP,
    };
    struct endpoint to = contract->client;
    uint8_t reply[PTP_REPLY_MAX];
    size_t size = ptp_build_sync(reply, &worker->self, contract->sequence, worker_now_tai_ns(worker));

    endpoint_set_port(&to, worker->server->config.event_port);
    worker_send_sync(worker, pair_for(worker, contract), &to, reply, size, &follow_up);
}

/* Take the first contract whose time has come, as a copy; moves it on or, when it is over, out. */
static bool take_due(struct worker *worker, struct contract *due)
{
    struct server *server = worker->server;
    struct contract *first;
    bool found = false;

    pthread_mutex_lock(&server->contracts_lock);
    while (!found && (first = contracts_first(&server->contracts)) != NULL &&
           first->due_raw_ns <= worker->now_raw_ns) {
        if (first->expires_raw_ns <= worker->now_raw_ns) {
            contracts_remove(&server->contracts, first);
            count(&worker->counters, COUNT_EXPIRED);
            continue;
        }
        *due = *first;
        first->sequence++;
        first->sent++;
        contracts_advance(&server->contracts, first, worker->now_raw_ns);
        found = true;
    }
    pthread_mutex_unlock(&server->contracts_lock);
    return found;
}

static void send_flows(struct worker *worker)
{
    struct contract due;

    for (int i = 0; i < FLOWS_PER_ROUND && take_due(worker, &due); i++) {
        enum counter obstacle = worker_obstacle(worker);

        if (obstacle != COUNTERS) {
            count(&worker->counters, obstacle);
        } else if (due.type == PTP_ANNOUNCE) {
            send_announce(worker, &due);
        } else {
            send_sync(worker, &due);
        }
    }
}

/*
 * We end the contracts: tell every client, so that it looks for another server at once. At most half a second
 * is spent on it in one go.
 */
static void cancel_all(struct worker *worker)
{
    struct server *server = worker->server;
    struct contract *first;
    struct contract ended;
    uint8_t reply[PTP_REPLY_MAX];
    size_t size;
    int64_t until_raw_ns = host_raw_ns() + CANCELS_NS;

    while ((first = contracts_first(&server->contracts)) != NULL && host_raw_ns() < until_raw_ns) {
        pthread_mutex_lock(&server->contracts_lock);
        ended = *first;
        contracts_remove(&server->contracts, first);
        pthread_mutex_unlock(&server->contracts_lock);
        size = ptp_build_signaling(reply, &worker->self, ended.identity, ended.port_number,
                                   worker->signaling_sequence++);
        size = ptp_append_cancel(reply, size, PTP_TLV_CANCEL_UNICAST, ended.type);
        worker_send_general(worker, pair_for(worker, &ended), &ended.client, reply, size, COUNT_TX_CANCEL);
    }
}

static void set_timer(const struct worker *worker)
{
    const struct contract *first = contracts_first(&worker->server->contracts);
    struct itimerspec wait = {{0, 0}, {0, 0}}; /* disarmed */

    if (first != NULL) {
        int64_t wait_ns = first->due_raw_ns - host_raw_ns();

        wait_ns = wait_ns > 1 ? wait_ns : 1;
        wait.it_value = (struct timespec){wait_ns / 1000000000, wait_ns % 1000000000};
    }
    timerfd_settime(worker->timer_fd, 0, &wait, NULL);
}

static void general_after(struct worker *worker)
{
    worker->now_raw_ns = host_raw_ns();
    clock_page_read(worker->server->page, &worker->clock, &worker->clock_generation);
    if (!worker->clock.serving) {
        cancel_all(worker);
    }
    send_flows(worker);
    set_timer(worker);
}

void general_worker_init(struct worker *worker)
{
    worker->arrived = general_arrived;
    worker->after = general_after;
    worker->leave = cancel_all;
}
