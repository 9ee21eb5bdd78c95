"""Analysis of recorded clocks: a series is read, its stability and time error computed, and masks judged.

``reading`` turns a file into a recording, ``series`` a recording into gap-free pieces, ``analysis`` pieces
into figures; ``report`` and ``plot`` show them. Only ``lines`` and ``plot`` touch files. What needs scipy is
imported where it is used, because other commands shall not pay for it.
"""
