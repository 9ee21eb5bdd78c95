#define _GNU_SOURCE
#include "host_clock.h"

#include <stdlib.h>
#include <time.h>

enum { GOOD_BRACKET_NS = 400, BRACKET_TRIES = 4, FUTURE_SLACK_NS = 2000 };

static int64_t read_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t host_raw_ns(void)
{
    return read_ns(CLOCK_MONOTONIC_RAW);
}

struct host_reading host_clock_take_reading(void)
{
    struct host_reading best = {.width_ns = INT64_MAX};

    /* An interrupt between the reads widens the bracket; the next try is almost always clean. */
    for (int i = 0; i < BRACKET_TRIES && best.width_ns > GOOD_BRACKET_NS; i++) {
        int64_t before_ns = read_ns(CLOCK_MONOTONIC_RAW);
        int64_t real_ns = read_ns(CLOCK_REALTIME);
        int64_t width_ns = read_ns(CLOCK_MONOTONIC_RAW) - before_ns;

        if (width_ns < best.width_ns) {
            best = (struct host_reading){before_ns + width_ns / 2, real_ns, width_ns};
        }
    }
    return best;
}

static void keep(struct host_clock *clock, struct host_reading reading)
{
    clock->newest = (clock->newest + 1) % HOST_CLOCK_KEPT;
    clock->kept[clock->newest] = reading;
    if (clock->count < HOST_CLOCK_KEPT) {
        clock->count++;
    }
}

bool host_clock_add(struct host_clock *clock, struct host_reading reading)
{
    int64_t elapsed_ns = reading.raw_ns - clock->last.raw_ns;
    int64_t moved_ns = (reading.real_ns - clock->last.real_ns) - elapsed_ns;
    int64_t allowed_ns = HOST_CLOCK_STEP_FLOOR_NS + (reading.width_ns + clock->last.width_ns) / 2 +
                         (int64_t)((double)elapsed_ns * HOST_CLOCK_SLEW_PPM * 1e-6);
    bool first = clock->count == 0;
    bool steady = first || (moved_ns <= allowed_ns && moved_ns >= -allowed_ns);

    if (!steady) {
        clock->count = 0;
    }
    clock->last = reading;
    if (clock->count == 0 || reading.raw_ns - clock->kept[clock->newest].raw_ns >= HOST_CLOCK_SPACING_NS) {
        keep(clock, reading);
    }
    return steady;
}

bool host_clock_translate(const struct host_clock *clock, int64_t real_ns, int64_t *raw_ns)
{
    struct host_reading after = clock->last;

    if (real_ns > after.real_ns + after.width_ns + FUTURE_SLACK_NS) {
        return false;
    }
    for (uint32_t i = 0; i < clock->count; i++) {
        struct host_reading before = clock->kept[(clock->newest + HOST_CLOCK_KEPT - i) % HOST_CLOCK_KEPT];

        if (before.real_ns <= real_ns && after.real_ns > before.real_ns) {
            int64_t since_ns = real_ns - before.real_ns;
            int64_t slew_ns = (after.raw_ns - before.raw_ns) - (after.real_ns - before.real_ns);

            *raw_ns =
                before.raw_ns + since_ns +
                (int64_t)((double)slew_ns * (double)since_ns / (double)(after.real_ns - before.real_ns));
            return true;
        }
        if (before.raw_ns < after.raw_ns) {
            after = before;
        }
    }
    return false;
}
