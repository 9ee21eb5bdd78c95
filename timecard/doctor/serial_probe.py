"""Who answers on the serial ports. Asks for identity and state only; no setting of a device is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from timecard.boards.board import Board, Role
from timecard.card_protocols import Card
from timecard.doctor.facts import OscillatorFacts, ReceiverFacts
from timecard.errors import DeviceAbsentError, DeviceTimeoutError, ProtocolError, RefusedError, TimeCardError
from timecard.gnss import ublox_messages
from timecard.gnss.detect import detect
from timecard.gnss.driver import Receiver, ReceiverDriver
from timecard.gnss.foreign import protocol_name
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.receivers import RECEIVERS
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import Framer, NmeaSentence, UbxFrame, encode
from timecard.mac.detect import Detected as FoundOscillator
from timecard.mac.detect import detect as detect_oscillator
from timecard.mac.driver import Oscillator, OscillatorDriver
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.oscillators.mro50 import Mro50
from timecard.pcie.mro50_bridge import has_the_part
from timecard.pcie.register_card import RegisterCard
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData, GnssEvent, GnssFix, ReceiverIdentity, RfStatus

SCANNED_BAUDS: Final = (115_200, 9_600, 38_400, 460_800, 921_600, 230_400, 57_600, 19_200)
"""Rates that receivers are used with, the likeliest first."""
LISTEN_S: Final = 1.15
"""A second's messages, and a little more."""
SCAN_S: Final = 0.6
"""At each further rate, after a poll that a u-blox receiver answers at once."""
OTHERS_S: Final = 2.0
"""For receivers that are not u-blox."""
_ASKED_OR_READ: Final = ("ublox", "ublox-legacy", "nmea")
SAMPLE_BYTES: Final = 2048
MAX_READ: Final = 4096


class CountingStream:
    """A stream that remembers how much came, and the beginning of it."""

    def __init__(self, stream: ByteStream) -> None:
        self.name = stream.name
        self.heard = 0
        self.sample = bytearray()
        self._stream = stream

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """As of the stream itself."""
        data = self._stream.read(max_bytes, timeout_s)
        self.heard += len(data)
        if len(self.sample) < SAMPLE_BYTES:
            self.sample += data[:SAMPLE_BYTES]
        return data

    def write(self, data: bytes) -> None:
        """As of the stream itself."""
        self._stream.write(data)


def examine_receiver(card: Card, timebase: Timebase) -> ReceiverFacts:
    """Ask the receiver who it is and how it is; a silent one is looked for at other rates."""
    baud = card.board.serial_ports[Role.GNSS].baud
    stream = CountingStream(card.serial(Role.GNSS, baud))
    receiver = UbloxReceiver(
        stream, timebase, UbloxOptions(configure=False, identify_timeout_s=LISTEN_S, identify_tries=2)
    )
    try:
        receiver.start()
    except TimeCardError as error:
        others = {name: driver for name, driver in RECEIVERS.items() if name not in _ASKED_OR_READ}
        other = _other_receiver(stream, timebase, baud, others)
        if other is None and _classified(bytes(stream.sample), timebase.mono_ns())[0] == "NMEA":
            other = _other_receiver(stream, timebase, baud, {"nmea": RECEIVERS["nmea"]})
        return other or _unidentified(card, timebase, baud, stream, receiver, error.reason)
    facts = _receiver_facts(receiver, "UBX", timebase, stream, baud)
    return replace(facts, corrupt_bytes=receiver.health().corrupt_bytes)


def _other_receiver(
    stream: CountingStream, timebase: Timebase, baud: int, drivers: Mapping[str, ReceiverDriver]
) -> ReceiverFacts | None:
    """Of another maker, at the port's own rate; None when nobody else answers, or tells the time."""
    if not stream.heard:
        return None
    try:
        found = detect(stream, timebase, drivers=drivers, limit_s=OTHERS_S)
        receiver = found.driver.open(stream, timebase, None)
        receiver.start()
    except TimeCardError:
        return None
    protocol = found.identity.protocol if found.identity else found.driver.name
    return _receiver_facts(receiver, protocol, timebase, stream, baud)


def _receiver_facts(
    receiver: Receiver, protocol: str, timebase: Timebase, stream: CountingStream, baud: int
) -> ReceiverFacts:
    """What an identified receiver says within a second."""
    events = _listen(receiver, timebase)
    identity = receiver.identity
    fixes = [event for event in events if isinstance(event, GnssFix)]
    antennas = [event.antenna for event in events if isinstance(event, RfStatus) and event.antenna]
    jammings = [event.jamming for event in events if isinstance(event, RfStatus) and event.jamming]
    return ReceiverFacts(
        baud=baud,
        answers_at=baud,
        bytes_heard=stream.heard,
        protocol=protocol,
        model=identity.model if identity else None,
        firmware=identity.firmware if identity else None,
        fix_ok=fixes[-1].fix_ok if fixes else None,
        fix=fixes[-1].fix.name if fixes else None,
        time_valid=fixes[-1].time_valid if fixes else None,
        satellites_used=fixes[-1].satellites_used if fixes else None,
        antenna=antennas[-1].name if antennas else None,
        jamming=jammings[-1].name if jammings else None,
    )


def examine_oscillator(card: Card, board: Board, timebase: Timebase) -> OscillatorFacts:
    """Ask the oscillator module who it is and how it is."""
    baud = board.serial_ports[Role.MAC].baud
    part: Oscillator | None = None
    if isinstance(card, RegisterCard) and has_the_part(card.bus):
        # Its serial port would have to be connected first.
        part = Mro50(card.oscillator_bridge(), timebase)
    else:
        card.serial(Role.MAC, baud)  # a port that cannot be opened says nothing of the part
    try:
        if part is not None:
            identity = part.identify()
        else:
            found = _found_oscillator(card, board, timebase, baud)
            part, identity = found.oscillator, found.identity
    except TimeCardError as error:
        return OscillatorFacts(baud=baud, family=None, complaint=error.reason)
    try:
        status = part.status(full=True)
    except (DeviceTimeoutError, ProtocolError) as error:
        return OscillatorFacts(
            baud=baud,
            family=identity.family,
            model=identity.model,
            serial=identity.serial,
            complaint=error.reason,
        )
    return OscillatorFacts(
        baud=baud,
        family=identity.family,
        model=identity.model,
        serial=identity.serial,
        locked=status.locked,
        alarms=status.alarm_names,
        pps_detected=status.pps_detected,
    )


def _found_oscillator(card: Card, board: Board, timebase: Timebase, baud: int) -> FoundOscillator:
    """Whoever answers at any rate; then once more the part that belongs there: an answer may be lost."""

    def ask(drivers: Iterable[OscillatorDriver]) -> FoundOscillator:
        return detect_oscillator(
            lambda rate: card.serial(Role.MAC, rate),
            timebase,
            expected=board.oscillator_family,
            port_baud=baud,
            drivers=drivers,
            rounds=1,
        )

    try:
        return ask(OSCILLATORS.values())
    except DeviceAbsentError as error:
        family = board.oscillator_family
        usual = [part for part in OSCILLATORS.values() if part.family == family and part.baud == baud]
        if not usual:
            raise
        try:
            return ask(usual)
        except DeviceAbsentError:
            raise error from None


def _listen(receiver: Receiver, timebase: Timebase) -> list[GnssEvent]:
    events: list[GnssEvent] = []
    deadline_ns = timebase.mono_ns() + round(LISTEN_S * NS_PER_S)
    while (left_ns := deadline_ns - timebase.mono_ns()) > 0:
        events += receiver.poll(left_ns / NS_PER_S)
    return events


def _unidentified(
    card: Card, timebase: Timebase, baud: int, stream: CountingStream, receiver: UbloxReceiver, complaint: str
) -> ReceiverFacts:
    health = receiver.health()
    heard, corrupt = stream.heard, health.corrupt_bytes
    if health.frames:
        protocol, _ = _classified(bytes(stream.sample), timebase.mono_ns())
        return ReceiverFacts(
            baud=baud,
            answers_at=baud,
            bytes_heard=heard,
            protocol=protocol,
            complaint=complaint,
            corrupt_bytes=corrupt,
        )
    foreign = protocol_name(bytes(stream.sample))
    if foreign not in (None, "NMEA"):
        return ReceiverFacts(
            baud=baud, answers_at=baud, bytes_heard=heard, protocol=foreign, complaint=complaint
        )
    try:
        for other in (rate for rate in SCANNED_BAUDS if rate != baud):
            data = _heard_at(card, timebase, other)
            heard += len(data)
            found, model = _classified(data, timebase.mono_ns())
            if found is not None:
                return ReceiverFacts(
                    baud=baud,
                    answers_at=other,
                    bytes_heard=heard,
                    protocol=found,
                    model=model,
                    complaint=complaint,
                )
    finally:
        card.serial(Role.GNSS, baud)
    return ReceiverFacts(
        baud=baud, answers_at=None, bytes_heard=heard, complaint=complaint, corrupt_bytes=corrupt
    )


def _heard_at(card: Card, timebase: Timebase, baud: int) -> bytes:
    try:
        stream = card.serial(Role.GNSS, baud)
    except RefusedError:  # the UART's own clock cannot make this rate
        return b""
    stream.write(encode(ublox_messages.MON_VER))
    return b"".join(_read_for(stream, timebase, SCAN_S))


def _classified(data: bytes, now_ns: int) -> tuple[str | None, str | None]:
    """Protocol and model of what was heard; a foreign binary protocol by its name."""
    protocol = model = None
    for item in Framer().feed(data, now_ns):
        if isinstance(item, CorruptData):
            continue
        if isinstance(item, UbxFrame):
            protocol = "UBX"
            if item.key == ublox_messages.MON_VER and item.payload:
                event = ublox_messages.parse(item, now_ns)
                model = event.model if isinstance(event, ReceiverIdentity) else model
        elif isinstance(item, NmeaSentence):
            protocol = protocol or "NMEA"
    return protocol or protocol_name(data), model


def _read_for(stream: ByteStream, timebase: Timebase, seconds: float) -> Iterable[bytes]:
    deadline_ns = timebase.mono_ns() + round(seconds * NS_PER_S)
    while (left_ns := deadline_ns - timebase.mono_ns()) > 0:
        yield stream.read(MAX_READ, left_ns / NS_PER_S)
