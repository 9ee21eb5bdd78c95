"""An emulated Septentrio mosaic-T on COM1: SBF and NMEA streams, and the command line on the same port.

Reference guide, "Command Line Interface": commands end with CR; a reply repeats the command, then shows the
state, and ends with the prompt. ``$R:`` is done, ``$R;`` a listing in blocks, ``$R?`` an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from timecard.emulator.receiver_core import Piece, ReceiverCore
from timecard.emulator.receiver_epoch import Epoch
from timecard.emulator.receiver_leap import LeapSchedule
from timecard.emulator.receiver_mosaic_settings import ITEMS, MNEMONICS, SIGNALS, STREAMS, MosaicSettings
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.receiver_nmea import SENTENCES
from timecard.emulator.receiver_pulse import PulsePhysics
from timecard.emulator.receiver_sbf import BLOCKS, EVERY_S, FIRMWARE, MODEL, SERIAL, block

PORT: Final = "COM1"
MAX_COMMAND: Final = 2000
_ESCAPE: Final = "S" * 10
TIME_CARD_BOOT: Final = (
    "SBFOutput, Stream1, COM1, PVTGeodetic+ReceiverTime+xPPSOffset+GPSUtc+ReceiverStatus, sec1",
    "SBFOutput, Stream2, COM1, MeasEpoch+ChannelStatus+DOP, sec5",
)
"""Streams on at power-up, as on a card in service."""
_IDENTIFICATION: Final = (
    '<?xml version="1.0" encoding="ISO-8859-1" ?>\r\n'
    '<rxproduct xmlns="http://septentrio.com/ns/ProductDescription/2.9">\r\n',
    f'    <hwplatform product="{MODEL}"\r\n                name="GRB0051" serialnr="{SERIAL}">\r\n'
    "    </hwplatform>\r\n",
    f'    <firmware version="{FIRMWARE}" date="240412" rev="model">\r\n    </firmware>\r\n',
    "</rxproduct>\r\n",
)


class EmulatedMosaic(ReceiverCore):
    """A ``SerialDevice`` that is a mosaic-T."""

    def __init__(
        self,
        gnss: PulsePhysics,
        start_tai_ns: int,
        *,
        seed: int = 0,
        start: Start = Start.HOT,
        boot: Sequence[str] = TIME_CARD_BOOT,
        leap: LeapSchedule | None = None,
    ) -> None:
        self._mosaic = MosaicSettings(boot)
        self._typed = bytearray()
        self._leap_shown: tuple[int, ...] | None = None
        super().__init__(gnss, start_tai_ns, self._mosaic, seed=seed, start=start, leap=leap)

    # --- one second -----------------------------------------------------------------------------------------

    def _messages(self, epoch: Epoch, count: int) -> Sequence[Piece]:
        pieces = []
        for name, rate in self._blocks:
            if name in EVERY_S and not self._news(name, epoch, count):
                continue
            if count % rate == 0:
                number, revision, build = BLOCKS[name]
                pieces.append(Piece(block(epoch, number, revision, build(epoch))))
        pieces += [Piece(SENTENCES[kind](epoch)) for kind, rate in self._sentences if count % rate == 0]
        return pieces

    def _news(self, name: str, epoch: Epoch, count: int) -> bool:
        if name != "GPSUtc":
            return count % EVERY_S[name] == 0
        if not epoch.nav.leap_known:
            return False
        shown = (epoch.leap.tai_minus_utc_s(epoch.tai_s), epoch.leap.coming(epoch.tai_s)[0])
        news = shown != self._leap_shown
        self._leap_shown = shown
        return news or count % EVERY_S[name] == 0

    def _configured(self) -> None:
        output = self._mosaic.current["DataInOut", PORT][1].split("+")
        self._blocks = self._streams("SBFOutput", list(BLOCKS)) if "SBF" in output else []
        self._sentences = self._streams("NMEAOutput", list(SENTENCES)) if "NMEA" in output else []

    def _streams(self, item: str, order: Sequence[str]) -> list[tuple[str, int]]:
        rates: dict[str, int] = {}
        for stream in STREAMS:
            port, messages, interval = self._mosaic.current[item, stream]
            if port != PORT or interval == "off":
                continue
            period_s = int(interval.removeprefix("sec")) if interval.startswith("sec") else 1
            for message in messages.split("+"):
                rates[message] = min(period_s, rates.get(message, period_s))
        return [(name, rates[name]) for name in order if name in rates]

    # --- the command line -----------------------------------------------------------------------------------

    def _hear(self, data: bytes, t_ns: int) -> None:
        for byte in data:
            if byte in b"\r\n":
                command, self._typed = self._typed.decode("latin-1").strip(), bytearray()
                if command or byte == 0x0D:
                    self._command(command, t_ns)
            elif len(self._typed) < MAX_COMMAND:
                self._typed.append(byte)

    def _command(self, command: str, t_ns: int) -> None:
        words = [word.strip() for word in command.split(",")]
        name = next((full for short, full in MNEMONICS.items() if short == words[0].lower()), words[0])
        if not command or command.endswith(_ESCAPE):
            self._say("", t_ns)
        elif name.lower() == "lstinternalfile" and [word.lower() for word in words[1:]] == ["identification"]:
            self._listing(command, _IDENTIFICATION, t_ns)
        elif name.lower() == "getreceivercapabilities":
            abilities = ", ".join(("Main", "+".join(SIGNALS), "COM1+COM2+COM3+USB1", "PPS", "10", "10"))
            self._say(f"$R: {command}\r\n  ReceiverCapabilities, {abilities}\r\n", t_ns)
        elif name.lower() == "execopyconfigfile":
            done = len(words) == 3 and self._mosaic.copy(words[1], words[2])
            state = f"  CopyConfigFile, {', '.join(words[1:])}\r\n"
            error = "exeCopyConfigFile: Argument 'Source' is invalid!"
            self._say(f"$R: {command}\r\n{state}" if done else f"$R? {error}\r\n", t_ns)
        elif name.lower() == "exeresetreceiver":
            self.restart(t_ns, Start.COLD if "satdata" in command.lower() else Start.HOT)
        else:
            self._item(name, command, words[1:], t_ns)
        if self._seen_changes != self._mosaic.changes:
            self._refresh_config(t_ns)

    def _item(self, name: str, command: str, words: Sequence[str], t_ns: int) -> None:
        item = next((known for known in ITEMS if known.lower() == name[3:].lower()), None)
        verb = name[:3].lower()
        if item is None or verb not in ("set", "get"):
            self._say(f"$R? {name}: Invalid command!\r\n", t_ns)
            return
        if verb == "set" and item == "PVTMode" and words[:1] == ["Rover"]:
            self._navigation.end_survey()
        problem = None
        slot = words[0] if words and ITEMS[item].slots else ""
        if verb == "set":
            problem = self._mosaic.set(item, words)
        elif slot and self._mosaic.slot_of(item, slot) is None:
            problem = "Argument 'Slot' is invalid!"
        if problem:
            self._say(f"$R? {verb}{item}: {problem}\r\n", t_ns)
            return
        lines = self._mosaic.lines(item, self._mosaic.slot_of(item, slot) or "" if slot else "")
        self._say(f"$R: {command}\r\n" + "".join(f"{line}\r\n" for line in lines), t_ns)

    def _listing(self, command: str, parts: Sequence[str], t_ns: int) -> None:
        text = f"$R; {command}\r\n---->"
        for number, part in enumerate(parts, start=1):
            end = f"{PORT}>" if number == len(parts) else "---->"
            text += f"$-- BLOCK {number} / {len(parts)}\r\n{part}\r\n{end}"
        self._answer(text.encode("latin-1", "replace"), t_ns)

    def _say(self, text: str, t_ns: int) -> None:
        self._answer(f"{text}{PORT}>".encode("latin-1", "replace"), t_ns)
