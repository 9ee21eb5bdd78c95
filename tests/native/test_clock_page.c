/* The clock page: no reader ever sees half of a write, and the map's arithmetic. Run under TSan. */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "clock_page.h"

enum { READERS = 3, READS = 500, WRITES = 20000 };

static struct clock_page page;
static _Atomic bool written;
static _Atomic uint32_t reads[READERS]; /* different pages seen */

/* Every word of write number n is derived from n, so that a mixture shows. */
static void fill(struct clock_data *data, uint64_t n)
{
    uint64_t words[CLOCK_PAGE_WORDS];

    for (size_t i = 0; i < CLOCK_PAGE_WORDS; i++) {
        words[i] = n * 1000 + i;
    }
    memcpy(data, words, sizeof(words));
}

static void *read_pages(void *mine)
{
    uint64_t generation = UINT64_MAX;
    uint64_t seen = 0;
    struct clock_data data;
    struct clock_data expected;

    while (!atomic_load_explicit(&written, memory_order_acquire)) {
        uint64_t first;

        if (!clock_page_read(&page, &data, &generation)) {
            continue;
        }
        memcpy(&first, &data, sizeof(first));
        CHECK(first / 1000 >= seen); /* never back in time */
        if (first / 1000 > seen) {
            atomic_fetch_add((_Atomic uint32_t *)mine, 1);
        }
        seen = first / 1000;
        fill(&expected, seen);
        CHECK(memcmp(&data, &expected, sizeof(data)) == 0);
    }
    return NULL;
}

static bool enough_read(void)
{
    for (int i = 0; i < READERS; i++) {
        if (atomic_load(&reads[i]) < READS) {
            return false;
        }
    }
    return true;
}

static void reads_are_whole(void)
{
    pthread_t reader[READERS];
    struct clock_data data;

    fill(&data, 1);
    clock_page_write(&page, &data);
    for (int i = 0; i < READERS; i++) {
        CHECK(pthread_create(&reader[i], NULL, read_pages, &reads[i]) == 0);
    }
    for (uint64_t n = 2; n <= WRITES || !enough_read(); n++) {
        fill(&data, n);
        clock_page_write(&page, &data);
        if (n % 4 == 0) {
            usleep(1); /* no reader gets in between writes that follow at once, and none do in the product */
        }
    }
    atomic_store_explicit(&written, true, memory_order_release);
    for (int i = 0; i < READERS; i++) {
        pthread_join(reader[i], NULL);
    }
}

static void a_busy_writer_leaves_the_copy_alone(void)
{
    struct clock_data copy = {.serving = 77};
    uint64_t generation = 4;

    atomic_store(&page.generation, 7); /* odd: a write under way */
    CHECK(!clock_page_read(&page, &copy, &generation));
    CHECK(copy.serving == 77 && generation == 4);
}

static void maps_are_exact(void)
{
    struct clock_map map = {.anchor_ns = 1000000000, .anchor_tai_ns = 1790000037000000000, .valid = 1};

    map.valid_until_raw_ns = 5000000000;
    map.rate_2p64 = (int64_t)(20e-6 * 18446744073709551616.0);
    CHECK(clock_map_tai_ns(&map, 1000000000) == 1790000037000000000);
    CHECK(clock_map_tai_ns(&map, 2000000000) == 1790000037000000000 + 1000020000);
    CHECK(clock_map_tai_ns(&map, 0) == 1790000037000000000 - 1000020000); /* before the anchor as well */
    map.rate_2p64 = -map.rate_2p64;
    CHECK(clock_map_tai_ns(&map, 101000000000) == 1790000037000000000 + 99998000000);
    CHECK(clock_map_holds(&map, 5000000000) && !clock_map_holds(&map, 5000000001));
    map.valid = 0;
    CHECK(!clock_map_holds(&map, 0));
}

int main(void)
{
    maps_are_exact();
    reads_are_whole();
    a_busy_writer_leaves_the_copy_alone();
    return 0;
}
