#include "contracts.h"

#include <stdlib.h>

#define NS_PER_S 1000000000LL

static int64_t period_ns(int8_t log_period)
{
    return log_period >= 0 ? NS_PER_S << log_period : NS_PER_S >> -log_period;
}

/* Delay_Resp is sent when asked; it counts with the rate at which it may be asked. */
static double message_rate(int8_t log_period)
{
    return (double)NS_PER_S / (double)period_ns(log_period);
}

bool contracts_init(struct contracts *contracts, const struct contract_limits *limits, uint64_t seed)
{
    uint32_t chains = 16;

    while (chains < limits->contracts_max) {
        chains *= 2;
    }
    *contracts =
        (struct contracts){.limits = *limits, .seed = seed, .chain_mask = chains - 1, .free = CONTRACT_NONE};
    contracts->slot = calloc(limits->contracts_max + 1U, sizeof(*contracts->slot)); /* never of size 0 */
    contracts->heap = calloc(limits->contracts_max + 1U, sizeof(*contracts->heap));
    contracts->chain = malloc(chains * sizeof(*contracts->chain));
    if (contracts->slot == NULL || contracts->heap == NULL || contracts->chain == NULL) {
        contracts_free(contracts);
        return false;
    }
    for (uint32_t i = 0; i < chains; i++) {
        contracts->chain[i] = CONTRACT_NONE;
    }
    return true;
}

void contracts_free(struct contracts *contracts)
{
    free(contracts->slot);
    free(contracts->heap);
    free(contracts->chain);
    contracts->slot = NULL;
    contracts->heap = NULL;
    contracts->chain = NULL;
    contracts->count = 0;
}

static uint32_t *chain_of(const struct contracts *contracts, const struct endpoint *client)
{
    uint64_t key = endpoint_prefix(client);

    if (endpoint_family(client) == FAMILY_V6) {
        uint64_t host;

        memcpy(&host, client->peer.v6.sin6_addr.s6_addr + 8, sizeof(host));
        key ^= mix64(host);
    } else {
        key = client->peer.v4.sin_addr.s_addr;
    }
    return &contracts->chain[mix64(key ^ contracts->seed) & contracts->chain_mask];
}

static void heap_put(struct contracts *contracts, uint32_t at, uint32_t slot)
{
    contracts->heap[at] = slot;
    contracts->slot[slot].heap_at = at;
}

static int64_t heap_due(const struct contracts *contracts, uint32_t at)
{
    return contracts->slot[contracts->heap[at]].due_raw_ns;
}

/* Move the entry at `at` up or down to where its due time belongs. */
static void heap_settle(struct contracts *contracts, uint32_t at)
{
    uint32_t slot = contracts->heap[at];
    int64_t due = contracts->slot[slot].due_raw_ns;

    while (at > 0 && heap_due(contracts, (at - 1) / 2) > due) {
        heap_put(contracts, at, contracts->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (uint32_t child; (child = 2 * at + 1) < contracts->count; at = child) {
        if (child + 1 < contracts->count && heap_due(contracts, child + 1) < heap_due(contracts, child)) {
            child++;
        }
        if (heap_due(contracts, child) >= due) {
            break;
        }
        heap_put(contracts, at, contracts->heap[child]);
    }
    heap_put(contracts, at, slot);
}

static void set_due(struct contracts *contracts, struct contract *contract, int64_t due_raw_ns)
{
    if (contract->type == PTP_DELAY_RESP || due_raw_ns > contract->expires_raw_ns) {
        due_raw_ns = contract->expires_raw_ns;
    }
    contract->due_raw_ns = due_raw_ns;
    heap_settle(contracts, contract->heap_at);
}

struct contract *contracts_find(const struct contracts *contracts, const struct endpoint *client,
                                uint64_t identity, uint16_t port_number, uint8_t type)
{
    for (uint32_t i = *chain_of(contracts, client); i != CONTRACT_NONE; i = contracts->slot[i].next) {
        struct contract *contract = &contracts->slot[i];

        if (contract->identity == identity && contract->port_number == port_number &&
            contract->type == type && endpoint_same_host(&contract->client, client)) {
            return contract;
        }
    }
    return NULL;
}

/* Is there room for one more message flow to this host? `renewed` is left out of the sums. */
static bool within_limits(const struct contracts *contracts, const struct endpoint *client,
                          const struct contract *renewed, double rate)
{
    const struct contract_limits *limits = &contracts->limits;
    double total = contracts->messages_per_s - (renewed ? message_rate(renewed->log_period) : 0.0);
    double address = 0.0;
    uint32_t count = 0;

    for (uint32_t i = *chain_of(contracts, client); i != CONTRACT_NONE; i = contracts->slot[i].next) {
        const struct contract *contract = &contracts->slot[i];

        if (contract != renewed && endpoint_same_host(&contract->client, client)) {
            address += message_rate(contract->log_period);
            count++;
        }
    }
    return count < limits->contracts_per_address && (renewed || contracts->count < limits->contracts_max) &&
           (limits->messages_per_s_address == 0 || address + rate <= limits->messages_per_s_address) &&
           (limits->messages_per_s_total == 0 || total + rate <= limits->messages_per_s_total);
}

static struct contract *add(struct contracts *contracts, const struct endpoint *client)
{
    uint32_t slot = contracts->free != CONTRACT_NONE ? contracts->free : contracts->fresh++;
    struct contract *contract = &contracts->slot[slot];
    uint32_t *chain = chain_of(contracts, client);

    if (slot == contracts->free) {
        contracts->free = contract->next;
    }
    *contract = (struct contract){.client = *client, .next = *chain};
    *chain = slot;
    heap_put(contracts, contracts->count++, slot);
    return contract;
}

enum contract_answer contracts_request(struct contracts *contracts, const struct endpoint *client,
                                       const struct ptp_message *request, uint8_t type, int8_t log_period,
                                       uint32_t *duration_s, int64_t now_raw_ns)
{
    const struct contract_limits *limits = &contracts->limits;
    struct contract *contract;
    int64_t due_raw_ns = now_raw_ns;

    if (type != PTP_ANNOUNCE && type != PTP_SYNC && type != PTP_DELAY_RESP) {
        return CONTRACT_BAD_TYPE;
    }
    if (log_period < limits->log_period_min || log_period > limits->log_period_max) {
        return CONTRACT_BAD_PERIOD;
    }
    if (*duration_s == 0) {
        return CONTRACT_BAD_DURATION;
    }
    if (*duration_s > limits->duration_max_s) {
        *duration_s = limits->duration_max_s;
    }
    contract = contracts_find(contracts, client, request->identity, request->port_number, type);
    if (!within_limits(contracts, client, contract, message_rate(log_period))) {
        return CONTRACT_OVER_LIMIT;
    }
    if (contract == NULL) {
        contract = add(contracts, client);
        contract->identity = request->identity;
        contract->port_number = request->port_number;
        contract->type = type;
    } else {
        contracts->messages_per_s -= message_rate(contract->log_period);
        contract->client = *client; /* the port may have changed */
        due_raw_ns =
            contract->log_period == log_period ? contract->due_raw_ns : now_raw_ns + period_ns(log_period);
    }
    contracts->messages_per_s += message_rate(log_period);
    contract->log_period = log_period;
    contract->duration_s = *duration_s;
    contract->expires_raw_ns = now_raw_ns + *duration_s * NS_PER_S;
    set_due(contracts, contract, due_raw_ns);
    return CONTRACT_GRANTED;
}

struct contract *contracts_first(const struct contracts *contracts)
{
    return contracts->count > 0 ? &contracts->slot[contracts->heap[0]] : NULL;
}

void contracts_advance(struct contracts *contracts, struct contract *contract, int64_t now_raw_ns)
{
    int64_t due_raw_ns = contract->due_raw_ns + period_ns(contract->log_period);

    set_due(contracts, contract,
            due_raw_ns > now_raw_ns ? due_raw_ns : now_raw_ns + period_ns(contract->log_period));
}

void contracts_remove(struct contracts *contracts, struct contract *contract)
{
    uint32_t slot = (uint32_t)(contract - contracts->slot);
    uint32_t *link = chain_of(contracts, &contract->client);
    uint32_t at = contract->heap_at;

    while (*link != slot) {
        link = &contracts->slot[*link].next;
    }
    *link = contract->next;
    contracts->messages_per_s -= message_rate(contract->log_period);
    contracts->count--;
    if (at != contracts->count) {
        heap_put(contracts, at, contracts->heap[contracts->count]);
        heap_settle(contracts, at);
    }
    contract->next = contracts->free;
    contracts->free = slot;
}
