#define _GNU_SOURCE
#include "page_writer.h"

#include <string.h>
#include <time.h>

enum { READINGS = 3, SLEEP_NS = 1000000 };

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* CLOCK_BOOTTIME minus another clock, from the reading that was interrupted least. */
static int64_t boot_minus_ns(clockid_t other)
{
    int64_t best_ns = 0, narrowest_ns = INT64_MAX;

    for (int i = 0; i < READINGS; i++) {
        int64_t before_ns = clock_ns(other);
        int64_t boot_ns = clock_ns(CLOCK_BOOTTIME);
        int64_t width_ns = clock_ns(other) - before_ns;

        if (width_ns < narrowest_ns) {
            narrowest_ns = width_ns;
            best_ns = boot_ns - before_ns - width_ns / 2;
        }
    }
    return best_ns;
}

/* Release stores keep the odd generation ahead of every new word, and every word ahead of the even one. */
static void publish(struct time_bound_page *page, const struct time_bound_data *data)
{
    uint64_t words[TIME_BOUND_WORDS];
    uint64_t generation = atomic_load_explicit(&page->generation, memory_order_relaxed) & ~(uint64_t)1;

    memcpy(words, data, sizeof(words));
    atomic_store_explicit(&page->generation, generation + 1, memory_order_relaxed);
    for (size_t i = 0; i < TIME_BOUND_WORDS; i++) {
        atomic_store_explicit(&page->word[i], words[i], memory_order_release);
    }
    atomic_store_explicit(&page->generation, generation + 2, memory_order_release);
}

/* What was written last, whole or not; nobody but the writer may ask. */
static struct time_bound_data last_written(const struct time_bound_page *page)
{
    struct time_bound_data data;
    uint64_t words[TIME_BOUND_WORDS];

    for (size_t i = 0; i < TIME_BOUND_WORDS; i++) {
        words[i] = atomic_load_explicit(&page->word[i], memory_order_relaxed);
    }
    memcpy(&data, words, sizeof(data));
    return data;
}

void bound_page_begin(struct time_bound_page *page, uint32_t writer_pid, uint64_t writer_start)
{
    struct time_bound_data data = {0};

    memcpy(page->magic, TIME_BOUND_MAGIC, sizeof(page->magic));
    page->layout = TIME_BOUND_LAYOUT;
    page->size = sizeof(*page);
    time_bound_whose_clocks(page->boot_id, &page->time_namespace);
    page->writer_pid = writer_pid;
    page->writer_start = writer_start;
    for (int i = 0; i < TIME_BOUND_PLANES; i++) {
        data.plane[i].refusal = i <= TIME_BOUND_HOST ? TIME_BOUND_UNKNOWN : TIME_BOUND_NO_PLANE;
    }
    data.boot_minus_raw_ns = boot_minus_ns(CLOCK_MONOTONIC_RAW);
    data.boot_minus_mono_ns = boot_minus_ns(CLOCK_MONOTONIC);
    publish(page, &data);
}

bool bound_page_write(struct time_bound_page *page, struct time_bound_data *data)
{
    int64_t slept_ns;

    data->boot_minus_raw_ns = boot_minus_ns(CLOCK_MONOTONIC_RAW);
    data->boot_minus_mono_ns = boot_minus_ns(CLOCK_MONOTONIC);
    slept_ns = data->boot_minus_mono_ns - last_written(page).boot_minus_mono_ns;
    if (slept_ns > SLEEP_NS) {
        for (int i = 0; i <= TIME_BOUND_HOST; i++) {
            data->plane[i].refusal = TIME_BOUND_SUSPENDED;
        }
    }
    publish(page, data);
    return slept_ns > SLEEP_NS;
}

void bound_page_end(struct time_bound_page *page)
{
    struct time_bound_data data = last_written(page);

    data.ended = 1;
    publish(page, &data);
}
