/*
 * The clock page: what Python knows about time, for C threads that answer packets without asking Python.
 *
 * One writer (the publisher; in Python the GIL makes it one), any number of readers. The page is an array of
 * atomic words under a generation count that is odd while the writer is busy: a reader never waits for the
 * writer, and one that met it keeps its previous copy. Claims expire: every map says until when it holds.
 */
#ifndef CLOCK_PAGE_H
#define CLOCK_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef __int128 clock_wide;

/* A linear map from one clock (CLOCK_MONOTONIC_RAW, or a NIC's PHC) to TAI as the card tells it. */
struct clock_map {
    int64_t anchor_ns;          /* a reading of the source clock ... */
    int64_t anchor_tai_ns;      /* ... and TAI at that instant */
    int64_t rate_2p64;          /* TAI ns per source ns, minus 1, as a signed fraction of 2^64 */
    int64_t valid_until_raw_ns; /* CLOCK_MONOTONIC_RAW after which the map says nothing */
    int64_t error_ns;           /* bound on the map's own error; informative, not served */
    int32_t valid;              /* 0: never published, or withdrawn */
    int32_t phc_index;          /* the PHC map only: which /dev/ptpN it is for */
};

/* What an Announce message says (IEEE 1588-2019, 13.5). */
struct clock_announce {
    uint64_t grandmaster_identity;
    uint32_t epoch; /* counts the steps of the served clock */
    uint16_t offset_scaled_log_variance;
    int16_t current_utc_offset_s;
    uint16_t steps_removed;
    uint8_t clock_class;
    uint8_t clock_accuracy;
    uint8_t
        flags; /* low byte of flagField: leap61 1, leap59 2, UTC valid 4, PTP timescale 8, traceable 16, 32 */
    uint8_t time_source;
    uint8_t priority1;
    uint8_t priority2;
    uint8_t valid;
    uint8_t flags_after;        /* from leap_tai_ns on: flags without the leap flag ... */
    int16_t utc_offset_after_s; /* ... and the new offset */
    uint8_t reserved[4];
    int64_t leap_tai_ns; /* midnight of UTC after the leap second that is announced; 0: none is */
};

struct clock_data {
    struct clock_map host; /* CLOCK_MONOTONIC_RAW -> TAI */
    struct clock_map phc;  /* the NIC's PHC -> TAI */
    struct clock_announce announce;
    uint64_t serving; /* 0: answer nothing, refuse new contracts */
};

enum { CLOCK_PAGE_WORDS = sizeof(struct clock_data) / sizeof(uint64_t), CLOCK_PAGE_TRIES = 16 };
_Static_assert(sizeof(struct clock_data) % sizeof(uint64_t) == 0, "the page is copied in whole words");

struct clock_page {
    _Atomic uint64_t generation; /* odd: being written */
    _Atomic uint64_t word[CLOCK_PAGE_WORDS];
};

/* Only the one writer may call this. The release stores keep the odd generation ahead of every new word. */
static inline void clock_page_write(struct clock_page *page, const struct clock_data *data)
{
    uint64_t words[CLOCK_PAGE_WORDS];
    uint64_t generation = atomic_load_explicit(&page->generation, memory_order_relaxed);

    memcpy(words, data, sizeof(words));
    atomic_store_explicit(&page->generation, generation + 1, memory_order_relaxed);
    for (size_t i = 0; i < CLOCK_PAGE_WORDS; i++) {
        atomic_store_explicit(&page->word[i], words[i], memory_order_release);
    }
    atomic_store_explicit(&page->generation, generation + 2, memory_order_release);
}

/*
 * Bring `data` up to date. `generation` is the reader's memory of what it holds (start with UINT64_MAX).
 * Returns false when the writer was busy each time: the caller keeps its previous copy, which expires by
 * itself. Acquire loads, rather than a fence before the second look at the generation, so that TSan can
 * follow.
 */
static inline bool clock_page_read(const struct clock_page *page, struct clock_data *data,
                                   uint64_t *generation)
{
    uint64_t words[CLOCK_PAGE_WORDS];

    for (int i = 0; i < CLOCK_PAGE_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&page->generation, memory_order_acquire);

        if (before == *generation) {
            return true;
        }
        if (before & 1U) {
            continue;
        }
        for (size_t j = 0; j < CLOCK_PAGE_WORDS; j++) {
            words[j] = atomic_load_explicit(&page->word[j], memory_order_acquire);
        }
        if (atomic_load_explicit(&page->generation, memory_order_relaxed) == before) {
            memcpy(data, words, sizeof(words));
            *generation = before;
            return true;
        }
    }
    return false;
}

/* TAI at `source_ns` of the map's clock. Says nothing about validity. */
static inline int64_t clock_map_tai_ns(const struct clock_map *map, int64_t source_ns)
{
    clock_wide elapsed = (clock_wide)source_ns - map->anchor_ns;
    clock_wide gained = (elapsed * map->rate_2p64 + ((clock_wide)1 << 63)) >> 64; /* to the nearest */

    return (int64_t)(map->anchor_tai_ns + elapsed + gained);
}

static inline bool clock_map_holds(const struct clock_map *map, int64_t now_raw_ns)
{
    return map->valid && now_raw_ns <= map->valid_until_raw_ns;
}

#endif
