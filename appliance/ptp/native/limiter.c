#include "limiter.h"

#include <string.h>

#include "endpoint.h"

static struct limiter_rate rate(uint32_t per_s, uint32_t burst)
{
    struct limiter_rate rate = {0, 0};

    if (per_s > 0) {
        rate.interval_ns = 1000000000 / per_s;
        rate.burst_ns = rate.interval_ns * (burst > 0 ? burst : 1);
    }
    return rate;
}

void limiter_init(struct limiter *limiter, uint64_t seed, uint32_t prefix_per_s, uint32_t prefix_burst,
                  uint32_t total_per_s, uint32_t total_burst)
{
    memset(limiter, 0, sizeof(*limiter));
    limiter->seed = seed;
    limiter->per_prefix = rate(prefix_per_s, prefix_burst);
    limiter->total = rate(total_per_s, total_burst);
}

static bool take(struct limiter_rate rate, int64_t *full_at_ns, int64_t now_ns)
{
    int64_t full_at = *full_at_ns > now_ns ? *full_at_ns : now_ns;

    if (rate.interval_ns == 0) {
        return true;
    }
    if (full_at + rate.interval_ns - now_ns > rate.burst_ns) {
        return false;
    }
    *full_at_ns = full_at + rate.interval_ns;
    return true;
}

bool limiter_admits(struct limiter *limiter, uint64_t prefix, int64_t now_ns)
{
    struct limiter_bucket *set = limiter->bucket[mix64(prefix ^ limiter->seed) % LIMITER_SETS];
    struct limiter_bucket *found = NULL;
    struct limiter_bucket *oldest = set;

    for (int i = 0; i < LIMITER_WAYS; i++) {
        if (set[i].prefix == prefix) {
            found = &set[i];
            break;
        }
        if (set[i].full_at_ns < oldest->full_at_ns) {
            oldest = &set[i];
        }
    }
    if (found == NULL) {
        found = oldest;
        *found = (struct limiter_bucket){prefix, now_ns};
    }
    return take(limiter->per_prefix, &found->full_at_ns, now_ns) &&
           take(limiter->total, &limiter->total_full_at_ns, now_ns);
}
