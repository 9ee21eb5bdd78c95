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
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "time_bound.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 1000
#define YIELD_AFTER 50 /* a writer that was interrupted in the middle may need our processor */
#define NS_PER_S 1000000000
#define LONGEST_VALID_NS ((int64_t)10 * NS_PER_S)
#define FAR_NS ((int64_t)1 << 62)  /* no clock of ours gets there, and sums of two do not overflow */
#define WORST_RATE_PPB 1e7         /* 1 %: no working crystal */
#define WORST_ERROR_NS 1e15        /* eleven days */
#define WORST_GROWTH_NS_PER_S 1e9
#define SLEEP_NS ((int64_t)1000000) /* a host that sleeps does so for longer */
#define SLEW_PER 1000               /* CLOCK_BOOTTIME is slewed by less than 1 in 1000, or we look closer */
#define WIDE_P 0.99999942670        /* five sigma, both sides */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ------------------------------------------------------------------------------------------ one read */

/* Acquire loads of every word, not a fence before the second look, so that ThreadSanitizer can follow. */
bool time_bound_copy(const struct time_bound_page *page, struct time_bound_data *data, uint64_t *generation)
{
    uint64_t words[TIME_BOUND_WORDS];

    for (int i = 0; i < TRIES; i++) {
        uint64_t before;

        if (i % YIELD_AFTER == YIELD_AFTER - 1) {
            sched_yield();
        }
        before = atomic_load_explicit(&page->generation, memory_order_acquire);
        if (before & 1U) {
            continue;
        }
        for (size_t j = 0; j < TIME_BOUND_WORDS; j++) {
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

static bool within(double value, double least, double most)
{
    return value >= least && value <= most; /* false for what is not a number */
}

/* Whoever wrote the page, the arithmetic that follows must be defined. */
static bool is_sensible(const struct time_bound_data *data, const struct time_bound_line *line)
{
    return line->anchor_raw_ns >= 0 && line->anchor_raw_ns < FAR_NS && line->anchor_tai_ns > 0 &&
           line->anchor_tai_ns < FAR_NS && line->valid_until_raw_ns >= line->anchor_raw_ns &&
           line->valid_until_raw_ns - line->anchor_raw_ns <= LONGEST_VALID_NS &&
           within(line->rate_ppb, -WORST_RATE_PPB, WORST_RATE_PPB) &&
           within(line->error_ns, 0.0, WORST_ERROR_NS) && within(line->error_wide_ns, 0.0, WORST_ERROR_NS) &&
           within(line->reading_ns, 0.0, WORST_ERROR_NS) &&
           within(line->growth_ns_per_s, 0.0, WORST_GROWTH_NS_PER_S) &&
           within(line->reading_growth_ns_per_s, 0.0, WORST_GROWTH_NS_PER_S) && within(data->p, 0.0, 1.0) &&
           data->state < TIME_BOUND_STATES && data->utc_known <= 1 && data->utc_offset_s > -32768 &&
           data->utc_offset_s < 32768 && data->leap_change_s >= -1 && data->leap_change_s <= 1 &&
           data->leap_at_tai_ns >= 0 && data->leap_at_tai_ns < FAR_NS && data->boot_minus_raw_ns > -FAR_NS &&
           data->boot_minus_raw_ns < FAR_NS && data->boot_minus_mono_ns > -FAR_NS &&
           data->boot_minus_mono_ns < FAR_NS;
}

enum time_bound_refusal time_bound_evaluate(const struct time_bound_data *data, unsigned int plane,
                                            bool wide, int64_t raw_ns, struct time_bound *bound)
{
    const struct time_bound_line *line;
    int64_t elapsed_ns, middle_ns, half_ns;
    double elapsed_s, error_ns;

    if (plane >= TIME_BOUND_PLANES) {
        return TIME_BOUND_NO_PLANE;
    }
    if (data->ended) {
        return TIME_BOUND_ENDED;
    }
    line = &data->plane[plane];
    if (line->refusal != TIME_BOUND_OK) {
        return line->refusal < TIME_BOUND_REFUSALS ? (enum time_bound_refusal)line->refusal
                                                   : TIME_BOUND_NONSENSE;
    }
    if (!is_sensible(data, line)) {
        return TIME_BOUND_NONSENSE;
    }
    if (raw_ns > line->valid_until_raw_ns) {
        return TIME_BOUND_STALE;
    }
    if (raw_ns < line->anchor_raw_ns) {
        return TIME_BOUND_OTHER_CLOCKS;
    }
    elapsed_ns = raw_ns - line->anchor_raw_ns;
    elapsed_s = (double)elapsed_ns * 1e-9;
    middle_ns = line->anchor_tai_ns + elapsed_ns + (int64_t)(line->rate_ppb * elapsed_s);
    error_ns = (wide ? line->error_wide_ns : line->error_ns) + line->growth_ns_per_s * elapsed_s;
    /* Two more: for the fraction that was cut off the middle, and for the one cut off here. */
    half_ns = (int64_t)(error_ns + line->reading_ns + line->reading_growth_ns_per_s * elapsed_s) + 2;
    *bound = (struct time_bound){
        .earliest_tai_ns = middle_ns - half_ns,
        .latest_tai_ns = middle_ns + half_ns,
        .raw_ns = raw_ns,
        .valid_until_raw_ns = line->valid_until_raw_ns,
        .leap_at_tai_ns = data->leap_at_tai_ns,
        .plane_error_ns = error_ns,
        .growth_ns_per_s = line->growth_ns_per_s + line->reading_growth_ns_per_s,
        .p = wide ? WIDE_P : data->p,
        .epoch = data->epoch,
        .utc_offset_s = data->utc_offset_s,
        .leap_change_s = data->leap_change_s,
        .utc_known = data->utc_known,
        .state = data->state,
        .clock_class = data->clock_class,
    };
    return TIME_BOUND_OK;
}

/*
 * Whether the host slept between the write and `raw_ns`: CLOCK_BOOTTIME went on then, CLOCK_MONOTONIC_RAW did
 * not. As `raw_ns` was read first, a sleep that is missed here began after it and does not matter. Being
 * interrupted in between looks like sleep at first; so does a host that is slewed hard. The second look
 * compares two clocks that are slewed alike.
 */
static bool has_slept(const struct time_bound_data *data, int64_t raw_ns, int64_t age_ns)
{
    int64_t apart_ns = clock_ns(CLOCK_BOOTTIME) - raw_ns - data->boot_minus_raw_ns;
    int64_t allowed_ns = SLEEP_NS + age_ns / SLEW_PER;

    for (int i = 0; i < 3 && (apart_ns > allowed_ns || apart_ns < -allowed_ns); i++) {
        int64_t mono_ns = clock_ns(CLOCK_MONOTONIC);

        apart_ns = clock_ns(CLOCK_BOOTTIME) - mono_ns - data->boot_minus_mono_ns;
        allowed_ns = SLEEP_NS;
    }
    return apart_ns > allowed_ns || apart_ns < -allowed_ns;
}

static enum time_bound_refusal read_page(const struct time_bound_page *page, enum time_bound_plane plane,
                                         bool wide, struct time_bound *bound)
{
    struct time_bound_data data;
    struct time_bound found;
    uint64_t generation;
    int64_t raw_ns;
    enum time_bound_refusal refusal;

    if (!time_bound_copy(page, &data, &generation)) {
        return TIME_BOUND_TORN;
    }
    raw_ns = clock_ns(CLOCK_MONOTONIC_RAW); /* after the copy: never before its anchor */
    refusal = time_bound_evaluate(&data, plane, wide, raw_ns, &found);
    if (refusal != TIME_BOUND_OK) {
        return refusal;
    }
    if (has_slept(&data, raw_ns, raw_ns - data.plane[plane].anchor_raw_ns)) {
        return TIME_BOUND_SUSPENDED;
    }
    found.generation = generation;
    *bound = found;
    return TIME_BOUND_OK;
}

/* ------------------------------------------------------------------------------------------ the file */

void time_bound_whose_clocks(uint8_t boot_id[16], uint64_t *time_namespace)
{
    char text[40] = {0};
    struct stat status;
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    int digits = 0;

    memset(boot_id, 0, 16);
    if (file >= 0) {
        ssize_t size = read(file, text, sizeof(text) - 1);

        close(file);
        for (ssize_t i = 0; i < size && digits < 32; i++) {
            const char *all = "0123456789abcdef";
            const char *at = text[i] == '\0' ? NULL : strchr(all, text[i]);

            if (at != NULL) {
                boot_id[digits / 2] = (uint8_t)(boot_id[digits / 2] << 4 | (at - all));
                digits++;
            }
        }
    }
    *time_namespace = stat("/proc/self/ns/time", &status) == 0 ? (uint64_t)status.st_ino : 0;
}

static enum time_bound_refusal check_head(const struct time_bound_page *head, ssize_t size,
                                          int64_t file_size)
{
    uint8_t boot_id[16];
    uint64_t time_namespace;

    if (size < (ssize_t)offsetof(struct time_bound_page, boot_id) ||
        memcmp(head->magic, TIME_BOUND_MAGIC, sizeof(head->magic)) != 0) {
        return TIME_BOUND_FOREIGN;
    }
    if (head->layout != TIME_BOUND_LAYOUT) {
        return TIME_BOUND_VERSION;
    }
    if (head->size != sizeof(*head) || file_size != (int64_t)sizeof(*head) ||
        size != (ssize_t)sizeof(*head)) {
        return TIME_BOUND_FOREIGN;
    }
    time_bound_whose_clocks(boot_id, &time_namespace);
    if (memcmp(head->boot_id, boot_id, sizeof(boot_id)) != 0 || head->time_namespace != time_namespace) {
        return TIME_BOUND_OTHER_CLOCKS;
    }
    return TIME_BOUND_OK;
}

/* The head is read, not mapped, so that a file that is too short cannot raise SIGBUS. */
static enum time_bound_refusal map_page(struct time_bound_reader *reader)
{
    struct time_bound_page head;
    struct stat status;
    enum time_bound_refusal refusal = TIME_BOUND_NO_PAGE;
    int file = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    void *mapped;

    if (file < 0) {
        return refusal;
    }
    if (fstat(file, &status) == 0) {
        refusal = TIME_BOUND_FOREIGN;
        if (S_ISREG(status.st_mode)) {
            memset(&head, 0, sizeof(head));
            refusal = check_head(&head, pread(file, &head, sizeof(head), 0), (int64_t)status.st_size);
        }
    }
    if (refusal == TIME_BOUND_OK) {
        mapped = mmap(NULL, sizeof(head), PROT_READ, MAP_SHARED, file, 0);
        if (mapped == MAP_FAILED) {
            refusal = TIME_BOUND_NO_PAGE;
        } else {
            reader->page = mapped;
            reader->device = (uint64_t)status.st_dev;
            reader->inode = (uint64_t)status.st_ino;
        }
    }
    close(file);
    return refusal;
}

enum time_bound_refusal time_bound_open(struct time_bound_reader *reader, const char *path)
{
    size_t size;

    if (path == NULL) {
        path = TIME_BOUND_DEFAULT_PATH;
    }
    *reader = (struct time_bound_reader){0};
    size = strlen(path) + 1;
    if (size > sizeof(reader->path)) {
        return TIME_BOUND_NO_PAGE;
    }
    memcpy(reader->path, path, size);
    return map_page(reader);
}

void time_bound_close(struct time_bound_reader *reader)
{
    if (reader->page != NULL) {
        munmap((void *)reader->page, sizeof(*reader->page));
        reader->page = NULL;
    }
}

/* Whether another file has taken the place of the one that is mapped. */
static bool was_replaced(const struct time_bound_reader *reader)
{
    struct stat status;

    return stat(reader->path, &status) == 0 &&
           ((uint64_t)status.st_dev != reader->device || (uint64_t)status.st_ino != reader->inode);
}

enum time_bound_refusal time_bound_now(struct time_bound_reader *reader, enum time_bound_plane plane,
                                       bool wide, struct time_bound *bound)
{
    enum time_bound_refusal refusal;

    if (reader->page != NULL) {
        refusal = read_page(reader->page, plane, wide, bound);
        if (refusal == TIME_BOUND_OK || !was_replaced(reader)) {
            return refusal;
        }
        time_bound_close(reader); /* the daemon was started anew, and made a page of its own */
    }
    refusal = map_page(reader);
    return refusal == TIME_BOUND_OK ? read_page(reader->page, plane, wide, bound) : refusal;
}

/* ------------------------------------------------------------------------------------------ words */

static int64_t to_utc_ns(const struct time_bound *bound, int64_t tai_ns, uint8_t *in_leap)
{
    int64_t utc_ns = tai_ns - (int64_t)bound->utc_offset_s * NS_PER_S;
    int64_t after_ns = tai_ns - bound->leap_at_tai_ns;

    *in_leap = bound->leap_change_s > 0 && after_ns >= -NS_PER_S && after_ns < 0;
    return *in_leap || after_ns >= 0 ? utc_ns - (int64_t)bound->leap_change_s * NS_PER_S : utc_ns;
}

enum time_bound_refusal time_bound_utc(const struct time_bound *bound, struct time_bound_utc *utc)
{
    if (!bound->utc_known) {
        return TIME_BOUND_UTC_UNKNOWN;
    }
    utc->earliest_ns = to_utc_ns(bound, bound->earliest_tai_ns, &utc->earliest_in_leap);
    utc->latest_ns = to_utc_ns(bound, bound->latest_tai_ns, &utc->latest_in_leap);
    return TIME_BOUND_OK;
}

const char *time_bound_reason(enum time_bound_refusal refusal)
{
    static const char *const reasons[TIME_BOUND_REFUSALS] = {
        [TIME_BOUND_OK] = "no refusal",
        [TIME_BOUND_NO_PAGE] = "there is no bound page that may be read: start the time appliance",
        [TIME_BOUND_FOREIGN] = "the file is not a bound page",
        [TIME_BOUND_VERSION] = "the bound page has another layout: use reader and daemon of one version",
        [TIME_BOUND_OTHER_CLOCKS] = "the bound page is of another boot or time namespace: use /run and "
                                    "time namespace of the host that runs core",
        [TIME_BOUND_TORN] = "the writer died while it wrote, or is stopped in the middle",
        [TIME_BOUND_ENDED] = "the time appliance was stopped",
        [TIME_BOUND_STALE] = "the bound page was not renewed in time: restart core if it is dead or stalled",
        [TIME_BOUND_SUSPENDED] = "the host slept since the bound page was written",
        [TIME_BOUND_DISRUPTED] = "a clock was stepped or lost and has not been verified since",
        [TIME_BOUND_UNKNOWN] = "nothing is claimed in the present state of the clock: wait until it is locked",
        [TIME_BOUND_NO_PLANE] = "the bound page has no such reference plane",
        [TIME_BOUND_NONSENSE] = "the bound page holds impossible values",
        [TIME_BOUND_UTC_UNKNOWN] = "the offset between TAI and UTC is not known",
    };

    return (unsigned int)refusal < TIME_BOUND_REFUSALS ? reasons[refusal] : "unknown refusal";
}

const char *time_bound_state_name(unsigned int state)
{
    static const char *const names[TIME_BOUND_STATES] = {"free-run", "acquiring",  "locked",
                                                         "holdover", "recovering", "holdover-expired"};

    return state < TIME_BOUND_STATES ? names[state] : "unknown";
}
