/*
 * Request limits: one token bucket per source prefix and one for everybody.
 *
 * A bucket is a single instant, the time at which it will be full again (the generic cell rate algorithm), so
 * an idle bucket is the same as no bucket and forgetting it costs nothing. Memory is fixed.
 */
#ifndef PTP_LIMITER_H
#define PTP_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

enum { LIMITER_SETS = 1024, LIMITER_WAYS = 4 };

struct limiter_rate {
    int64_t interval_ns; /* per request; 0: unlimited */
    int64_t burst_ns;    /* how far ahead of an even flow a source may run */
};

struct limiter_bucket {
    uint64_t prefix;
    int64_t full_at_ns;
};

struct limiter {
    struct limiter_rate per_prefix;
    struct limiter_rate total;
    int64_t total_full_at_ns;
    uint64_t seed; /* so that nobody can choose prefixes that share a set */
    struct limiter_bucket bucket[LIMITER_SETS][LIMITER_WAYS];
};

/* Rates in requests per second, 0 for unlimited; a burst is that many requests at once. */
void limiter_init(struct limiter *limiter, uint64_t seed, uint32_t prefix_per_s, uint32_t prefix_burst,
                  uint32_t total_per_s, uint32_t total_burst);

bool limiter_admits(struct limiter *limiter, uint64_t prefix, int64_t now_ns);

#endif
