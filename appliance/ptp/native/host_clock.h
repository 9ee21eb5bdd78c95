/*
 * Kernel software stamps are CLOCK_REALTIME, which anybody may slew or step. This turns one into
 * CLOCK_MONOTONIC_RAW by comparing the two clocks around the packet: slews are interpolated, steps are
 * noticed.
 */
#ifndef PTP_HOST_CLOCK_H
#define PTP_HOST_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both clocks at one instant; `width_ns` is the bracket the CLOCK_REALTIME read fell into. */
struct host_reading {
    int64_t raw_ns;
    int64_t real_ns;
    int64_t width_ns;
};

enum {
    HOST_CLOCK_KEPT = 32,
    HOST_CLOCK_SPACING_NS = 10000000, /* 32 x 10 ms: stamps up to 0.3 s old can be translated */
    /* The kernel slews by at most 500 ppm of frequency and 500 ppm of adjtime at once, plus the crystal. */
    HOST_CLOCK_SLEW_PPM = 1100,
    HOST_CLOCK_STEP_FLOOR_NS = 1000, /* below this a step is no worse than the noise of software stamps */
};

struct host_clock {
    struct host_reading kept[HOST_CLOCK_KEPT]; /* ring, at least HOST_CLOCK_SPACING_NS apart */
    uint32_t newest;
    uint32_t count;
    struct host_reading last;
};

int64_t host_raw_ns(void);
struct host_reading host_clock_take_reading(void);

/* Take note of a reading. False: CLOCK_REALTIME was stepped since the one before, and the history is
 * forgotten. */
bool host_clock_add(struct host_clock *clock, struct host_reading reading);

/* CLOCK_MONOTONIC_RAW at a CLOCK_REALTIME stamp. False: the stamp is not covered by the readings. */
bool host_clock_translate(const struct host_clock *clock, int64_t real_ns, int64_t *raw_ns);

#endif
