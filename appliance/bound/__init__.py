"""TAI as an interval, for programs: the page in shared memory, its writer and its readers."""
