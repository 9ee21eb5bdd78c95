/* The event port: SPTP exchanges for anybody, Delay_Resp for those with a contract. */
#define _GNU_SOURCE
#include "worker.h"

/* SPTP clients with a port number above this are probes: they want everything at the port they ask from. */
enum { SPTP_PROBE_ABOVE = 10 };

/*
 * SPTP, stateless: a Sync that carries T4, then an Announce that carries T1 and the request's correction. All
 * that the answer needs comes from the request.
 */
static void answer_sptp(struct worker *worker, const struct arrival *arrival,
                        const struct ptp_message *request, int64_t receive_source_ns, int64_t receive_tai_ns)
{
    struct reply_pair *pair =
        replies_choose(&worker->replies, endpoint_family(&arrival->from), request->identity,
                       request->port_number, ptp_response_port_offset(request));
    struct awaited announce = {
        .to = arrival->from,
        .correction_2p16 = request->correction_2p16,
        .receive_source_ns = receive_source_ns,
        .receive_tai_ns = receive_tai_ns,
        .epoch = worker->clock.announce.epoch,
        .sequence = request->sequence,
        .kind = AWAITED_SPTP,
    };
    uint8_t reply[PTP_REPLY_MAX];
    size_t size = ptp_build_sync(reply, &worker->self, request->sequence, receive_tai_ns);

    if (request->port_number <= SPTP_PROBE_ABOVE) {
        endpoint_set_port(&announce.to, worker->server->config.general_port);
    }
    count(&worker->counters, COUNT_RX_SPTP);
    worker_send_sync(worker, pair, &arrival->from, reply, size, &announce);
}

/* The port to which this client wants its general messages: where its Signaling came from. 0: no contract. */
static uint16_t contracted_port(struct worker *worker, const struct endpoint *from,
                                const struct ptp_message *request)
{
    struct server *server = worker->server;
    struct contract *contract;
    uint16_t port = server->config.delay_resp_without_contract ? server->config.general_port : 0;

    pthread_mutex_lock(&server->contracts_lock);
    contract =
        contracts_find(&server->contracts, from, request->identity, request->port_number, PTP_DELAY_RESP);
    if (contract != NULL && contract->expires_raw_ns > worker->now_raw_ns) {
        contract->sent++;
        port = endpoint_port(&contract->client);
    }
    pthread_mutex_unlock(&server->contracts_lock);
    return port;
}

static void answer_delay_req(struct worker *worker, const struct arrival *arrival,
                             const struct ptp_message *request, int64_t receive_tai_ns)
{
    struct reply_pair *pair = replies_choose(&worker->replies, endpoint_family(&arrival->from),
                                             request->identity, request->port_number, 0);
    struct endpoint to = arrival->from;
    uint16_t port = contracted_port(worker, &arrival->from, request);
    uint8_t reply[PTP_REPLY_MAX];

    if (port == 0) {
        count(&worker->counters, COUNT_DROPPED_NO_CONTRACT);
        return;
    }
    endpoint_set_port(&to, port);
    worker_send_general(worker, pair, &to, reply,
                        ptp_build_delay_resp(reply, &worker->self, request, receive_tai_ns),
                        COUNT_TX_DELAY_RESP);
}

static void event_arrived(struct worker *worker, const struct arrival *arrival,
                          const struct ptp_message *message)
{
    bool sptp = message->flags == PTP_FLAGS_SPTP_REQUEST;
    int64_t source_ns;
    int64_t tai_ns;
    enum counter obstacle = worker_obstacle(worker);

    if (message->type != PTP_DELAY_REQ || !(message->flags & PTP_FLAG_UNICAST)) {
        /* anything that could itself be an answer gets none: no loops between servers */
        obstacle = COUNT_DROPPED_UNSUPPORTED;
    } else if (message->correction_2p16 > PTP_CORRECTION_LIMIT ||
               message->correction_2p16 < -PTP_CORRECTION_LIMIT) {
        obstacle = COUNT_DROPPED_CORRECTION;
    } else if (obstacle == COUNTERS) {
        obstacle = worker_tai(worker, arrival->stamps, &source_ns, &tai_ns);
    }
    if (obstacle != COUNTERS) {
        count(&worker->counters, obstacle);
        return;
    }
    if (message->correction_2p16 < 0) {
        count(&worker->counters, COUNT_RX_NEGATIVE_CORRECTION);
    }
    if (sptp) {
        answer_sptp(worker, arrival, message, source_ns, tai_ns);
    } else {
        answer_delay_req(worker, arrival, message, tai_ns);
    }
}

void event_worker_init(struct worker *worker)
{
    worker->arrived = event_arrived;
    worker->wants_stamps = true;
}
