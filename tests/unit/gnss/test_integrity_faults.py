"""Every fault of the list on every receiver that can have it: named right, in time, gone when it is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import pytest
from _pytest.mark import ParameterSet

from tests.unit.gnss.integrity_bench import POLL_NS, Bench, Fault, fault_list
from timecard.gnss.integrity import RULES, IntegrityOptions, KnownLeap
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

CLEAN_S = 25.5
"""The fault begins in the middle of a second."""
FAULTS = fault_list()
LONGEST_S = max(fault.seconds for fault in FAULTS)


def _cases() -> list[ParameterSet]:
    """Each fault on two receivers in the short run, on all in the full one."""
    cases = []
    for number, fault in enumerate(FAULTS):
        short = {fault.on[0], fault.on[number % len(fault.on)]}
        for kind in fault.on:
            marks = () if kind in short else pytest.mark.full
            cases.append(pytest.param(fault, kind, id=f"{fault.name}-{kind}", marks=marks))
    return cases


def _prepare(bench: Bench, leap_at_month_end: int | None) -> Bench:
    if leap_at_month_end is not None:
        month_s = int(datetime(2027, 2, 1, tzinfo=UTC).timestamp())
        bench.receiver.leap.announce(leap_at_month_end, month_s + TAI_MINUS_UTC_2017_S)
    bench.run_s(CLEAN_S)
    return bench


@cache
def _healthy(kind: str, leap_at_month_end: int | None) -> list[bytes]:
    """What such a receiver sends without a fault, poll by poll."""
    bench = _prepare(Bench(kind), leap_at_month_end)
    bench.run_s(LONGEST_S)
    return bench.sent


def test_the_list_names_alarms_that_there_are() -> None:
    assert len(FAULTS) >= 25
    for fault in FAULTS:
        assert {*_alarms(fault), *fault.must, *fault.also} <= set(RULES), fault.name
    named = {name for fault in FAULTS for name in (fault.alarm, *fault.must) if isinstance(name, str)}
    # A pulse that is missing is seen by who has the pulses; a survey that was never done is no event.
    assert set(RULES) - named - {"pulse-missing", "survey-missing"} == set()


@pytest.mark.parametrize(("fault", "kind"), _cases())
def test_fault(fault: Fault, kind: str) -> None:
    options = IntegrityOptions()
    if "table" in fault.what:
        options = IntegrityOptions(leap=KnownLeap(until_tai_s=4_000_000_000))
    leap_at_month_end = fault.before.get("leap_at_month_end")
    bench = _prepare(Bench(kind, options), leap_at_month_end)
    assert bench.alarms == []
    assert bench.monitor.usable, bench.monitor.reasons
    end = bench.begin(fault)
    bench.distrusted = 0
    bench.run_s(fault.seconds)
    pairs = zip(bench.sent, _healthy(kind, leap_at_month_end), strict=False)
    polls = next(number for number, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
    evidence_ns = bench.mono_ns - POLL_NS * (len(bench.sent) - polls)
    distrusted = bench.distrusted
    end(bench.t_ns)
    bench.edits = ()
    bench.run_s(fault.clear_s)

    begun = [alarm for alarm in bench.alarms if alarm.active]
    said = [
        f"{(a.read_mono_ns - evidence_ns) / 1e9:+.2f} s {a.name} {a.active}: {a.evidence}"
        for a in bench.alarms
    ]
    names = [alarm.name for alarm in begun]
    named = [alarm for alarm in begun if alarm.name in _alarms(fault)]
    assert named, said
    assert (named[0].read_mono_ns - evidence_ns) / NS_PER_S <= fault.within_s, said
    assert set(fault.must) <= set(names), said
    assert set(names) <= {*_alarms(fault), *fault.must, *fault.also}, said
    assert fault.repeats or len(names) == len(set(names)), said
    assert (distrusted > 0) == fault.unusable, said
    assert bench.monitor.active == {}, said
    assert bench.monitor.usable


def _alarms(fault: Fault) -> list[str]:
    return [fault.alarm] if isinstance(fault.alarm, str) else list(fault.alarm)
