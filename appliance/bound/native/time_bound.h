/*
 * Copyright the Time Card toolkit authors.
 *
 * Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in
 * compliance with the License. You may obtain a copy of the License at
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software distributed under the License is
 * distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and limitations under the License.
 *
 * ---
 *
 * TAI as an interval that contains it, read from the page that the time appliance keeps in shared memory.
 * This file and time_bound.c are all a program needs: C11, Linux, no library, and no system call while all is
 * well.
 *
 *     struct time_bound_reader reader;
 *     struct time_bound now;
 *
 *     time_bound_open(&reader, NULL);
 *     if (time_bound_now(&reader, TIME_BOUND_HOST, false, &now) == TIME_BOUND_OK) {
 *         ... TAI is between now.earliest_tai_ns and now.latest_tai_ns ...
 *     }
 *
 * There is either an interval or a reason why there is none, never a number to be careful with. A reader
 * belongs to one thread at a time. Instants are nanoseconds since 1970-01-01 00:00:00 TAI, as a PTP clock's.
 */
#ifndef TIME_BOUND_H
#define TIME_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TIME_BOUND_DEFAULT_PATH "/run/time-appliance/bound"

/* Where a clock is read. Others are reserved for PTP ports. */
enum time_bound_plane {
    TIME_BOUND_CARD = 0, /* the card's clock: its PHC and its connectors */
    TIME_BOUND_HOST = 1, /* the host: CLOCK_MONOTONIC_RAW through the daemon's comparison with the card */
};

enum time_bound_refusal {
    TIME_BOUND_OK = 0,
    TIME_BOUND_NO_PAGE,      /* no file there, or no right to read it */
    TIME_BOUND_FOREIGN,      /* the file is not a bound page */
    TIME_BOUND_VERSION,      /* a page of another version of the layout */
    TIME_BOUND_OTHER_CLOCKS, /* written on another boot, or in another time namespace */
    TIME_BOUND_TORN,         /* every look met a write: its writer died in the middle of one */
    TIME_BOUND_ENDED,        /* the daemon was stopped */
    TIME_BOUND_STALE,        /* not renewed in time: the daemon is dead or stalled */
    TIME_BOUND_SUSPENDED,    /* the host slept since the page was written */
    TIME_BOUND_DISRUPTED,    /* a clock was stepped or lost, and has not been looked at since */
    TIME_BOUND_UNKNOWN,      /* the daemon claims nothing in its present state */
    TIME_BOUND_NO_PLANE,     /* the page has no such reference plane */
    TIME_BOUND_NONSENSE,     /* the page holds what no daemon writes */
    TIME_BOUND_UTC_UNKNOWN,  /* TAI is known, but not how far UTC is from it */
    TIME_BOUND_REFUSALS
};

enum time_bound_state {
    TIME_BOUND_FREE_RUN,
    TIME_BOUND_ACQUIRING,
    TIME_BOUND_LOCKED,
    TIME_BOUND_HOLDOVER,
    TIME_BOUND_RECOVERING,
    TIME_BOUND_HOLDOVER_EXPIRED,
    TIME_BOUND_STATES
};

/* True at CLOCK_MONOTONIC_RAW `raw_ns`, which is during the call that gave it. */
struct time_bound {
    int64_t earliest_tai_ns; /* TAI is not before this ... */
    int64_t latest_tai_ns;   /* ... and not after this, with probability `p` */
    int64_t raw_ns;
    int64_t valid_until_raw_ns; /* CLOCK_MONOTONIC_RAW at which the page expires unless renewed */
    int64_t leap_at_tai_ns;     /* 00:00:00 UTC after an announced leap second; 0: none is announced */
    double plane_error_ns;      /* |the plane's clock - TAI| now: what to put around a stamp of that clock */
    double growth_ns_per_s;     /* how the interval's half width grows until the page is renewed */
    double p;
    uint64_t generation;  /* of the page; even, and another one after every write */
    uint32_t epoch;       /* counts the steps of the served clock */
    int32_t utc_offset_s; /* TAI - UTC until `leap_at_tai_ns`; says nothing unless `utc_known` */
    int8_t leap_change_s; /* +1, -1, or 0: none is announced */
    uint8_t utc_known;    /* 1 or 0 */
    uint8_t state;        /* enum time_bound_state */
    uint8_t clock_class;  /* as announced by PTP (IEEE 1588-2019, 7.6.2.5) */
};

/*
 * POSIX time: ns since 1970-01-01 00:00:00 UTC without leap seconds. An inserted second repeats the numbers
 * of the second before it, as in CLOCK_REALTIME, and is marked; a removed one is skipped. Numbers of UTC do
 * not order events across a leap second: compare TAI.
 */
struct time_bound_utc {
    int64_t earliest_ns;
    int64_t latest_ns;
    uint8_t earliest_in_leap; /* 1: within an inserted second, 23:59:60 */
    uint8_t latest_in_leap;
};

enum { TIME_BOUND_PATH_SIZE = 256 };

struct time_bound_page;

/* For time_bound.c. */
struct time_bound_reader {
    const struct time_bound_page *page;
    uint64_t device;
    uint64_t inode;
    char path[TIME_BOUND_PATH_SIZE];
};

/*
 * Begin to read the page at `path` (NULL: TIME_BOUND_DEFAULT_PATH). The reader may be used whatever this
 * returns: it looks again while there is no page to read, and follows a restarted daemon to its new one.
 */
enum time_bound_refusal time_bound_open(struct time_bound_reader *reader, const char *path);

void time_bound_close(struct time_bound_reader *reader);

/*
 * TAI now. `wide` asks for five sigma and all biases instead of the configured probability: take it to order
 * events. Anything but TIME_BOUND_OK leaves `bound` as it is.
 */
enum time_bound_refusal time_bound_now(struct time_bound_reader *reader, enum time_bound_plane plane,
                                       bool wide, struct time_bound *bound);

/* The same interval in UTC; TIME_BOUND_UTC_UNKNOWN when the daemon has not learnt TAI - UTC. */
enum time_bound_refusal time_bound_utc(const struct time_bound *bound, struct time_bound_utc *utc);

/* Whether `a` was certainly before `b`, on whichever hosts they were read. Commit wait waits for it. */
static inline bool time_bound_is_before(const struct time_bound *a, const struct time_bound *b)
{
    return a->latest_tai_ns < b->earliest_tai_ns;
}

/* A refusal, or a state of the clock, in words. */
const char *time_bound_reason(enum time_bound_refusal refusal);
const char *time_bound_state_name(unsigned int state);

#ifdef __cplusplus
}
#else

/* --------------------------------------------------------- the page itself, for writers and other readers */

#include <stdatomic.h>
#include <stddef.h>

#define TIME_BOUND_MAGIC "TAIBOUND"

enum { TIME_BOUND_LAYOUT = 1, TIME_BOUND_PLANES = 4 };

/* The clock of a plane as a line over CLOCK_MONOTONIC_RAW, and what line and clock may be wrong by. */
struct time_bound_line {
    int64_t anchor_raw_ns;
    int64_t anchor_tai_ns;      /* what the plane's clock shows then */
    int64_t valid_until_raw_ns; /* at most 10 s after the anchor */
    double rate_ppb;            /* ns of that clock per raw ns, minus 1 */
    double error_ns;            /* |clock - TAI| at the anchor, with probability `p` */
    double error_wide_ns;       /* the same with k = 5 and all biases */
    double growth_ns_per_s;     /* of both, from the anchor on */
    double reading_ns;          /* what the line may be off that clock at the anchor, if not counted above */
    double reading_growth_ns_per_s;
    uint64_t refusal; /* enum time_bound_refusal: why the rest says nothing */
};

struct time_bound_data {
    int64_t boot_minus_raw_ns;  /* CLOCK_BOOTTIME - CLOCK_MONOTONIC_RAW at the write: sleep, and slewing */
    int64_t boot_minus_mono_ns; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC: sleep alone */
    int64_t leap_at_tai_ns;
    double p;
    uint32_t epoch;
    int32_t utc_offset_s;
    int8_t leap_change_s;
    uint8_t utc_known;
    uint8_t state;
    uint8_t clock_class;
    uint8_t ended; /* the daemon was stopped: nothing is claimed any more */
    uint8_t reserved[3];
    struct time_bound_line plane[TIME_BOUND_PLANES];
};

enum { TIME_BOUND_WORDS = sizeof(struct time_bound_data) / sizeof(uint64_t) };

/* Host byte order. What stands before `generation` is written once, before the file gets its name. */
struct time_bound_page {
    char magic[8];
    uint32_t layout;
    uint32_t size; /* of the file */
    uint8_t boot_id[16];
    uint64_t time_namespace; /* inode of /proc/self/ns/time; 0: the kernel has none */
    uint64_t writer_start;   /* of process `writer_pid`: field 22 of /proc/PID/stat, ticks since boot */
    uint32_t writer_pid;
    uint32_t reserved;
    _Atomic uint64_t generation; /* odd: being written */
    _Atomic uint64_t word[TIME_BOUND_WORDS];
};

/* No holes that a compiler might fill in its own way. */
_Static_assert(sizeof(struct time_bound_data) == 368, "layout of the data");
_Static_assert(offsetof(struct time_bound_page, generation) == 56, "layout of the head");
_Static_assert(sizeof(struct time_bound_page) == 432, "layout of the page");

/* A whole copy of the data; false when every try met the writer. */
bool time_bound_copy(const struct time_bound_page *page, struct time_bound_data *data, uint64_t *generation);

/* What a copy says at `raw_ns`. Looks at nothing else, so sleep of the host is not seen here. */
enum time_bound_refusal time_bound_evaluate(const struct time_bound_data *data, unsigned int plane,
                                            bool wide, int64_t raw_ns, struct time_bound *bound);

/* The clocks that a page's writer must share with its reader; zeros where the kernel does not tell. */
void time_bound_whose_clocks(uint8_t boot_id[16], uint64_t *time_namespace);

#endif
#endif
