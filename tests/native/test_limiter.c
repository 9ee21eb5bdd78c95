/* Token buckets: the even flow passes, the burst passes once, prefixes do not disturb one another. */
#include "check.h"
#include "limiter.h"

#define S 1000000000LL

static struct limiter limiter;

static int admitted(uint64_t prefix, int64_t from_ns, int64_t spacing_ns, int requests)
{
    int passed = 0;

    for (int i = 0; i < requests; i++) {
        passed += limiter_admits(&limiter, prefix, from_ns + i * spacing_ns);
    }
    return passed;
}

int main(void)
{
    int passed;

    limiter_init(&limiter, 7, 100, 20, 0, 1);
    CHECK(admitted(1, 10 * S, 0, 1000) == 20);       /* a burst at one instant */
    CHECK(admitted(2, 10 * S, 0, 1000) == 20);       /* another prefix has its own */
    CHECK(admitted(1, 11 * S, S / 100, 500) == 500); /* the even flow */
    passed = admitted(1, 30 * S, S / 200, 1000);     /* twice as fast: half of it, and the burst */
    CHECK(passed >= 500 && passed <= 521);
    CHECK(admitted(1, 60 * S, 0, 1000) == 20);

    limiter_init(&limiter, 7, 0, 1, 1000, 50); /* only the total */
    for (uint64_t prefix = 0; prefix < 50; prefix++) {
        CHECK(limiter_admits(&limiter, prefix, S));
    }
    CHECK(!limiter_admits(&limiter, 1000, S));
    CHECK(limiter_admits(&limiter, 1000, 2 * S));

    limiter_init(&limiter, 7, 0, 1, 0, 1); /* nothing */
    CHECK(admitted(1, S, 0, 100000) == 100000);

    limiter_init(&limiter, 7, 10, 10, 0, 1); /* more prefixes than buckets: still bounded, never stuck */
    for (uint64_t prefix = 0; prefix < 100000; prefix++) {
        CHECK(limiter_admits(&limiter, prefix, 5 * S));
    }
    return 0;
}
