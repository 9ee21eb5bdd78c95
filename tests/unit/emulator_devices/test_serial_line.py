"""Bytes come out at the line's rate."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from timecard.emulator.serial_line import SerialLine

BYTE_NS = 10 * 1_000_000_000 // 115_200


def test_bytes_come_one_by_one_and_in_order() -> None:
    line = SerialLine(115_200)
    line.put(b"abc", 1_000)
    line.put(b"de", 0)
    assert line.take(1_000 + BYTE_NS - 1) == b""
    assert line.next_ns() == 1_000 + BYTE_NS
    assert line.take(1_000 + BYTE_NS) == b"a"
    assert line.take(1_000 + 4 * BYTE_NS) == b"bcd"
    assert line.next_ns() == 1_000 + 5 * BYTE_NS
    assert line.take(10**9) == b"e"
    assert line.next_ns() is None
    assert line.take(10**10) == b""


def test_a_pause_is_kept() -> None:
    line = SerialLine(115_200)
    line.put(b"a", 0)
    line.put(b"b", 10**9)
    assert line.take(10**9) == b"a"
    assert line.take(10**9 + BYTE_NS) == b"b"


@settings(max_examples=100, deadline=None)
@given(
    puts=st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 10**7)), max_size=10),
    takes=st.lists(st.integers(0, 10**8), max_size=20).map(sorted),
)
def test_nothing_is_lost_or_doubled(puts: list[tuple[bytes, int]], takes: list[int]) -> None:
    line = SerialLine(9_600)
    for data, t_ns in puts:
        line.put(data, t_ns)
    taken = b"".join(line.take(t_ns) for t_ns in [*takes, 10**12])
    assert taken == b"".join(data for data, _ in puts)
