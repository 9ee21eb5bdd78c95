/* Unicast contracts against a plain list that does the same slowly. */
#include <arpa/inet.h>
#include <string.h>

#include "check.h"
#include "contracts.h"

#define S 1000000000LL

static const struct contract_limits LIMITS = {.log_period_min = -7,
                                              .log_period_max = 4,
                                              .duration_max_s = 300,
                                              .contracts_max = 40,
                                              .contracts_per_address = 6,
                                              .messages_per_s_address = 300,
                                              .messages_per_s_total = 1000};

static struct endpoint client(uint32_t host, uint16_t port)
{
    struct endpoint endpoint;

    memset(&endpoint, 0, sizeof(endpoint));
    if (host % 2 != 0) {
        endpoint.peer.v6.sin6_family = AF_INET6;
        endpoint.peer.v6.sin6_addr.s6_addr[0] = 0x20;
        endpoint.peer.v6.sin6_addr.s6_addr[15] = (uint8_t)host;
    } else {
        endpoint.peer.v4.sin_family = AF_INET;
        endpoint.peer.v4.sin_addr.s_addr = htonl(0xC0000200 | host);
    }
    endpoint_set_port(&endpoint, port);
    return endpoint;
}

static enum contract_answer ask(struct contracts *contracts, uint32_t host, uint64_t identity, uint8_t type,
                                int8_t log_period, uint32_t *duration_s, int64_t now)
{
    struct endpoint from = client(host, 320);
    struct ptp_message request = {.identity = identity, .port_number = 1};

    return contracts_request(contracts, &from, &request, type, log_period, duration_s, now);
}

static enum contract_answer ask_for(struct contracts *contracts, uint32_t host, uint64_t identity,
                                    uint8_t type, int8_t log_period, uint32_t duration_s, int64_t now)
{
    return ask(contracts, host, identity, type, log_period, &duration_s, now);
}

static struct contract *find(struct contracts *contracts, uint32_t host, uint64_t identity, uint8_t type)
{
    struct endpoint from = client(host, 9999);

    return contracts_find(contracts, &from, identity, 1, type);
}

static void refusals(void)
{
    struct contracts contracts;
    uint32_t long_s = 100000;

    CHECK(contracts_init(&contracts, &LIMITS, 1));
    CHECK(ask_for(&contracts, 1, 1, PTP_FOLLOW_UP, 0, 60, 0) == CONTRACT_BAD_TYPE);
    CHECK(ask_for(&contracts, 1, 1, PTP_DELAY_REQ, 0, 60, 0) == CONTRACT_BAD_TYPE);
    CHECK(ask_for(&contracts, 1, 1, PTP_SYNC, -128, 60, 0) == CONTRACT_BAD_PERIOD);
    CHECK(ask_for(&contracts, 1, 1, PTP_SYNC, -8, 60, 0) == CONTRACT_BAD_PERIOD);
    CHECK(ask_for(&contracts, 1, 1, PTP_SYNC, 5, 60, 0) == CONTRACT_BAD_PERIOD);
    CHECK(ask_for(&contracts, 1, 1, PTP_SYNC, 0, 0, 0) == CONTRACT_BAD_DURATION);
    CHECK(contracts.count == 0 && contracts_first(&contracts) == NULL);
    CHECK(ask(&contracts, 1, 1, PTP_SYNC, 0, &long_s, 0) == CONTRACT_GRANTED && long_s == 300);
    contracts_free(&contracts);
}

static void limits(void)
{
    struct contracts contracts;
    uint64_t identity = 0;

    CHECK(contracts_init(&contracts, &LIMITS, 2));
    for (identity = 1; identity <= 6; identity++) {
        CHECK(ask_for(&contracts, 2, identity, PTP_SYNC, 0, 60, 0) == CONTRACT_GRANTED);
    }
    CHECK(ask_for(&contracts, 2, 7, PTP_SYNC, 0, 60, 0) == CONTRACT_OVER_LIMIT); /* per address */
    CHECK(ask_for(&contracts, 2, 6, PTP_SYNC, 0, 60, 0) == CONTRACT_GRANTED);    /* a renewal is no new one */
    CHECK(ask_for(&contracts, 4, 1, PTP_SYNC, -7, 60, 0) == CONTRACT_GRANTED);   /* 128/s */
    CHECK(ask_for(&contracts, 4, 1, PTP_ANNOUNCE, -7, 60, 0) == CONTRACT_GRANTED); /* 256/s of 300 */
    CHECK(ask_for(&contracts, 4, 1, PTP_DELAY_RESP, -7, 60, 0) == CONTRACT_OVER_LIMIT);
    CHECK(ask_for(&contracts, 4, 1, PTP_SYNC, 0, 60, 0) == CONTRACT_GRANTED); /* slower again: room */
    CHECK(ask_for(&contracts, 4, 1, PTP_DELAY_RESP, -7, 60, 0) == CONTRACT_GRANTED);
    for (uint32_t host = 6; contracts.count < LIMITS.contracts_max; host += 2) {
        CHECK(ask_for(&contracts, host, 1, PTP_ANNOUNCE, 0, 60, 0) == CONTRACT_GRANTED);
    }
    CHECK(ask_for(&contracts, 250, 1, PTP_ANNOUNCE, 4, 60, 0) == CONTRACT_OVER_LIMIT); /* table full */
    contracts_remove(&contracts, find(&contracts, 2, 3, PTP_SYNC));
    CHECK(ask_for(&contracts, 250, 1, PTP_ANNOUNCE, 4, 60, 0) == CONTRACT_GRANTED);
    contracts_free(&contracts);

    CHECK(contracts_init(&contracts, &LIMITS, 2));
    for (uint32_t host = 0; host < 14; host += 2) { /* 7 x 128/s is the most below 1000/s */
        CHECK(ask_for(&contracts, host, 1, PTP_SYNC, -7, 60, 0) == CONTRACT_GRANTED);
    }
    CHECK(ask_for(&contracts, 20, 1, PTP_SYNC, -7, 60, 0) == CONTRACT_OVER_LIMIT);
    contracts_free(&contracts);
}

static void rhythm(void)
{
    struct contracts contracts;
    struct contract *sync;

    CHECK(contracts_init(&contracts, &LIMITS, 3));
    CHECK(ask_for(&contracts, 1, 5, PTP_SYNC, -2, 10, 100 * S) == CONTRACT_GRANTED);
    sync = contracts_first(&contracts);
    CHECK(sync->due_raw_ns == 100 * S); /* the first at once */
    contracts_advance(&contracts, sync, 100 * S + 7);
    CHECK(sync->due_raw_ns == 100 * S + S / 4); /* no drift */
    CHECK(ask_for(&contracts, 1, 5, PTP_SYNC, -2, 10, 100 * S + 9) == CONTRACT_GRANTED);
    CHECK(sync->due_raw_ns == 100 * S + S / 4); /* a renewal keeps the rhythm */
    contracts_advance(&contracts, sync, 103 * S);
    CHECK(sync->due_raw_ns == 103 * S + S / 4); /* late: no burst */
    contracts_advance(&contracts, sync, 109 * S + 8 * S / 10);
    CHECK(sync->due_raw_ns == 110 * S + 9); /* the end of the contract comes first */
    CHECK(ask_for(&contracts, 1, 5, PTP_DELAY_RESP, -7, 10, 109 * S) == CONTRACT_GRANTED);
    CHECK(find(&contracts, 1, 5, PTP_DELAY_RESP)->due_raw_ns == 119 * S); /* only its end is due */
    contracts_free(&contracts);
}

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % limit;
}

/* Table, chains and heap against each other after every random step. */
static void check_consistency(struct contracts *contracts)
{
    const struct contract *first = contracts_first(contracts);
    double rate = 0;

    for (uint32_t i = 0; i < contracts->count; i++) {
        struct contract *contract = &contracts->slot[contracts->heap[i]];

        CHECK(contract->heap_at == i);
        CHECK(i == 0 || contracts->slot[contracts->heap[(i - 1) / 2]].due_raw_ns <= contract->due_raw_ns);
        CHECK(first->due_raw_ns <= contract->due_raw_ns);
        CHECK(contract->due_raw_ns <= contract->expires_raw_ns);
        CHECK(contracts_find(contracts, &contract->client, contract->identity, contract->port_number,
                             contract->type) == contract);
        rate += contract->log_period >= 0 ? 1.0 / (double)(1 << contract->log_period)
                                          : (double)(1 << -contract->log_period);
    }
    CHECK(rate - contracts->messages_per_s < 1e-6 && contracts->messages_per_s - rate < 1e-6);
}

static void random_steps(void)
{
    static const uint8_t types[] = {PTP_SYNC, PTP_ANNOUNCE, PTP_DELAY_RESP};
    struct contracts contracts;
    int64_t now = 0;
    uint32_t granted = 0;

    CHECK(contracts_init(&contracts, &LIMITS, 4));
    for (int i = 0; i < 20000; i++) {
        struct contract *contract;

        now += random_below(300) * (S / 1000);
        switch (random_below(4)) {
        case 0:
        case 1:
            granted +=
                ask_for(&contracts, random_below(20), random_below(4), types[random_below(3)],
                        (int8_t)((int)random_below(12) - 7), 1 + random_below(30), now) == CONTRACT_GRANTED;
            break;
        case 2:
            contract = find(&contracts, random_below(20), random_below(4), types[random_below(3)]);
            if (contract != NULL) {
                contracts_remove(&contracts, contract);
            }
            break;
        default:
            while ((contract = contracts_first(&contracts)) != NULL && contract->due_raw_ns <= now) {
                if (contract->expires_raw_ns <= now) {
                    contracts_remove(&contracts, contract);
                } else {
                    contracts_advance(&contracts, contract, now);
                    CHECK(contract->due_raw_ns > now);
                }
            }
        }
        check_consistency(&contracts);
    }
    CHECK(granted > 1000);
    contracts_free(&contracts);
}

int main(void)
{
    refusals();
    limits();
    rhythm();
    random_steps();
    return 0;
}
