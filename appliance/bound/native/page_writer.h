/*
 * The writing end of the bound page: one writer, which owns the mapped memory. Readers: time_bound.h.
 */
#ifndef BOUND_PAGE_WRITER_H
#define BOUND_PAGE_WRITER_H

#include "time_bound.h"

/* Fill a zeroed page of our own that nobody knows yet; it claims nothing until it is written. */
void bound_page_begin(struct time_bound_page *page, uint32_t writer_pid, uint64_t writer_start);

/*
 * Publish `data`, to which the host's clocks are added here. True: the host slept since the last write; then
 * every plane refuses, as its line may have been drawn before.
 */
bool bound_page_write(struct time_bound_page *page, struct time_bound_data *data);

/* Refuse from now on: the daemon stops. */
void bound_page_end(struct time_bound_page *page);

#endif
