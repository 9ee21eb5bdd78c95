/*
 * Pages in the layouts of fbclock (facebook/time, fbclock/fbclock.h), so that its readers can be used as they
 * are. What the fields are stands in appliance/bound/fbclock.py; here is the order of the stores. Both
 * functions expect to be the only writer of `page`, which is at a multiple of 8.
 */
#ifndef BOUND_FBCLOCK_PAGE_H
#define BOUND_FBCLOCK_PAGE_H

#include <stdint.h>

/* Version 1: a check sum and five words. Version 2: two sections of a sequence number and seven words. */
enum { FBCLOCK_V1_WORDS = 6, FBCLOCK_V2_WORDS = 16, FBCLOCK_V2_SECTION_WORDS = 8 };

/* Word 0 is the check sum, whatever `words` has there. */
void fbclock_v1_write(uint64_t *page, const uint64_t words[FBCLOCK_V1_WORDS]);

/*
 * The first section; word 0 is the sequence number. The second one, for times in the past, stays
 * uninitialised, and its readers fail: it is kept in CLOCK_REALTIME, which anybody may step, so that nothing
 * can be promised of it.
 */
void fbclock_v2_write(uint64_t *page, const uint64_t words[FBCLOCK_V2_SECTION_WORDS]);

#endif
