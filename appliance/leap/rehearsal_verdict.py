"""Was everything right across the leap second? One row for each output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

from appliance.leap.rehearsal import Observation, Rehearsal, Said
from appliance.serving import LEAP_NOTICE_S

MAX_STEP_NS: Final = 50.0
"""Between two seconds the served time moves by less, if nobody steps it."""


class Row(NamedTuple):
    """What one output did."""

    output: str
    did: str
    ok: bool


def verdict(rehearsal: Rehearsal) -> list[Row]:
    """Every output with what it did, and whether that is right."""
    seen = rehearsal.observations
    if not any(item.rel_s < 0 for item in seen) or not any(item.rel_s >= 0 for item in seen):
        return [Row("clock", "did not lock before the leap second", False)]
    rows = [_served(seen)]
    rows.append(_said("Announce", rehearsal, [(item.rel_s, item.announced) for item in seen]))
    rows.append(_said("SPTP reply", rehearsal, list(_packets(seen))))
    rows += [_labels(name, rehearsal, seen) for name in seen[0].labels]
    rows.append(
        _row("receiver, countdown", seen, lambda item: item.receiver, _allowed(rehearsal, rehearsal.sign, 0))
    )
    rows.append(
        _row("FPGA time of day", seen, lambda item: item.fpga, _allowed(rehearsal, _flag(rehearsal), ""))
    )
    return rows


def _packets(seen: Iterable[Observation]) -> Iterator[tuple[int, Said]]:
    """Before the publisher has its turn, a reply is right too: but that it does not begin to announce."""
    for item in seen:
        if item.late_packet is not None and item.rel_s != -LEAP_NOTICE_S:
            yield item.rel_s, item.late_packet
        if item.packet is not None:
            yield item.rel_s, item.packet


def _served(seen: tuple[Observation, ...]) -> Row:
    step_ns = max(
        abs(after.error_ns - before.error_ns)
        for before, after in pairwise(seen)
        if after.rel_s == before.rel_s + 1
    )
    # Each part is an appliance of its own, so its own count of steps.
    steps = sum(
        after.epoch != before.epoch for before, after in pairwise(seen) if after.rel_s == before.rel_s + 1
    )
    worst_ns = max(abs(item.error_ns) for item in seen)
    text = f"largest change in a second {step_ns:.2f} ns, {steps} steps, error at most {worst_ns:.1f} ns"
    return Row("served TAI", text, step_ns <= MAX_STEP_NS and steps == 0)


def _said(output: str, rehearsal: Rehearsal, said: list[tuple[int, Said]]) -> Row:
    """PTP's words: the flag in the last twelve hours, the offset from midnight on."""
    flag = _flag(rehearsal)
    wrong = [at for at, word in said if word != _should(rehearsal, flag, at)]
    flagged = [at for at, word in said if word.flag]
    changed = [
        after[0] for before, after in pairwise(said) if after[1].utc_offset_s != before[1].utc_offset_s
    ]
    text = (
        f"{flag} from {_when(flagged[0])} to {_when(flagged[-1])}, offset "
        f"{said[0][1].utc_offset_s} -> {said[-1][1].utc_offset_s} at {', '.join(map(_when, changed))}"
        if flagged
        else "announces nothing"
    )
    return Row(output, text + _wrong(wrong), not wrong and bool(flagged) and changed == [0])


def _flag(rehearsal: Rehearsal) -> str:
    return "leap61" if rehearsal.sign > 0 else "leap59"


def _should(rehearsal: Rehearsal, flag: str, rel_s: int) -> Said:
    after_s = rehearsal.before_s + (rehearsal.sign if rel_s >= 0 else 0)
    return Said(after_s, True, flag if -LEAP_NOTICE_S <= rel_s < 0 else "")


def _labels(name: str, rehearsal: Rehearsal, seen: tuple[Observation, ...]) -> Row:
    wrong = [item.rel_s for item in seen if item.labels[name] != rehearsal.label(item.rel_s)]
    around = [item.labels[name] for item in seen if -2 <= item.rel_s <= 0]
    text = " ".join("?" if label is None else label[11:19] for label in around)
    return Row(f"UTC, {name}", text + _wrong(wrong), not wrong)


def _allowed(rehearsal: Rehearsal, flag: int | str, nothing: int | str) -> Callable[[int], list[Any]]:
    """Offset, announcement, countdown; in the second of the change a device may still count 0, or be done."""

    def allowed(rel_s: int) -> list[Any]:
        after_s = rehearsal.before_s + (rehearsal.sign if rel_s >= 0 else 0)
        counting, done = (after_s, flag, -rel_s), (after_s, nothing, None)
        return [counting] * (rel_s <= 0) + [done] * (rel_s >= 0)

    return allowed


def _row(
    output: str,
    seen: Iterable[Observation],
    value: Callable[[Observation], Any],
    allowed: Callable[[int], list[Any]],
) -> Row:
    said = {item.rel_s: value(item) for item in seen}
    wrong = [at for at, word in said.items() if word not in allowed(at)]
    words = " ".join("/".join(_parts(said.get(at))) for at in (-1, 0, 1))
    return Row(output, words + _wrong(wrong), not wrong)


def _parts(word: tuple[Any, ...] | None) -> Iterator[str]:
    yield from ("?",) if word is None else ("-" if part in (None, "") else str(part) for part in word)


def _when(rel_s: int) -> str:
    if rel_s >= 0:
        return f"+{rel_s} s"
    hours, rest = divmod(-rel_s, 3600)
    return f"-{hours} h" + (f" {rest} s" if rest else "") if hours else f"-{rest} s"


def _wrong(wrong: list[int]) -> str:
    return (
        f"; WRONG at {', '.join(map(_when, wrong[:5]))}" + (" ..." if len(wrong) > 5 else "") if wrong else ""
    )
