/*
 * TAI now, as an interval. Two files of the toolkit and nothing else:
 *
 *     cc -std=c11 -I appliance/bound/native docs/examples/bound.c appliance/bound/native/time_bound.c -o bound
 */
#include <inttypes.h>
#include <stdio.h>

#include "time_bound.h"

int main(int argc, char **argv)
{
    struct time_bound_reader reader;
    struct time_bound now;
    enum time_bound_refusal refusal;

    time_bound_open(&reader, argc > 1 ? argv[1] : NULL);
    refusal = time_bound_now(&reader, TIME_BOUND_HOST, true, &now);
    if (refusal != TIME_BOUND_OK) {
        fprintf(stderr, "no time: %s\n", time_bound_reason(refusal));
        return 1;
    }
    printf("TAI is between %" PRId64 " and %" PRId64 " ns (%s, epoch %" PRIu32 ")\n", now.earliest_tai_ns,
           now.latest_tai_ns, time_bound_state_name(now.state), now.epoch);
    time_bound_close(&reader);
    return 0;
}
