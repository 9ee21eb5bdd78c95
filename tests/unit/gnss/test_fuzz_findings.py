"""What spoilt input has shown once, so that it stays repaired."""

from __future__ import annotations

import pytest

from timecard.emulator.world import VirtualTime
from timecard.errors import ProtocolError, RefusedError
from timecard.gnss.intent import Change, GnssIntent, Plan
from timecard.gnss.receivers.septentrio_dialogue import SeptentrioReceiver
from timecard.gnss.septentrio_line import SeptentrioLine

IDENTITY = (
    "$R: lstInternalFile, Identification\r\n"
    '<hwplatform product="mosaic-T"/><firmware version="4.14"/>\r\nCOM1>'
)
CAPABILITIES = "$R: getReceiverCapabilities\r\nReceiverCapabilities, Main, GPSL1CA+GALE1BC\r\nCOM1>"


class Answers:
    """Gives each command its answer, and whatever is put behind it."""

    name = "line"

    def __init__(self, behind: bytes = b"", **answers: str) -> None:
        self.answers = {"lstInternalFile": IDENTITY, "getReceiverCapabilities": CAPABILITIES, **answers}
        self.behind = behind
        self.time = VirtualTime(1_800_000_000_000_000_000)
        self.written = b""
        self._ready = b""

    def write(self, data: bytes) -> None:
        self.written += data
        word = data.strip(b"\r").split(b",")[0].decode("ascii")
        if word in self.answers:
            self._ready += self.answers[word].encode("latin-1") + self.behind

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        data, self._ready = self._ready[:max_bytes], self._ready[max_bytes:]
        self.time.sleep_s(0.001 if data else max(timeout_s, 1e-6))
        return data


@pytest.mark.parametrize("behind", [b"", b"$@\xa2\x80\xff\xfe\x10\x00" * 20])
def test_data_right_behind_a_reply_is_not_taken_for_the_port(behind: bytes) -> None:
    line = Answers(behind)
    kept = bytearray()
    reply = SeptentrioLine(line, line.time, kept.extend).ask("lstInternalFile, Identification")
    assert reply.port == "COM1"
    assert bytes(kept) == behind


def test_a_setting_with_too_many_arguments_is_an_error_of_ours() -> None:
    streams = "\r\n".join(
        f"SBFOutput, Stream{number}, COM1, PVTGeodetic, sec1, more" for number in range(1, 11)
    )
    line = Answers(getSBFOutput="", getDataInOut="")

    def write(data: bytes) -> None:
        command = data.strip(b"\r").decode("ascii")
        line.answers[command.split(",")[0]] = line.answers.get(command.split(",")[0], "")
        if command.startswith("getSBFOutput"):
            line.answers["getSBFOutput"] = f"$R: {command}\r\n{streams}\r\nCOM1>"
        Answers.write(line, data)

    line.write = write  # type: ignore[method-assign]  # this line alone says so
    with pytest.raises(ProtocolError, match="number of arguments"):
        SeptentrioReceiver(line, line.time).plan(GnssIntent(messages="time-card"))


def test_a_setting_that_was_read_wrong_is_never_sent() -> None:
    line = Answers(getElevationMask="$R: getElevationMask, PVT\r\nElevationMask, PVT, 1\x9e0\r\nCOM1>")
    receiver = SeptentrioReceiver(line, line.time)
    with pytest.raises(ProtocolError, match="says nothing of ElevationMask"):
        receiver.plan(GnssIntent(elevation_mask_deg=10))
    change = Change(setting="elevation_mask_deg", key="ElevationMask, PVT", before="10", after="1\x9e0")
    with pytest.raises((ProtocolError, RefusedError), match="no command has such characters"):
        receiver.apply(Plan(changes=(change,)))
    assert b"\x9e" not in line.written
