"""A receiver that nobody knows, in one file of another package: it is found, opened and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.other_package import install, run_with

RECEIVER_FILE = '''
"""Bench receiver: says "T <TAI seconds>" once a second at 19200 baud, and its name when asked with "?"."""

from timecard.errors import DeviceAbsentError, UnsupportedError
from timecard.gnss.driver import Capability, ReceiverDriver
from timecard.gnss.intent import Change, Plan
from timecard.timescale import NS_PER_S
from timecard.values import AntennaPosition, FixType, GnssFix, ReceiverIdentity


class BenchReceiver:
    capabilities = frozenset({Capability.CONFIGURE})
    restarts = 0

    def __init__(self, stream, timebase, intent=None):
        self.name = stream.name
        self.identity = None
        self._stream, self._timebase, self._intent = stream, timebase, intent
        self._buffer = b""

    def ask(self, question, timeout_s=1.0):
        self._stream.write(question)
        deadline_ns = self._timebase.mono_ns() + round(timeout_s * NS_PER_S)
        while (left_ns := deadline_ns - self._timebase.mono_ns()) > 0:
            self._buffer += self._stream.read(256, left_ns / NS_PER_S)
            *lines, self._buffer = self._buffer[-4096:].split(b"\\n")
            for line in lines:
                if line.startswith(question[:1].upper()):
                    return line[1:].decode("ascii", "replace").strip()
        return None

    def start(self):
        answer = self.ask(b"?")
        if answer is None or not answer.startswith("BENCH"):
            raise DeviceAbsentError(self.name, "identify GNSS receiver", "nobody answers")
        model, _, firmware = answer.partition(" ")
        self.identity = ReceiverIdentity(
            model=model, firmware=firmware, protocol="bench", read_mono_ns=self._timebase.mono_ns()
        )
        if self._intent is not None:
            self.apply(self.plan(self._intent))

    def poll(self, timeout_s):
        self._buffer += self._stream.read(256, timeout_s)
        *lines, self._buffer = self._buffer[-4096:].split(b"\\n")
        now = self._timebase.mono_ns()
        return [
            GnssFix(
                epoch_tai_ns=int(line[2:]) * NS_PER_S, fix=FixType.FIX_3D, fix_ok=True, time_valid=True,
                utc_resolved=False, time_accuracy_ns=None, satellites_used=None, read_mono_ns=now,
            )
            for line in lines
            if line.startswith(b"T ") and line[2:].isdigit()
        ] + [
            AntennaPosition(
                latitude_deg=float(line.split()[1]), longitude_deg=float(line.split()[2]), height_m=500.0,
                sigma_m=None, read_mono_ns=now,
            )
            for line in lines
            if line.startswith(b"P ")
        ]

    def plan(self, intent):
        changes = ()
        if intent.cable_delay_ns is not None:
            before = int(self.ask(b"d"))
            if before != intent.cable_delay_ns:
                changes = (
                    Change(setting="cable_delay_ns", key="delay", before=before, after=intent.cable_delay_ns),
                )
        unsupported = () if intent.pulse is None else ("pulse: it has none",)
        return Plan(changes=changes, unsupported=unsupported, store=intent.store)

    def apply(self, plan):
        for change in plan.changes:
            if self.ask(b"d=%d\\n" % change.after) != str(change.after):
                raise UnsupportedError(self.name, "configure", change.key)

    def undo(self, plan):
        for change in plan.changes:
            self.ask(b"d=%d\\n" % change.before)


def probe(stream, timebase):
    receiver = BenchReceiver(stream, timebase)
    try:
        receiver.start()
    except DeviceAbsentError:
        return None
    return receiver.identity


DRIVER = ReceiverDriver(name="bench", bauds=(19_200,), probe=probe, open=BenchReceiver,
                        poll_messages={"position": (b"p",)})
'''

SCRIPT = '''
import json
from tests.unit.gnss.rated_wire import START_S, RatedWire, wire_to
from timecard.cli.gnss_line import Found, Line
from timecard.cli.gnss_status import look
from timecard.emulator.world import VirtualTime
from timecard.gnss.detect import detect
from timecard.gnss.intent import GnssIntent, Pulse
from timecard.gnss.receivers import RECEIVERS
from timecard.timescale import NS_PER_S
from timecard.values import AntennaPosition


class Device:
    """The other end."""

    baud = 19_200

    def __init__(self):
        self.said = bytearray()
        self.second = START_S
        self.delay = 0

    def receive(self, data, t_ns):
        if data == b"?":
            self.said += b"?BENCH 1.0\\n"
        elif data == b"d":
            self.said += b"D%d\\n" % self.delay
        elif data == b"p":
            self.said += b"P 48.5 11.5\\n"
        elif data[:2] == b"d=":
            self.delay = int(data[2:])
            self.said += b"D%d\\n" % self.delay

    def transmit(self, t_ns):
        while t_ns // NS_PER_S > self.second:
            self.second += 1
            self.said += b"T %d\\n" % self.second
        data, self.said = bytes(self.said), bytearray()
        return data


device = Device()
wire = RatedWire(device, VirtualTime(START_S * NS_PER_S))
found = detect(wire, wire.time)
receiver = found.driver.open(wire, wire.time, GnssIntent(cable_delay_ns=40))
receiver.start()
plan = receiver.plan(GnssIntent(cable_delay_ns=41, pulse=Pulse()))
receiver.apply(plan)
after = device.delay
receiver.undo(plan)
events = []
while len(events) < 3:
    events += receiver.poll(1.0)
line = Line(place="bench", key="bench", stream=wire, timebase=wire.time, bauds=None)
here = Found(line=line, driver=found.driver, receiver=receiver, identity=found.identity)
unasked, asked = (look(here, ask=ask)[0].latest(AntennaPosition) for ask in (False, True))
f9t = wire_to("f9t")
print(json.dumps({
    "names": list(RECEIVERS),
    "driver": found.driver.name,
    "model": found.identity.model,
    "baud": found.baud,
    "delays": [after, device.delay],
    "position": [unasked, asked and asked.latitude_deg],
    "unsupported": plan.unsupported,
    "steps": [b.epoch_tai_ns - a.epoch_tai_ns for a, b in zip(events, events[1:])],
    "ours": detect(f9t, f9t.time).driver.name,
}))
'''


def test_one_file_makes_a_receiver(tmp_path: Path) -> None:
    install(
        tmp_path, "timecard.receivers", {"bench": "bench_receiver:DRIVER"}, {"bench_receiver": RECEIVER_FILE}
    )
    done = run_with(tmp_path, SCRIPT)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["names"] == ["ublox", "ublox-legacy", "septentrio", "bench", "nmea"], "the listener is last"
    assert (found["driver"], found["model"], found["baud"]) == ("bench", "BENCH", 19_200)
    assert found["delays"] == [41, 40]
    assert found["position"] == [None, 48.5], "the driver says how its receiver is asked"
    assert found["unsupported"] == ["pulse: it has none"]
    assert found["steps"] == [1_000_000_000] * 2
    assert found["ours"] == "ublox"


@pytest.mark.parametrize(
    ("file", "target"),
    [
        (RECEIVER_FILE, "bench_receiver:NOTHING"),
        ("raise OSError('broken')", "bench_receiver:DRIVER"),
        ("DRIVER = 4", "bench_receiver:DRIVER"),
        (RECEIVER_FILE.replace('name="bench"', 'name="ublox"'), "bench_receiver:DRIVER"),
    ],
)
def test_a_receiver_that_cannot_be_used_is_told_and_left_out(tmp_path: Path, file: str, target: str) -> None:
    install(tmp_path, "timecard.receivers", {"bench": target}, {"bench_receiver": file})
    done = run_with(tmp_path, "from timecard.gnss.receivers import RECEIVERS; print(len(RECEIVERS))")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "4\n"
    assert "timecard.receivers bench (bench_receiver:" in done.stderr
