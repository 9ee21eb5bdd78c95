"""The GNSS receiver, its antenna, and the FPGA's time-of-day slave that listens to it."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.digits import whole_number
from timecard.doctor.checks.pulses import UNSYNCED
from timecard.doctor.facts import ReceiverFacts
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity
from timecard.pcie.tod_slave import BAUDS
from timecard.timescale import TAI_MINUS_UTC_2017_S

ANTENNA_SHORT: Final = 3
ANTENNA_OPEN: Final = 4
JAMMED: Final = MappingProxyType({2: "warning", 3: "critical"})
MAX_OFFSET_S: Final = 45
"""Leap seconds of a lifetime more than today's."""
GARBLED_SHARE: Final = 0.05
GARBLED_BYTES: Final = 64
_NO_PULSE: Final = ("pps-none", "pps-lost", "pps-errors", *UNSYNCED)
_NO_DATA: Final = ("tod-silent", "tod-errors", "utc-unknown", "clock-1970", "clock-wrong")
_NO_FIX: Final = ("gnss-no-fix", "utc-unknown", "tod-silent", *_NO_PULSE)
ENTRIES: Final = MappingProxyType(
    {
        "receiver-silent": Entry(
            severity=Severity.FAIL,
            title="nothing comes from the GNSS receiver",
            cause="No byte at any baud rate: no receiver is fitted, it is held in reset, or the line is cut.",
            fix="Check that the receiver module is fitted; release its reset line (GPIO GNSS1_RESET), power "
            "cycle; with two receivers, look at the second port.",
            explains=("gnss-no-fix", *_NO_DATA, *_NO_PULSE),
        ),
        "receiver-garbled": Entry(
            severity=Severity.FAIL,
            title="the GNSS port receives noise",
            cause="{corrupt} of {heard} bytes belong to no valid message: wrong baud rate of a second "
            "talker, a floating line, a bad ground.",
            fix="Check baud rate, ground and level of the line; make sure that only one device drives it.",
            explains=("receiver-foreign", *_NO_DATA),
        ),
        "receiver-baud": Entry(
            severity=Severity.FAIL,
            title="the receiver talks at {heard} baud, the port is set to {set}",
            cause="The receiver was configured for another rate, or lost its configuration.",
            fix="Set the receiver to {set} baud: `timecard gnss configure FILE` with `baud = {set}`; the "
            "FPGA's time-of-day slave listens at that rate as well.",
            explains=("receiver-garbled", "gnss-no-fix", "tod-baud", *_NO_DATA),
        ),
        "receiver-foreign": Entry(
            severity=Severity.WARN,
            title="the receiver speaks {protocol}",
            cause="{complaint}",
            fix="Have it speak UBX, SBF or NMEA, or use one that is driven (u-blox, Septentrio mosaic, any "
            "with NMEA); the pulse works meanwhile.",
        ),
        "receiver-deaf": Entry(
            severity=Severity.WARN,
            title="the receiver talks but does not answer",
            cause="{complaint}",
            fix="Enable UBX input on the receiver's port; check the line from card to receiver.",
        ),
        "antenna-open": Entry(
            severity=Severity.FAIL,
            title="the antenna is not connected",
            cause="The receiver sees no antenna current: the cable is open, or a splitter blocks the supply.",
            fix="Check antenna, cable and connectors; behind a splitter that feeds the antenna itself this "
            "message alone is harmless.",
            explains=("jamming", *_NO_FIX),
        ),
        "antenna-short": Entry(
            severity=Severity.FAIL,
            title="the antenna is shorted",
            cause="The receiver's antenna supply is overloaded.",
            fix="Check cable and connectors for a short; check that the antenna takes the receiver's "
            "voltage.",
            explains=("jamming", *_NO_FIX),
        ),
        "jamming": Entry(
            severity=Severity.WARN,
            title="interference at the receiver: {state}",
            cause="A transmitter near the antenna covers the satellites' signals.",
            fix="Move the antenna away from transmitters and switching supplies; use one with filters.",
            explains=_NO_FIX,
        ),
        "gnss-no-fix": Entry(
            severity=Severity.FAIL,
            title="the receiver has no fix",
            cause="Too few satellites: a cold start, an antenna without view of the sky, a weak signal.",
            fix="Wait up to a few minutes after a start; else give the antenna a free view of the sky, and "
            "check the cable's loss.",
            explains=("utc-unknown", *_NO_PULSE),
        ),
        "tod-off": Entry(
            severity=Severity.FAIL,
            title="the time-of-day slave is switched off",
            cause="Its enable bit is 0: the clock learns no seconds and no leap data.",
            fix="Set the enable bit (bit 0 at {offset}): `timecard bringup` with [receiver] does where it "
            "drives the registers, and so does binding the driver anew.",
            explains=_NO_DATA,
        ),
        "tod-baud": Entry(
            severity=Severity.FAIL,
            title="the time-of-day slave listens at {slave} baud, the receiver talks at {receiver}",
            cause="Open FPGA images start with 19200 baud, receivers of the card with 115200.",
            fix="Set the slave to {receiver} baud: `timecard bringup` with [receiver] does, by the registers "
            "or by the vendor driver's tod_baud_rate. The mainline driver cannot: unbind it for that.",
            explains=("tod-protocol", *_NO_DATA),
        ),
        "tod-protocol": Entry(
            severity=Severity.FAIL,
            title="the time-of-day slave expects {slave}, the receiver speaks UBX",
            cause="NMEA sentences carry no leap seconds, so that TAI cannot be told from them.",
            fix="Set the slave to UBX: `timecard bringup` with [receiver] does, by the registers or by the "
            "vendor driver's tod_protocol; the mainline driver does it when it is bound.",
            explains=_NO_DATA,
        ),
        "tod-errors": Entry(
            severity=Severity.WARN,
            title="the time-of-day slave reads damaged messages: {errors}",
            cause="Checksums or characters are wrong on the line from the receiver.",
            fix="Compare baud rate and protocol of slave and receiver; check the line's polarity. The flags "
            "stay until they are cleared.",
            explains=("tod-silent", "utc-unknown"),
        ),
        "tod-silent": Entry(
            severity=Severity.FAIL,
            title="the time-of-day slave knows nothing",
            cause="No message that it understands came for 3 s.",
            fix="Let the receiver send NAV-TIMEUTC and NAV-TIMELS once a second (`timecard bringup` with "
            "[receiver], or `timecard gnss configure --time-card`).",
            explains=("clock-1970", "clock-wrong", "clock-not-in-sync"),
        ),
        "tod-not-served": Entry(
            severity=Severity.INFO,
            title="the time-of-day slave does not understand this receiver ({protocol})",
            cause="The slave reads UBX; a {model} speaks another language, so the FPGA learns no seconds.",
            fix="Nothing, where a program sets the clock: `timecard bringup` with [time], or the appliance. "
            "A u-blox receiver that sends NMEA only looks like this too: enable UBX on its port.",
        ),
        "tod-correction": Entry(
            severity=Severity.WARN,
            title="the time of day is corrected by {seconds} s",
            cause="The slave's correction register is not 0: the clock's seconds are off by as much.",
            fix="Write 0 to the correction (driver: `echo 0 > tod_correction`), unless it is meant so.",
            explains=("clock-wrong",),
        ),
        "utc-offset-implausible": Entry(
            severity=Severity.FAIL,
            title="TAI minus UTC is said to be {seconds} s",
            cause="Right now it is 37 s. The receiver has no leap data yet (it then guesses), or the card "
            "answers nonsense.",
            fix="Wait until the receiver has its leap data (12.5 minutes after a cold start). If the driver "
            "keeps the wrong value: write it to utc_tai_offset.",
        ),
        "utc-unknown": Entry(
            severity=Severity.INFO,
            title="TAI minus UTC is not known yet",
            cause="The receiver sends its leap data only when it has heard them from a satellite.",
            fix="Wait up to 12.5 minutes.",
        ),
    }
)


def line(case: Case) -> Iterator[Seen]:
    """Who talks on the GNSS port, and how."""
    receiver = case.card.receiver
    if receiver is None:
        return
    heard = f"{receiver.bytes_heard} bytes heard"
    complaint = receiver.complaint or ""
    evidence = (heard, complaint) if complaint else (heard,)
    corrupt = receiver.corrupt_bytes
    words = {"corrupt": corrupt, "heard": receiver.bytes_heard, "complaint": complaint}
    if receiver.bytes_heard == 0:
        yield Seen("receiver-silent", evidence)
    elif receiver.answers_at is not None and receiver.answers_at != receiver.baud:
        yield Seen("receiver-baud", evidence, {"heard": receiver.answers_at, "set": receiver.baud})
    elif receiver.protocol not in ("UBX", "NMEA", None) and receiver.model is None:
        yield Seen("receiver-foreign", evidence, words | {"protocol": receiver.protocol})
    elif receiver.answers_at is None or _noisy(receiver):
        yield Seen("receiver-garbled", (*evidence, f"{corrupt} corrupt"), words)
    elif receiver.model is None:
        yield Seen("receiver-deaf", evidence, words)


def sky(case: Case) -> Iterator[Seen]:
    """Antenna, interference, fix: from the FPGA's view and from the receiver's own messages."""
    tod, receiver = case.card.time_of_day, case.card.receiver
    antennas = {tod.antenna if tod else None, _antenna(receiver)}
    if ANTENNA_OPEN in antennas:
        yield Seen("antenna-open", ("antenna status: open",))
    if ANTENNA_SHORT in antennas:
        yield Seen("antenna-short", ("antenna status: short",))
    worst = JAMMED.get(max(tod.jamming or 0 if tod else 0, _jamming(receiver)))
    if worst is not None:
        yield Seen("jamming", (f"jamming state: {worst}",), {"state": worst})
    fixes = [value for value in (tod.fix_ok if tod else None, receiver.fix_ok if receiver else None)]
    if False in fixes and True not in fixes:
        seen = tod.satellites_used if tod else None
        yield Seen(
            "gnss-no-fix",
            (f"fix not ok, {seen if seen is not None else 'unknown number of'} satellites used",),
        )


def time_of_day(case: Case) -> Iterator[Seen]:
    """The FPGA's parser of the receiver's messages."""
    tod, board = case.card.time_of_day, case.board
    if tod is None or board is None:
        return
    if not tod.enabled:
        offset = f"{board.at('tod', 'ctrl'):#x}" if board.has("tod") else "its control register"
        yield Seen("tod-off", ("enable bit 0",), {"offset": offset})
        return
    yield from _settings(case)
    if tod.errors:
        yield Seen(
            "tod-errors", tuple(f"{name} error" for name in tod.errors), {"errors": ", ".join(tod.errors)}
        )
    if tod.correction_s:
        yield Seen("tod-correction", (f"correction {tod.correction_s} s",), {"seconds": tod.correction_s})
    if tod.tai_minus_utc_s is not None:
        yield from _offset(tod.tai_minus_utc_s, "time-of-day slave")
    elif tod.fix_ok is None and (other := _other_language(case.card.receiver)):
        yield Seen("tod-not-served", (f"receiver: {other['model']}",), other)
    elif tod.fix_ok is None:
        yield Seen("tod-silent", ("neither leap data nor receiver state",))
    else:
        yield Seen("utc-unknown", ("offset not valid",))


def driver_offset(case: Case) -> Iterator[Seen]:
    """What the driver keeps as TAI minus UTC."""
    kernel = case.card.kernel
    text = kernel.attributes.get("utc_tai_offset", "") if kernel else ""
    seconds = whole_number(text)
    if seconds:  # 0: nobody has told it yet
        yield from _offset(seconds, "utc_tai_offset")


def _settings(case: Case) -> Iterator[Seen]:
    tod, words, receiver = case.card.time_of_day, case.card.words, case.card.receiver
    if tod is None or receiver is None or receiver.answers_at is None:
        return
    code = words.tod_baud if words else None
    slave = BAUDS[code] if code is not None and 0 <= code < len(BAUDS) else None
    shown = case.card.kernel.attributes.get("tod_baud_rate", "") if case.card.kernel else ""
    told = whole_number(shown)
    if told is not None:
        slave = told
    if slave is not None and slave != receiver.answers_at:
        texts = {"slave": slave, "receiver": receiver.answers_at}
        yield Seen("tod-baud", (f"slave at {slave}", f"receiver heard at {receiver.answers_at}"), texts)
    if receiver.protocol == "UBX" and tod.protocol != "UBX":
        yield Seen("tod-protocol", (f"protocol {tod.protocol}",), {"slave": tod.protocol})


def _other_language(receiver: ReceiverFacts | None) -> dict[str, str] | None:
    """A receiver that was identified and is no u-blox."""
    if receiver is None or receiver.model is None or receiver.protocol in ("UBX", None):
        return None
    return {"model": receiver.model, "protocol": receiver.protocol}


def _offset(seconds: int, source: str) -> Iterator[Seen]:
    if not TAI_MINUS_UTC_2017_S <= seconds <= MAX_OFFSET_S:
        yield Seen("utc-offset-implausible", (f"{source}: {seconds}",), {"seconds": seconds})


def _noisy(receiver: ReceiverFacts) -> bool:
    corrupt = receiver.corrupt_bytes
    return corrupt > GARBLED_BYTES and corrupt > receiver.bytes_heard * GARBLED_SHARE


def _antenna(receiver: ReceiverFacts | None) -> int | None:
    names = {"SHORT": ANTENNA_SHORT, "OPEN": ANTENNA_OPEN}
    return names.get(receiver.antenna or "") if receiver else None


def _jamming(receiver: ReceiverFacts | None) -> int:
    names = {"WARNING": 2, "CRITICAL": 3}
    return names.get(receiver.jamming or "", 0) if receiver else 0


GROUP: Final = Group(
    title="Receiver and time of day",
    entries=ENTRIES,
    card_checks=(line, sky, time_of_day, driver_offset),
)
