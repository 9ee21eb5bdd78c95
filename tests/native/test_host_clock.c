/* Software stamps: slews are followed, steps are noticed, what cannot be placed is refused. */
#include "check.h"
#include "host_clock.h"

#define MS 1000000LL
#define REAL_AT_ZERO 1790000000000000000LL

static int64_t real_rate_ppm; /* CLOCK_REALTIME against CLOCK_MONOTONIC_RAW */
static int64_t real_step_ns;

static int64_t real_ns(int64_t raw_ns)
{
    return REAL_AT_ZERO + raw_ns + raw_ns / 1000 * real_rate_ppm / 1000 + real_step_ns;
}

static struct host_reading reading(int64_t raw_ns)
{
    return (struct host_reading){raw_ns, real_ns(raw_ns), 80};
}

static struct host_clock readings_every(int64_t spacing_ns, int count)
{
    struct host_clock clock = {0};

    for (int i = 0; i < count; i++) {
        CHECK(host_clock_add(&clock, reading(i * spacing_ns)));
    }
    return clock;
}

static void slews_are_followed(void)
{
    static const int64_t rates_ppm[] = {0, 100, 500, -500, 1000, -1000};

    for (size_t i = 0; i < sizeof(rates_ppm) / sizeof(rates_ppm[0]); i++) {
        struct host_clock clock;

        real_rate_ppm = rates_ppm[i];
        clock = readings_every(1 * MS, 200);
        for (int64_t at = 0; at <= 199 * MS; at += 333333) {
            int64_t raw_ns = 0;

            CHECK(host_clock_translate(&clock, real_ns(at), &raw_ns));
            CHECK(raw_ns - at <= 2 && raw_ns - at >= -2);
        }
    }
    real_rate_ppm = 0;
}

static void steps_are_noticed(void)
{
    static const int64_t steps_ns[] = {30000, -30000, 1000000, -1000000, 37000000000, -37000000000};

    for (size_t i = 0; i < sizeof(steps_ns) / sizeof(steps_ns[0]); i++) {
        struct host_clock clock = readings_every(20 * MS, 10);
        int64_t before_ns = real_ns(185 * MS);
        int64_t raw_ns;

        real_step_ns = steps_ns[i];
        CHECK(!host_clock_add(&clock, reading(200 * MS)));
        CHECK(!host_clock_translate(&clock, before_ns, &raw_ns)); /* history is forgotten */
        CHECK(host_clock_add(&clock, reading(201 * MS)));         /* and begins anew */
        CHECK(host_clock_translate(&clock, real_ns(200 * MS + 500000), &raw_ns));
        CHECK(raw_ns == 200 * MS + 500000);
        real_step_ns = 0;
    }
}

static void the_largest_slew_is_no_step(void)
{
    struct host_clock clock;

    real_rate_ppm = 1000;
    clock = readings_every(20 * MS, 50);
    CHECK(clock.count == HOST_CLOCK_KEPT);
    real_rate_ppm = 0;
}

static void what_is_not_covered_is_refused(void)
{
    struct host_clock clock = readings_every(20 * MS, 100);
    int64_t raw_ns;

    CHECK(!host_clock_translate(&clock, real_ns(100 * 20 * MS), &raw_ns)); /* after the last look */
    CHECK(!host_clock_translate(&clock, real_ns(0), &raw_ns));             /* older than the history */
    CHECK(host_clock_translate(&clock, real_ns(99 * 20 * MS - 300 * MS), &raw_ns));
}

static void the_real_clocks_agree(void)
{
    struct host_clock clock = {0};

    for (int i = 0; i < 1000; i++) {
        struct host_reading now = host_clock_take_reading();

        CHECK(now.width_ns >= 0);
        host_clock_add(&clock, now);
    }
    CHECK(clock.count > 0 && clock.last.raw_ns <= host_raw_ns());
}

int main(void)
{
    slews_are_followed();
    steps_are_noticed();
    the_largest_slew_is_no_step();
    what_is_not_covered_is_refused();
    the_real_clocks_agree();
    return 0;
}
