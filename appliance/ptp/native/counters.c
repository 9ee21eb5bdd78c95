#include "counters.h"

const char *const counter_names[COUNTERS] = {
#define X(name, text) [COUNT_##name] = text,
    PTP_COUNTERS(X)
#undef X
};
