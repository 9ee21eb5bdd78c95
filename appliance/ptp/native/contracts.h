/*
 * Unicast contracts: who was granted which message how often and until when (IEEE 1588-2019, 16.1).
 *
 * A fixed table, found by client address (all contracts of one host share a chain, which the cap per address
 * keeps short), and a heap of due times. No sockets and no clock: callers pass CLOCK_MONOTONIC_RAW.
 */
#ifndef PTP_CONTRACTS_H
#define PTP_CONTRACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"
#include "wire.h"

struct contract_limits {
    int8_t log_period_min;
    int8_t log_period_max;
    uint32_t duration_max_s; /* longer requests are granted this much */
    uint32_t contracts_max;
    uint32_t contracts_per_address;
    uint32_t messages_per_s_address; /* sum of what one address may be sent; 0: unlimited */
    uint32_t messages_per_s_total;
};

/* Why a request was refused. The order is that of the counters `signaling.denied.*`. */
enum contract_answer {
    CONTRACT_GRANTED,
    CONTRACT_BAD_TYPE,
    CONTRACT_BAD_PERIOD,
    CONTRACT_BAD_DURATION,
    CONTRACT_OVER_LIMIT,
    CONTRACT_ANSWERS,
};

struct contract {
    struct endpoint client; /* port: where its Signaling came from last */
    uint64_t identity;
    uint16_t port_number;
    uint8_t type; /* Announce, Sync or Delay_Resp */
    int8_t log_period;
    uint16_t sequence; /* of the next message */
    uint32_t duration_s;
    uint64_t sent;
    int64_t expires_raw_ns;
    int64_t due_raw_ns; /* next message, or expiry */
    uint32_t heap_at;   /* position in the heap */
    uint32_t next;      /* in the chain or in the free list */
};

struct contracts {
    struct contract_limits limits;
    struct contract *slot; /* contracts_max of them */
    uint32_t *heap;        /* slot numbers, earliest due first */
    uint32_t *chain;       /* first slot per bucket */
    uint32_t chain_mask;
    uint32_t count;
    uint32_t free;  /* given back */
    uint32_t fresh; /* first slot that was never used: a large table costs memory only when it fills */
    uint64_t seed;
    double messages_per_s; /* granted in total */
};

enum { CONTRACT_NONE = UINT32_MAX };

/* False when memory is short. */
bool contracts_init(struct contracts *contracts, const struct contract_limits *limits, uint64_t seed);
void contracts_free(struct contracts *contracts);

/*
 * Grant or renew. `duration_s` is what was asked for and becomes what is granted. Periodic messages of a new
 * contract are due at once; a renewal keeps its rhythm.
 */
enum contract_answer contracts_request(struct contracts *contracts, const struct endpoint *client,
                                       const struct ptp_message *request, uint8_t type, int8_t log_period,
                                       uint32_t *duration_s, int64_t now_raw_ns);

/* NULL when there is none. The pointer holds until the next change of the table. */
struct contract *contracts_find(const struct contracts *contracts, const struct endpoint *client,
                                uint64_t identity, uint16_t port_number, uint8_t type);

/* The contract with the earliest due time, NULL when the table is empty. */
struct contract *contracts_first(const struct contracts *contracts);

/* One period on from its due time; when that is past already, one period from now (no burst). */
void contracts_advance(struct contracts *contracts, struct contract *contract, int64_t now_raw_ns);

void contracts_remove(struct contracts *contracts, struct contract *contract);

#endif
