"""The faults of a time receiver that are watched for: one table of names, and the limits.

A fault begins with the message that shows it. It ends once nothing has shown it for ``clear_after_s``: that
is the only hysteresis, so a fault that comes and goes stays one alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from timecard.timescale import NS_PER_S
from timecard.values import Alarm

MAX_EVIDENCE: Final = 200


class Rule(NamedTuple):
    """One kind of fault."""

    unusable: bool
    """While it lasts, this receiver's time must not be used."""
    clear_after_s: float
    says: str


RULES: Final[Mapping[str, Rule]] = MappingProxyType({
    # the line
    "receiver-silent": Rule(True, 3, "no message comes"),
    "epochs-missing": Rule(True, 3, "messages come, but none tells the time"),
    "stale-epoch": Rule(True, 5, "a second is told again, or late"),
    "corrupt-data": Rule(False, 10, "much of what comes is damaged"),
    "receiver-restarted": Rule(True, 5, "the receiver began anew by itself"),
    # the time
    "time-invalid": Rule(True, 3, "the receiver calls its time invalid"),
    "time-1970": Rule(True, 10, "a date from before there was anything to receive: an unset clock"),
    "week-rollover": Rule(True, 10, "a date that is wrong by 1024 weeks"),
    "time-implausible": Rule(True, 10, "a date that cannot be"),
    "time-jump": Rule(True, 10, "the time does not go on from where it was"),
    "time-inaccurate": Rule(True, 5, "the receiver's own estimate of its time error is too large"),
    "fix-lost": Rule(True, 3, "no fix any more"),
    # the pulse
    "label-mismatch": Rule(True, 5, "the second named for the next pulse is not the one after the epoch"),
    "label-missing": Rule(False, 3, "the next pulse is not announced any more"),
    "pulse-unlocked": Rule(True, 3, "the pulse is not locked to GNSS"),
    "pulse-missing": Rule(False, 3, "no pulse although the receiver calls it locked"),
    "qerr-invalid": Rule(False, 5, "no usable quantisation error any more"),
    # leap seconds
    "leap-mismatch": Rule(True, 5, "TAI - UTC differs from another source, or changed without notice"),
    "leap-not-credible": Rule(False, 5, "a leap second is announced that cannot be"),
    "leap-withdrawn": Rule(False, 5, "an announced leap second is not announced any more"),
    "leap-unknown": Rule(False, 5, "the receiver does not know its leap seconds any more"),
    # antenna, interference, sky
    "antenna-open": Rule(False, 5, "no current into the antenna: cut, or a splitter"),
    "antenna-short": Rule(True, 5, "short circuit in the antenna line"),
    "antenna-unpowered": Rule(False, 5, "the antenna supply was switched off"),
    "jamming-warning": Rule(False, 10, "interference"),
    "jamming-critical": Rule(True, 10, "interference that prevents reception"),
    "spoofing": Rule(True, 30, "the receiver sees signs of forged signals"),
    "no-satellites": Rule(True, 3, "all satellites lost"),
    "few-satellites": Rule(True, 5, "fewer satellites than asked for"),
    "signal-drop": Rule(True, 10, "all signals became weaker although no jamming is reported"),
    # the place
    "position-jump": Rule(True, 10, "an antenna that cannot move has moved"),
    "survey-lost": Rule(False, 5, "the position was held and is not any more"),
    "survey-missing": Rule(False, 5, "the position is neither known nor being surveyed"),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLeap:
    """Leap seconds from a table (IERS Bulletin C)."""

    tai_minus_utc_s: int = 37
    until_tai_s: int = 1_782_604_837
    """2026-06-28: IERS Bulletin C 70 excludes a change before. After that the table says nothing."""
    change_s: int = 0
    change_tai_s: int = 0
    """When the new difference is in force, if ``change_s`` is not 0."""

    def at(self, tai_s: int) -> int | None:
        """TAI - UTC at an instant; None beyond what the table covers."""
        if tai_s >= self.until_tai_s:
            return None
        after = self.change_s and tai_s >= self.change_tai_s
        return self.tai_minus_utc_s + (self.change_s if after else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityOptions:
    """What is normal for this receiver."""

    epoch_period_s: float = 1.0
    min_satellites: int = 4
    max_time_accuracy_ns: float = 1000.0
    position_m: tuple[float, float, float] | None = None
    """Where the antenna is, ECEF; None: where it is once the receiver holds its position."""
    max_moved_m: float = 20.0
    survey_limit_s: int = 86_400
    """A survey that takes longer is called missing."""
    first_time_s: float = 1_800.0
    """So long after the start the lack of a valid time is no fault: a cold start needs 12.5 min."""
    earliest_tai_s: int = 1_735_689_637
    """2025-01-01, as the drivers believe it: an earlier date is a wrong one."""
    leap: KnownLeap = KnownLeap()

    def __post_init__(self) -> None:
        checks = (
            ("epoch_period_s", self.epoch_period_s, 0.05, 3600.0),
            ("min_satellites", self.min_satellites, 0, 64),
            ("max_time_accuracy_ns", self.max_time_accuracy_ns, 1.0, 1e9),
            ("max_moved_m", self.max_moved_m, 0.1, 1e5),
            ("survey_limit_s", self.survey_limit_s, 60, 10_000_000),
            ("first_time_s", self.first_time_s, 0.0, 1e6),
        )
        for name, value, low, high in checks:
            if not low <= value <= high:
                raise ValueError(f"integrity option {name}={value}: must be {low} to {high}")

    @property
    def missing_after_ns(self) -> int:
        """What comes once a period is missing after this time.

        The next one is due after a period, give or take an eighth: missed within a period after that.
        """
        return round(1.65 * self.epoch_period_s * NS_PER_S)


@dataclass(slots=True)
class _State:
    evidence: str
    clean_since_ns: int | None = None


class AlarmBoard:
    """The alarms in force; says when one begins and when it ends."""

    def __init__(self) -> None:
        self._active: dict[str, _State] = {}
        self._said: list[Alarm] = []

    def judge(self, name: str, bad: bool, evidence: Callable[[], str], now_ns: int) -> None:
        """What a message shows of one fault: that it is there, or that it is not."""
        state = self._active.get(name)
        if bad:
            if state is None:
                text = evidence()[:MAX_EVIDENCE]
                self._active[name] = _State(text)
                self._say(name, True, text, now_ns)
            else:
                state.clean_since_ns = None
        elif state is not None and state.clean_since_ns is None:
            state.clean_since_ns = now_ns

    def bad(self, name: str, evidence: str, now_ns: int) -> None:
        """A fault is there."""
        self.judge(name, True, lambda: evidence, now_ns)

    def good(self, name: str, now_ns: int) -> None:
        """A fault is not there."""
        if name in self._active:
            self.judge(name, False, str, now_ns)

    def settle(self, now_ns: int) -> None:
        """End what nothing has shown for long enough."""
        for name, state in list(self._active.items()):
            since_ns = state.clean_since_ns
            if since_ns is not None and now_ns - since_ns >= RULES[name].clear_after_s * NS_PER_S:
                del self._active[name]
                self._say(name, False, f"not seen for {RULES[name].clear_after_s:g} s", now_ns)

    def take(self) -> list[Alarm]:
        """What began and ended since the last call."""
        said, self._said = self._said, []
        return said

    def __contains__(self, name: str) -> bool:
        return name in self._active

    def shown(self, name: str) -> bool:
        """In force, and the last message about it showed it."""
        state = self._active.get(name)
        return state is not None and state.clean_since_ns is None

    @property
    def active(self) -> dict[str, str]:
        """Names and the evidence with which they began."""
        return {name: state.evidence for name, state in self._active.items()}

    def _say(self, name: str, active: bool, evidence: str, now_ns: int) -> None:
        self._said.append(
            Alarm(
                name=name,
                active=active,
                unusable=RULES[name].unusable,
                evidence=evidence,
                read_mono_ns=now_ns,
            )
        )


def day_text(tai_s: int) -> str:
    """The date of a second of TAI."""
    try:
        return datetime.fromtimestamp(tai_s, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"second {tai_s} of TAI"


def time_text(tai_ns: int) -> str:
    """Date and time of an instant of TAI."""
    try:
        return datetime.fromtimestamp(tai_ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S TAI")
    except (ValueError, OverflowError, OSError):
        return f"second {tai_ns // NS_PER_S} of TAI"
