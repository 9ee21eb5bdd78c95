/*
 * Bound pages as files, between processes.
 *
 *   serve PATH PERIOD_US        write until killed; says "ready" first
 *   torn PATH READS PERIOD_US   a writer of its own; no copy may be a mixture of two writes
 *   latency PATH READS          somebody else writes; times of time_bound_now as one line of JSON
 *   read PATH                   one line per line of standard input: the refusal now, or 0
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "page_writer.h"

enum { BUCKETS = 100000, SHIFT_NS = 1000, CHANGES = 100, HEAD = 16 /* bytes that the writer fills in */ };

static int64_t raw_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* As the daemon does: a new file, which takes the place of the old one. */
static struct time_bound_page *make_page(const char *path)
{
    char temporary[TIME_BOUND_PATH_SIZE + 8];
    struct time_bound_page *page;
    int file;

    snprintf(temporary, sizeof(temporary), "%s.made", path);
    file = open(temporary, O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(file >= 0 && ftruncate(file, sizeof(*page)) == 0);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(page != MAP_FAILED);
    close(file);
    bound_page_begin(page, (uint32_t)getpid(), 1);
    CHECK(rename(temporary, path) == 0);
    return page;
}

/* Write number n, in which everything follows from n. */
static struct time_bound_data write_of(uint32_t n)
{
    int64_t now_ns = raw_ns();
    struct time_bound_data data = {.p = 0.999, .epoch = n, .state = TIME_BOUND_LOCKED, .clock_class = 6};

    for (int i = 0; i < TIME_BOUND_PLANES; i++) {
        data.plane[i] = (struct time_bound_line){.anchor_raw_ns = now_ns,
                                                 .anchor_tai_ns = now_ns + (int64_t)n * SHIFT_NS,
                                                 .valid_until_raw_ns = now_ns + 2000000000,
                                                 .error_ns = n,
                                                 .error_wide_ns = 2.0 * n};
    }
    return data;
}

static void serve(struct time_bound_page *page, unsigned int period_us)
{
    for (uint32_t n = 1;; n++) {
        struct time_bound_data data = write_of(n);

        bound_page_write(page, &data);
        if (n == 1) {
            puts("ready");
            fflush(stdout);
        }
        usleep(period_us);
    }
}

static void fill(struct time_bound_data *data, uint64_t n)
{
    uint64_t words[TIME_BOUND_WORDS];

    for (size_t i = 0; i < TIME_BOUND_WORDS; i++) {
        words[i] = n * TIME_BOUND_WORDS + i;
    }
    memcpy(data, words, sizeof(words));
}

static void torn(const char *path, uint64_t reads, unsigned int period_us)
{
    struct time_bound_page *page = make_page(path);
    struct time_bound_data data, expected = {0};
    uint64_t generation, last = 0, changes = 0, busy = 0, first;
    pid_t writer;

    fill(&data, 0);
    bound_page_write(page, &data);
    fill(&data, 0);
    bound_page_write(page, &data);
    writer = fork();
    if (writer == 0) {
        for (uint64_t n = 1; getppid() != 1; n++) {
            fill(&data, n);
            bound_page_write(page, &data);
            if (period_us > 0) {
                usleep(period_us);
            }
        }
        _exit(0);
    }
    for (uint64_t i = 0; i < reads || changes < CHANGES; i++) {
        if (!time_bound_copy(page, &data, &generation)) {
            busy++;
            continue;
        }
        if (generation != last) {
            CHECK(generation > last && generation % 2 == 0);
            last = generation;
            changes++;
            memcpy(&first, (const char *)&data + HEAD, sizeof(first));
            fill(&expected, first / TIME_BOUND_WORDS);
        }
        CHECK(memcmp((const char *)&data + HEAD, (const char *)&expected + HEAD, sizeof(data) - HEAD) == 0);
    }
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    printf("{\"changes\": %" PRIu64 ", \"busy\": %" PRIu64 "}\n", changes, busy);
}

static int64_t percentile(const uint32_t *counts, uint64_t total, double share)
{
    uint64_t below = 0;

    for (int64_t i = 0; i < BUCKETS; i++) {
        below += counts[i];
        if ((double)below >= share * (double)total) {
            return i;
        }
    }
    return BUCKETS;
}

static void latency(const char *path, uint64_t reads)
{
    static uint32_t counts[BUCKETS];
    struct time_bound_reader reader;
    struct time_bound b = {0};
    uint64_t refused = 0;
    int64_t worst_ns = 0, least_clock_ns = INT64_MAX;

    for (int i = 0; i < 100000; i++) { /* what looking at the clock twice costs by itself */
        int64_t began_ns = raw_ns();
        int64_t took_ns = raw_ns() - began_ns;

        least_clock_ns = took_ns < least_clock_ns ? took_ns : least_clock_ns;
    }
    CHECK(time_bound_open(&reader, path) == TIME_BOUND_OK);
    for (uint64_t i = 0; i < reads; i++) {
        int64_t began_ns = raw_ns(), took_ns, middle_ns;

        if (time_bound_now(&reader, TIME_BOUND_HOST, false, &b) != TIME_BOUND_OK) {
            refused++;
            continue;
        }
        took_ns = raw_ns() - began_ns;
        worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
        counts[took_ns < BUCKETS ? took_ns : BUCKETS - 1]++;
        /* One write, not two: offset and width follow from the epoch. */
        middle_ns = (b.earliest_tai_ns + b.latest_tai_ns) / 2;
        CHECK(llabs(middle_ns - b.raw_ns - (int64_t)b.epoch * SHIFT_NS) < 2);
        CHECK(b.plane_error_ns == b.epoch);
    }
    time_bound_close(&reader);
    reads -= refused;
    printf("{\"reads\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"median_ns\": %" PRId64
           ", \"p99_ns\": %" PRId64 ", \"p999_ns\": %" PRId64 ", \"worst_ns\": %" PRId64
           ", \"clock_ns\": %" PRId64 "}\n",
           reads, refused, percentile(counts, reads, 0.5), percentile(counts, reads, 0.99),
           percentile(counts, reads, 0.999), worst_ns, least_clock_ns);
}

static void answer(const char *path)
{
    struct time_bound_reader reader;
    struct time_bound b;
    char line[16];

    time_bound_open(&reader, path);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        printf("%d\n", (int)time_bound_now(&reader, TIME_BOUND_HOST, false, &b));
        fflush(stdout);
    }
    time_bound_close(&reader);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 3);
    if (strcmp(argv[1], "serve") == 0 && argc == 4) {
        serve(make_page(argv[2]), (unsigned int)atoi(argv[3]));
    } else if (strcmp(argv[1], "torn") == 0 && argc == 5) {
        torn(argv[2], strtoull(argv[3], NULL, 10), (unsigned int)atoi(argv[4]));
    } else if (strcmp(argv[1], "latency") == 0 && argc == 4) {
        latency(argv[2], strtoull(argv[3], NULL, 10));
    } else if (strcmp(argv[1], "read") == 0) {
        answer(argv[2]);
    } else {
        CHECK(!"a known command");
    }
    return 0;
}
