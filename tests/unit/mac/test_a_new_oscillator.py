"""An oscillator that nobody knows, in one file of another package: found, read, steered and watched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.other_package import install, run_with

PART_FILE = '''
"""A part that only this test knows: "who" and "state" at 19200 baud."""

from timecard.errors import DeviceAbsentError, DeviceTimeoutError, UnsupportedError
from timecard.mac.driver import AlarmBit, OscillatorCapability, OscillatorDriver, PartLimits
from timecard.mac.text_line import TextLine
from timecard.values import OscillatorIdentity, OscillatorStatus


class Bench:
    capabilities = frozenset({OscillatorCapability.STEER})
    max_frequency_ppb = 10.0
    frequency_resolution_ppb = 0.01

    def __init__(self, stream, timebase, *, wear=None):
        self.name = stream.name
        self._timebase = timebase
        self._line = TextLine(stream, timebase, end=b"\\n", max_bytes=80)

    def identify(self):
        text = self._line.ask(b"who\\n", 0.3)
        if text is None or not text.startswith("bench "):
            raise DeviceAbsentError(self.name, "identify oscillator", "nobody")
        return OscillatorIdentity(family="bench", model="Bench", serial=text[6:], firmware="1")

    def status(self, full=False):
        text = self._line.ask(b"state\\n", 0.3)
        if text is None:
            raise DeviceTimeoutError(self.name, "state", "no answer within 0.3 s")
        locked, alarms, steer = (int(word) for word in text.split())
        return OscillatorStatus(
            locked=bool(locked), lock_progress_percent=100 * locked, frequency_ppb=steer / 100, phase_ns=None,
            pps_detected=False, temperature_mdegc=None, alarms=alarms, alarm_names=(),
            read_mono_ns=self._timebase.mono_ns(),
        )

    def set_frequency_ppb(self, frequency_ppb):
        return int(self._line.ask(b"steer %d\\n" % round(frequency_ppb * 100), 0.3)) / 100

    def begin_software_steering(self):
        pass

    def _no(self, *args):
        raise UnsupportedError(self.name, "bench", "it cannot")

    begin_self_disciplining = sync_pulse = latch = store = _no


def probe(stream, timebase):
    try:
        return Bench(stream, timebase).identify()
    except DeviceAbsentError:
        return None


DRIVER = OscillatorDriver(
    family="bench", baud=19200, order=45, probe=probe, open=Bench,
    limits=PartLimits(
        warm_up_s=60.0, temperature_mdegc=(0, 1), max_frequency_ppb=10.0,
        alarm_bits={0: AlarmBit("lamp is dark", "light-low"), 1: AlarmBit("lid is open", "lid-open")},
    ),
)
'''
SCRIPT = """
import json
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.detect import detect
from timecard.mac.oscillators import OSCILLATORS

class Time:
    now = 0
    def mono_ns(self):
        return self.now
    def sleep_s(self, seconds):
        self.now += round(seconds * 1e9)

class Line:
    name = "bench line"
    baud = 0
    state = "1 0"
    steer = 0
    pending = b""
    def read(self, max_bytes, timeout_s):
        data, self.pending = self.pending, b""
        if not data:
            time.sleep_s(timeout_s)
        return data
    def write(self, data):
        if self.baud != 19200:
            return
        if data == b"who\\n":
            self.pending = b"bench 42\\n"
        elif data == b"state\\n":
            self.pending = f"{self.state} {self.steer}\\n".encode()
        elif data.startswith(b"steer "):
            self.steer = int(data[6:])
            self.pending = b"%d\\n" % self.steer

time, line = Time(), Line()
def open_line(baud):
    line.baud = baud
    return line
found = detect(open_line, time)
monitor = OscillatorMonitor(found.driver.limits)
monitor.feed(found.oscillator.status(), time.now)
in_force = found.oscillator.set_frequency_ppb(1.236)
line.state = "0 3"
alarms = monitor.feed(found.oscillator.status(), time.now)
print(json.dumps({
    "families": sorted(OSCILLATORS), "identity": [found.identity.family, found.identity.serial, found.baud],
    "in_force": in_force, "alarms": sorted([alarm.name, alarm.unusable] for alarm in alarms),
}))
"""


def test_one_file_of_another_package(tmp_path: Path) -> None:
    entries = {
        "bench": "bench_oscillator:DRIVER",
        "broken": "broken_oscillator:DRIVER",
        "json": "json:dumps",
    }
    modules = {"bench_oscillator": PART_FILE, "broken_oscillator": "raise RuntimeError('made up')\n"}
    install(tmp_path, "timecard.oscillators", entries, modules)
    run = run_with(tmp_path, SCRIPT)
    assert run.returncode == 0, run.stderr
    said: dict[str, Any] = json.loads(run.stdout)
    assert said["families"] == ["bench", "csac", "mro50", "quartz", "rod2522", "sa3xm", "sa5x"]
    assert said["identity"] == ["bench", "42", 19200]
    assert said["in_force"] == 1.24
    assert said["alarms"] == [["lid-open", True], ["light-low", True], ["unlocked", True]]
    assert "broken_oscillator" in run.stderr
    assert "is no OscillatorDriver" in run.stderr
