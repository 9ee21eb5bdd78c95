/*
 * The bound page without files: no reader sees half of a write, the interval's arithmetic, and what a host
 * that sleeps, or is slewed, does to it. Linked with --wrap=clock_gettime, so that the clocks can be moved.
 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "page_writer.h"

#define S ((int64_t)1000000000)
#define TAI ((int64_t)1790000037 * S)

int __real_clock_gettime(clockid_t clock, struct timespec *now);
static _Atomic int64_t slept_ns;  /* CLOCK_BOOTTIME alone goes on while the host sleeps */
static _Atomic int64_t slewed_ns; /* CLOCK_MONOTONIC and CLOCK_BOOTTIME are slewed alike */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);
    int64_t ns = now->tv_sec * S + now->tv_nsec;

    ns += clock == CLOCK_BOOTTIME ? slept_ns + slewed_ns : clock == CLOCK_MONOTONIC ? slewed_ns : 0;
    now->tv_sec = ns / S;
    now->tv_nsec = ns % S;
    return result;
}

static int64_t raw_ns(void)
{
    struct timespec now;

    __real_clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return now.tv_sec * S + now.tv_nsec;
}

static struct time_bound_data plain_data(void)
{
    struct time_bound_data data = {.p = 0.999,
                                   .epoch = 7,
                                   .utc_offset_s = 37,
                                   .utc_known = 1,
                                   .state = TIME_BOUND_LOCKED,
                                   .clock_class = 6};

    for (int i = 0; i < TIME_BOUND_PLANES; i++) {
        bool card = i == TIME_BOUND_CARD;

        data.plane[i] = (struct time_bound_line){.anchor_raw_ns = 100 * S,
                                                 .anchor_tai_ns = TAI,
                                                 .valid_until_raw_ns = 103 * S,
                                                 .rate_ppb = 20000.0,
                                                 .error_ns = 50.0,
                                                 .error_wide_ns = 70.0,
                                                 .growth_ns_per_s = 2.0,
                                                 .reading_ns = card ? 100.0 : 0.0,
                                                 .reading_growth_ns_per_s = card ? 200.0 : 0.0};
    }
    return data;
}

/* ------------------------------------------------------------------------------------------ arithmetic */

static void the_interval_grows_from_its_anchor(void)
{
    struct time_bound_data data = plain_data();
    struct time_bound b;

    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 100 * S, &b) == TIME_BOUND_OK);
    CHECK(b.earliest_tai_ns <= TAI - 50 && b.earliest_tai_ns >= TAI - 53);
    CHECK(b.latest_tai_ns >= TAI + 50 && b.latest_tai_ns <= TAI + 53);
    CHECK(b.p == 0.999 && b.state == TIME_BOUND_LOCKED && b.clock_class == 6 && b.epoch == 7);
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 102 * S, &b) == TIME_BOUND_OK);
    /* two seconds, 20 ppm faster, and two times 2 ns wider */
    CHECK(llabs((b.earliest_tai_ns + b.latest_tai_ns) / 2 - (TAI + 2 * S + 40000)) <= 1);
    CHECK(b.latest_tai_ns - b.earliest_tai_ns >= 108 && b.latest_tai_ns - b.earliest_tai_ns <= 112);
    CHECK(fabs(b.plane_error_ns - 54.0) < 1e-9 && b.valid_until_raw_ns == 103 * S && b.raw_ns == 102 * S);
    /* The card's clock: what is not known of its reading widens the interval, not its own error. */
    CHECK(time_bound_evaluate(&data, TIME_BOUND_CARD, true, 102 * S, &b) == TIME_BOUND_OK);
    CHECK(fabs(b.plane_error_ns - 74.0) < 1e-9 && b.p > 0.999999);
    CHECK(b.latest_tai_ns - b.earliest_tai_ns >= 2 * 574 && b.latest_tai_ns - b.earliest_tai_ns <= 2 * 576);
}

static void what_says_nothing_is_refused(void)
{
    struct time_bound_data data = plain_data();
    struct time_bound b = {.epoch = 99};

    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 103 * S, &b) == TIME_BOUND_OK);
    b.epoch = 99;
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 103 * S + 1, &b) == TIME_BOUND_STALE);
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 100 * S - 1, &b) == TIME_BOUND_OTHER_CLOCKS);
    CHECK(time_bound_evaluate(&data, TIME_BOUND_PLANES, false, 101 * S, &b) == TIME_BOUND_NO_PLANE);
    CHECK(time_bound_evaluate(&data, UINT32_MAX, false, 101 * S, &b) == TIME_BOUND_NO_PLANE);
    data.plane[TIME_BOUND_HOST].refusal = TIME_BOUND_DISRUPTED;
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 101 * S, &b) == TIME_BOUND_DISRUPTED);
    data.plane[TIME_BOUND_HOST].refusal = UINT64_MAX;
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 101 * S, &b) == TIME_BOUND_NONSENSE);
    data.ended = 1;
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 101 * S, &b) == TIME_BOUND_ENDED);
    CHECK(b.epoch == 99); /* nothing was written to where an interval would have been */
}

static void nonsense_is_refused(void)
{
    const double bad[] = {NAN, INFINITY, -INFINITY, -1.0, 1e300};
    struct time_bound_data data;
    struct time_bound b;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (int field = 0; field < 5; field++) {
            struct time_bound_line *line = &data.plane[TIME_BOUND_HOST];

            data = plain_data();
            *(field == 0   ? &line->error_ns
              : field == 1 ? &line->error_wide_ns
              : field == 2 ? &line->growth_ns_per_s
              : field == 3 ? &line->reading_ns
                           : &line->reading_growth_ns_per_s) = bad[i];
            CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 101 * S, &b) == TIME_BOUND_NONSENSE);
        }
    }
    data = plain_data();
    data.plane[TIME_BOUND_HOST].valid_until_raw_ns = 111 * S; /* nobody promises for so long */
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 101 * S, &b) == TIME_BOUND_NONSENSE);
    data = plain_data();
    data.plane[TIME_BOUND_HOST].anchor_raw_ns = INT64_MIN;
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 101 * S, &b) == TIME_BOUND_NONSENSE);
    data = plain_data();
    data.state = TIME_BOUND_STATES;
    CHECK(time_bound_evaluate(&data, TIME_BOUND_HOST, false, 101 * S, &b) == TIME_BOUND_NONSENSE);
}

static void order_is_told_only_where_intervals_do_not_meet(void)
{
    struct time_bound a = {.earliest_tai_ns = TAI - 50, .latest_tai_ns = TAI + 50};
    struct time_bound meets = {.earliest_tai_ns = TAI + 50, .latest_tai_ns = TAI + 150};
    struct time_bound later = {.earliest_tai_ns = TAI + 51, .latest_tai_ns = TAI + 151};

    CHECK(time_bound_is_before(&a, &later) && !time_bound_is_before(&later, &a));
    CHECK(!time_bound_is_before(&a, &meets) && !time_bound_is_before(&meets, &a));
}

static void everything_has_words(void)
{
    for (int i = 0; i < TIME_BOUND_REFUSALS; i++) {
        CHECK(strlen(time_bound_reason((enum time_bound_refusal)i)) > 5);
    }
    CHECK(strcmp(time_bound_reason(TIME_BOUND_REFUSALS), "unknown refusal") == 0);
    CHECK(strcmp(time_bound_state_name(TIME_BOUND_HOLDOVER), "holdover") == 0);
    CHECK(strcmp(time_bound_state_name(TIME_BOUND_STATES), "unknown") == 0);
}

/* ------------------------------------------------------------------------------------------ UTC */

static void leap_seconds_are_said(void)
{
    const int64_t midnight_s = 1798761600; /* 2027-01-01 00:00:00 UTC */
    struct time_bound b = {.utc_known = 1, .utc_offset_s = 37};
    struct time_bound_utc u;

    b.leap_change_s = 1;
    b.leap_at_tai_ns = (midnight_s + 38) * S;
    b.earliest_tai_ns = (midnight_s + 37) * S - 1; /* 23:59:59.999999999 */
    b.latest_tai_ns = (midnight_s + 37) * S;       /* 23:59:60.000000000 */
    CHECK(time_bound_utc(&b, &u) == TIME_BOUND_OK);
    CHECK(u.earliest_ns == midnight_s * S - 1 && !u.earliest_in_leap);
    CHECK(u.latest_ns == (midnight_s - 1) * S && u.latest_in_leap);
    b.earliest_tai_ns = (midnight_s + 38) * S - 1; /* 23:59:60.999999999 */
    b.latest_tai_ns = (midnight_s + 38) * S;       /* 00:00:00 */
    CHECK(time_bound_utc(&b, &u) == TIME_BOUND_OK);
    CHECK(u.earliest_ns == midnight_s * S - 1 && u.earliest_in_leap);
    CHECK(u.latest_ns == midnight_s * S && !u.latest_in_leap);

    b.leap_change_s = -1;
    b.leap_at_tai_ns = (midnight_s + 36) * S;
    b.earliest_tai_ns = (midnight_s + 36) * S - 1; /* 23:59:58.999999999, and 23:59:59 is left out */
    b.latest_tai_ns = (midnight_s + 36) * S;       /* 00:00:00 */
    CHECK(time_bound_utc(&b, &u) == TIME_BOUND_OK);
    CHECK(u.earliest_ns == (midnight_s - 1) * S - 1 && !u.earliest_in_leap);
    CHECK(u.latest_ns == midnight_s * S && !u.latest_in_leap);

    b.utc_known = 0;
    CHECK(time_bound_utc(&b, &u) == TIME_BOUND_UTC_UNKNOWN);
}

/* ------------------------------------------------------------------------------------------ sleep */

static struct time_bound_page page;
static struct time_bound_reader reader = {.page = &page, .path = "/nonexistent/page"};

static struct time_bound_data data_of_now(void)
{
    struct time_bound_data data = plain_data();

    for (int i = 0; i < TIME_BOUND_PLANES; i++) {
        data.plane[i].anchor_raw_ns = raw_ns();
        data.plane[i].valid_until_raw_ns = data.plane[i].anchor_raw_ns + 10 * S;
    }
    return data;
}

static void sleep_disrupts_and_slewing_does_not(void)
{
    struct time_bound_data data;
    struct time_bound b;

    bound_page_begin(&page, 1, 2);
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_UNKNOWN);
    data = data_of_now();
    CHECK(!bound_page_write(&page, &data));
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_OK && b.generation == 4);

    slewed_ns = 400 * 1000000; /* by more than any discipline of the host does between two writes */
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_OK);
    slewed_ns = -S;
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_OK);

    slept_ns = S / 10;
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_SUSPENDED);
    data = data_of_now();
    CHECK(bound_page_write(&page, &data)); /* its line may have been drawn before */
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_SUSPENDED);
    data = data_of_now();
    CHECK(!bound_page_write(&page, &data));
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_OK);
    bound_page_end(&page);
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_ENDED);
}

/* A writer that died in the middle of a write: nothing of it is used, and nobody waits for it. */
static void half_a_write_is_refused(void)
{
    struct time_bound_data data = data_of_now();
    struct time_bound b;

    bound_page_write(&page, &data);
    atomic_fetch_add(&page.generation, 1);
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_TORN);
    bound_page_write(&page, &data); /* its successor is not confused */
    CHECK(time_bound_now(&reader, TIME_BOUND_HOST, false, &b) == TIME_BOUND_OK);
}

/* ------------------------------------------------------------------------------------------ threads */

enum { READERS = 2, SEEN = 300 };
static _Atomic bool written;
static _Atomic uint32_t seen[READERS]; /* different generations */

/* Every word of write number n is derived from n, so that a mixture shows; the writer fills in two itself. */
static void fill(struct time_bound_data *data, uint64_t n)
{
    uint64_t words[TIME_BOUND_WORDS];

    for (size_t i = 0; i < TIME_BOUND_WORDS; i++) {
        words[i] = n * 1000 + i;
    }
    memcpy(data, words, sizeof(words));
}

static void *read_pages(void *mine)
{
    struct time_bound_data data, expected;
    uint64_t generation, last = 0;

    while (!atomic_load(&written)) {
        uint64_t n;

        if (!time_bound_copy(&page, &data, &generation)) {
            continue;
        }
        memcpy(&n, (const char *)&data + 16, sizeof(n));
        CHECK(generation % 2 == 0 && generation >= last); /* never back in time */
        atomic_fetch_add((_Atomic uint32_t *)mine, generation > last);
        last = generation;
        fill(&expected, (n - 2) / 1000);
        CHECK(memcmp((const char *)&data + 16, (const char *)&expected + 16, sizeof(data) - 16) == 0);
    }
    return NULL;
}

static void reads_are_whole(void)
{
    pthread_t reader_thread[READERS];
    struct time_bound_data data;

    slept_ns = slewed_ns = 0;
    memset(&page, 0, sizeof(page));
    fill(&data, 1);
    bound_page_write(&page, &data); /* after a page of zeros it may look like a sleep; the next does not */
    fill(&data, 1);
    bound_page_write(&page, &data);
    for (int i = 0; i < READERS; i++) {
        CHECK(pthread_create(&reader_thread[i], NULL, read_pages, &seen[i]) == 0);
    }
    for (uint64_t n = 2; seen[0] < SEEN || seen[1] < SEEN; n++) {
        fill(&data, n);
        bound_page_write(&page, &data);
        if (n % 4 == 0) {
            usleep(1);
        }
    }
    atomic_store(&written, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(reader_thread[i], NULL);
    }
}

int main(void)
{
    the_interval_grows_from_its_anchor();
    what_says_nothing_is_refused();
    nonsense_is_refused();
    order_is_told_only_where_intervals_do_not_meet();
    everything_has_words();
    leap_seconds_are_said();
    sleep_disrupts_and_slewing_does_not();
    half_a_write_is_refused();
    reads_are_whole();
    return 0;
}
