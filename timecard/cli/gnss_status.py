"""``timecard gnss status``: everything that a receiver says, and what it does not say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from timecard.cli.common import Facts, asked, rows
from timecard.cli.gnss_events import signal_strengths, told
from timecard.cli.gnss_line import Found
from timecard.gnss.driver import Capability
from timecard.gnss.intent import GnssIntent
from timecard.gnss.picture import ONCE_S, ReceiverPicture, Topic
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaPosition,
    GnssFix,
    JammingState,
    LeapInfo,
    PulseLabel,
    SatelliteView,
    SignalView,
    SurveyStatus,
)

READ_S: Final = 0.2
ASK_AFTER_S: Final = 1.5
"""What does not come by itself is asked for once, where the driver knows how."""
_SWITCH_ON: Final = "`timecard gnss configure --time-card` switches its messages on"


def look(
    found: Found, *, ask: bool, everything: bool = False
) -> tuple[ReceiverPicture, list[tuple[Topic, float]]]:
    """Listen until everything was heard that this receiver tells, or its time is over.

    Returns what was heard, and what was not with the time that it was waited for. ``ask``: send once what the
    driver asks for with; that changes no setting. ``everything``: the receiver's capabilities are not known.
    """
    line, picture = found.line, ReceiverPicture()
    begun_ns = line.timebase.mono_ns()
    capabilities = None if everything else found.capabilities
    while True:
        for event in found.receiver.poll(READ_S):
            picture.take(event)
        waited_s = (line.timebase.mono_ns() - begun_ns) / NS_PER_S
        missing = picture.open_topics(capabilities)
        if ask and waited_s >= ASK_AFTER_S:
            ask = False
            polls = found.driver.poll_messages
            for frame in dict.fromkeys(frame for topic in missing for frame in polls.get(topic.name, ())):
                line.stream.write(frame)
        if waited_s >= ONCE_S and all(waited_s >= topic.wait_s for topic in missing):
            return picture, [(topic, waited_s) for topic in missing]


def status_facts(found: Found, picture: ReceiverPicture, missing: list[tuple[Topic, float]]) -> Facts:
    """Everything that is known, ready for JSON; what is not has a reason in ``not_heard``."""
    signals = picture.latest(SignalView)
    receiver = found.receiver
    settings, no_settings = asked(receiver.settings) if hasattr(receiver, "settings") else (None, None)
    health = receiver.health() if hasattr(receiver, "health") else None
    not_heard = {topic.name: f"not heard in {waited_s:.0f} s" for topic, waited_s in missing}
    if settings is None:
        not_heard["settings"] = no_settings or "this driver does not read them back"
    switched_off = False
    if missing and hasattr(receiver, "plan") and Capability.CONFIGURE in found.capabilities:
        plan, _ = asked(lambda: receiver.plan(GnssIntent(messages="time-card")))
        switched_off = plan is not None and bool(plan["changes"])
    fix, leap = picture.latest(GnssFix), picture.latest(LeapInfo)
    return {
        "place": found.line.place,
        "baud": found.line.baud,
        "driver": found.driver.name,
        "receiver": told(found.identity),
        "capabilities": sorted(found.capabilities),
        "fix": told(fix),
        "time": _clock(fix, leap),
        "pulse": told(picture.latest(PulseLabel)),
        "leap": told(leap),
        "survey": told(picture.latest(SurveyStatus)),
        "position": told(picture.latest(AntennaPosition)),
        "rf": told(picture.rf),
        "satellites": told(picture.latest(SatelliteView)),
        "signals": None if signals is None else told(signals.signals),
        "cno_dbhz": None if signals is None else signal_strengths(signals.signals),
        "settings": None if settings is None else settings["intent"],
        "warnings": list(health.warnings) if health else [],
        "corrupt_bytes": picture.corrupt_bytes,
        "not_heard": not_heard,
        "messages_off": switched_off,
    }


def _clock(fix: GnssFix | None, leap: LeapInfo | None) -> str | None:
    """``2026-11-22 06:59:12 UTC``; TAI as long as the receiver does not know the difference."""
    if fix is None or fix.epoch_tai_ns is None:
        return None
    if leap is None or leap.tai_minus_utc_s is None:
        return f"{_date(fix.epoch_tai_ns)} TAI"
    return f"{_date(fix.epoch_tai_ns - leap.tai_minus_utc_s * NS_PER_S)} UTC"


def _date(unix_ns: int) -> str:
    seconds = (unix_ns + NS_PER_S // 2) // NS_PER_S
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):  # what a receiver says may be any number
        return f"{seconds} s after 1970"


def status_lines(facts: Facts) -> list[str]:
    """The same as text."""
    identity = facts["receiver"] or {}
    who = " ".join(filter(None, (identity.get("model"), identity.get("firmware"), identity.get("protocol"))))
    rate = f", {facts['baud']} baud" if facts["baud"] else ""
    pairs: list[tuple[str, object]] = [
        ("receiver", who or None),
        ("at", f"{facts['place']}{rate}, driver {facts['driver']}"),
        ("can", ", ".join(facts["capabilities"]) or "only be listened to"),
        *_fix(facts["fix"], facts["time"]),
        ("pulse", _pulse(facts["pulse"])),
        ("leap second", _leap(facts["leap"])),
        ("position", _position(facts["position"])),
        ("survey", _survey(facts["survey"], facts["settings"])),
        *_rf(facts["rf"] or {}, facts["settings"] or {}),
        *_satellites(facts["satellites"], facts["cno_dbhz"], facts["signals"]),
    ]
    settings = facts["settings"]
    if settings is not None and settings["cable_delay_ns"] is not None:
        pairs.append(("cable delay", f"{settings['cable_delay_ns']} ns, taken out by the receiver"))
    if facts["corrupt_bytes"]:
        pairs.append(("damaged", f"{facts['corrupt_bytes']} bytes that were no frame"))
    pairs += [("warning", text) for text in facts["warnings"]]
    lines = rows(pairs)
    lines += [f"{name}: {facts['not_heard'][name]}" for name in facts["not_heard"]]
    if facts["messages_off"]:
        lines.append(f"({_SWITCH_ON})")
    return lines


def _fix(fix: dict[str, Any] | None, time: str | None) -> list[tuple[str, object]]:
    if fix is None:
        return [("fix", None)]
    accuracy = fix["time_accuracy_ns"]
    confirmed = {True: ", confirmed", False: ", not confirmed", None: ""}[fix["time_confirmed"]]
    valid = "valid" if fix["time_valid"] else "NOT valid"
    utc = "UTC known" if fix["utc_resolved"] else "UTC NOT known"
    said_ns = fix["refused_tai_ns"]
    refused = "" if said_ns is None else f"; says {_date(int(said_ns))} TAI, which is refused"
    when = "" if time is None else f"{time}, "
    usable = "" if fix["fix_ok"] else ", NOT usable"
    return [
        ("fix", f"{fix['fix']}{usable}, {_shown(fix['satellites_used'])} satellites used"),
        ("time", f"{when}{valid}{confirmed}, {utc}{refused}"),
        ("accuracy", None if accuracy is None else f"{accuracy:g} ns of time, by its own estimate"),
    ]


def _pulse(pulse: dict[str, Any] | None) -> str | None:
    if pulse is None:
        return None
    sawtooth = (
        "no sawtooth correction" if pulse["qerr_ns"] is None else f"next edge {-pulse['qerr_ns']:+.3f} ns"
    )
    return f"{'locked' if pulse['pulse_locked'] else 'NOT locked'} to GNSS, {sawtooth}"


def _leap(leap: dict[str, Any] | None) -> str | None:
    if leap is None:
        return None
    known = leap["tai_minus_utc_s"]
    now = "TAI-UTC not learnt yet" if known is None else f"TAI-UTC {known} s ({leap['source']})"
    if not leap["change_s"]:
        return f"{now}, none announced"
    return f"{now}, {leap['change_s']:+d} s announced in {_shown(leap['seconds_to_event'])} s"


def _position(place: dict[str, Any] | None) -> str | None:
    if place is None:
        return None
    sigma = "" if place["sigma_m"] is None else f", good to {place['sigma_m']:.3g} m"
    return f"{place['latitude_deg']:.7f}, {place['longitude_deg']:.7f}, {place['height_m']:.2f} m{sigma}"


def _survey(survey: dict[str, Any] | None, settings: dict[str, Any] | None) -> str | None:
    wanted = settings["position"] if settings else None
    if wanted is not None and "x_m" in wanted:
        return f"none: fixed position, good to {wanted['sigma_m']:g} m"
    if survey is None:
        return None
    how_far = f"{survey['duration_s']} s, {survey['position_sigma_m']:.3g} m"
    if survey["active"]:
        return f"goes on: {how_far}"
    return f"done: {how_far}" if survey["valid"] else "none: no position is held"


def _rf(rf: dict[str, Any], settings: dict[str, Any]) -> list[tuple[str, object]]:
    power = {True: ", powered", False: ", not powered", None: ""}[rf.get("antenna_powered")]
    antenna = rf.get("antenna")
    indicator = rf.get("jamming_indicator")
    jamming = rf.get("jamming")
    if jamming is not None:
        jamming += "" if indicator is None else f" ({indicator} of 255)"
        if rf["jamming"] == JammingState.UNKNOWN.name and settings.get("jamming_watch") is False:
            jamming = "monitor off (`timecard gnss configure --time-card` switches it on)"
    return [
        ("antenna", None if antenna is None else f"{antenna}{power}"),
        ("jamming", jamming),
        ("spoofing", rf.get("spoofing")),
    ]


def _satellites(
    view: dict[str, Any] | None,
    strengths: dict[str, list[float]] | None,
    signals: list[dict[str, Any]] | None,
) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    if view is not None:
        pairs.append(("satellites", f"{view['seen']} seen, {view['used']} used"))
    elif signals is not None:
        pairs.append(("satellites", f"{len({(each['system'], each['satellite']) for each in signals})} seen"))
    else:
        pairs.append(("satellites", None))
    for name, values in (strengths or {}).items():
        shown = " ".join(f"{value:.0f}" for value in values)
        pairs.append((f"  {name}", f"{len(values)} at {shown} dBHz"))
    return pairs


def _shown(value: object) -> object:
    return "unknown" if value is None else value
