/*
 * What is counted, by name. Where Meta's ptp4u counts the same thing, its name is used.
 *
 * Each worker has its own set, written by that worker alone; a reader adds them up.
 */
#ifndef PTP_COUNTERS_H
#define PTP_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#define PTP_COUNTERS(X)                                                                                      \
    /* received, by message type; same order as count_received() */                                          \
    X(RX_SYNC, "rx.sync")                                                                                    \
    X(RX_DELAY_REQ, "rx.delay_req")                                                                          \
    X(RX_PDELAY_REQ, "rx.pdelay_req")                                                                        \
    X(RX_PDELAY_RESP, "rx.pdelay_resp")                                                                      \
    X(RX_FOLLOW_UP, "rx.follow_up")                                                                          \
    X(RX_DELAY_RESP, "rx.delay_resp")                                                                        \
    X(RX_PDELAY_RESP_FOLLOW_UP, "rx.pdelay_resp_follow_up")                                                  \
    X(RX_ANNOUNCE, "rx.announce")                                                                            \
    X(RX_SIGNALING, "rx.signaling")                                                                          \
    X(RX_MANAGEMENT, "rx.management")                                                                        \
    X(RX_SPTP, "rx.sptp")                                                                                    \
    X(RX_NEGATIVE_CORRECTION, "rx.negative_correction")                                                      \
    X(RX_TLV_EXCESS, "rx.tlv_excess")                                                                        \
    X(RX_GRANT_ANNOUNCE, "rx.signaling.grant.announce") /* requests for ... */                               \
    X(RX_GRANT_SYNC, "rx.signaling.grant.sync")                                                              \
    X(RX_GRANT_DELAY_RESP, "rx.signaling.grant.delay_resp")                                                  \
    X(RX_GRANT_OTHER, "rx.signaling.grant.other")                                                            \
    X(RX_CANCEL, "rx.signaling.cancel")                                                                      \
    X(RX_ACKNOWLEDGE_CANCEL, "rx.signaling.acknowledge_cancel")                                              \
    X(TX_SYNC, "tx.sync")                                                                                    \
    X(TX_ANNOUNCE, "tx.announce")                                                                            \
    X(TX_FOLLOW_UP, "tx.follow_up")                                                                          \
    X(TX_DELAY_RESP, "tx.delay_resp")                                                                        \
    X(TX_SIGNALING, "tx.signaling")                                                                          \
    X(TX_CANCEL, "tx.signaling.cancel")                                                                      \
    X(TX_ERROR, "tx.error")                                                                                  \
    X(TXTS_MISSING, "txts.missing")     /* Sync sent, no transmit stamp in time: no second message */        \
    X(TXTS_UNMATCHED, "txts.unmatched") /* stamps that came too late */                                      \
    X(GRANTED, "signaling.granted")                                                                          \
    X(DENIED_TYPE, "signaling.denied.type") /* same order as enum contract_answer */                         \
    X(DENIED_PERIOD, "signaling.denied.period")                                                              \
    X(DENIED_DURATION, "signaling.denied.duration")                                                          \
    X(DENIED_LIMIT, "signaling.denied.limit")                                                                \
    X(DENIED_NOT_SERVING, "signaling.denied.not_serving")                                                    \
    X(EXPIRED, "signaling.expired")                                                                          \
    X(HOST_CLOCK_STEPS, "host_clock.steps") /* CLOCK_REALTIME was stepped */                                 \
    X(RXDROPS, "rxdrops")                   /* by the kernel, receive queue full */                          \
    X(DROPPED_SIZE, "dropped.size")         /* same order as enum ptp_verdict */                             \
    X(DROPPED_LENGTH, "dropped.length")                                                                      \
    X(DROPPED_TRAILER, "dropped.trailer")                                                                    \
    X(DROPPED_VERSION, "dropped.version")                                                                    \
    X(DROPPED_SDO, "dropped.sdo_id")                                                                         \
    X(DROPPED_DOMAIN, "dropped.domain")                                                                      \
    X(DROPPED_TYPE, "dropped.type")                                                                          \
    X(DROPPED_OWN_IDENTITY, "dropped.own_identity")                                                          \
    X(DROPPED_NANOSECONDS, "dropped.nanoseconds")                                                            \
    X(DROPPED_TLV, "dropped.tlv")                                                                            \
    X(DROPPED_UNSUPPORTED, "dropped.unsupported") /* a good message that this port does not take */          \
    X(DROPPED_OVERSIZE, "dropped.oversize")                                                                  \
    X(DROPPED_SOURCE, "dropped.source")           /* port 0, multicast, broadcast or our own port */         \
    X(DROPPED_DESTINATION, "dropped.destination") /* other interface, multicast or broadcast */              \
    X(DROPPED_RATE, "dropped.rate")                                                                          \
    X(DROPPED_TARGET, "dropped.target")         /* Signaling for somebody else */                            \
    X(DROPPED_CORRECTION, "dropped.correction") /* beyond 10 s */                                            \
    X(DROPPED_NO_CONTRACT, "dropped.no_contract")                                                            \
    X(DROPPED_NOT_SERVING, "dropped.not_serving")                                                            \
    X(DROPPED_NO_TIME, "dropped.no_time")   /* map or announce data absent or expired */                     \
    X(DROPPED_NO_STAMP, "dropped.no_stamp") /* the kernel gave no receive stamp */                           \
    X(DROPPED_STALE, "dropped.stale")       /* the stamp is outside what the host clock's readings cover */  \
    X(DROPPED_STEP, "dropped.step")         /* CLOCK_REALTIME or the map moved between two stamps */         \
    X(DROPPED_BUSY, "dropped.busy")         /* too many Syncs wait for their stamps */

enum counter {
#define X(name, text) COUNT_##name,
    PTP_COUNTERS(X)
#undef X
        COUNTERS
};

extern const char *const counter_names[COUNTERS];

struct counters {
    _Atomic uint64_t value[COUNTERS];
};

/* Single writer: no read-modify-write instruction needed. */
static inline void count_add(struct counters *counters, unsigned which, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(&counters->value[which], memory_order_relaxed);

    atomic_store_explicit(&counters->value[which], now + amount, memory_order_relaxed);
}

static inline void count(struct counters *counters, unsigned which)
{
    count_add(counters, which, 1);
}

#endif
