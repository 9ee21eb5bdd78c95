"""In the guest: linuxptp's programs and this project on the same clock; facts as one line of JSON.

linuxptp's offsets are the system clock minus the card's: UTC minus TAI. ``ours`` is told with that sign.
"""

import ctypes
import json
import re
import subprocess
import time
from pathlib import Path

from timecard.card import open_card
from timecard.card_values import GeneratorSettings
from timecard.discovery import list_cards
from timecard.errors import UnsupportedError
from timecard.kernel.attributes import TS_WINDOW_ADJUST
from timecard.kernel.clock import KernelClock
from timecard.kernel.cross_timestamp import host_clocks
from timecard.kernel.kernel_card import KernelCard
from timecard.kernel.phc import Phc
from timecard.kernel.ptp_abi import Timex
from timecard.timebase import HostTimebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

ADJ_TAI = 0x80
SAMPLES = 9
"""What ``phc_ctl cmp`` takes; the narrowest counts."""
PHC = "/dev/ptp0"


def said_by(*words: str) -> str:
    """What a program that has to succeed printed."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def phc_ctl(*words: str) -> str:
    return said_by("phc_ctl", "-q", PHC, "--", *words)


def ours(card: KernelCard) -> tuple[float, float]:
    """CLOCK_REALTIME minus the card's clock, and half the width of what is known of it (ns)."""
    before_ns, half_before_ns = host_clocks()
    stamp = card.clock.cross_timestamp()
    after_ns, half_after_ns = host_clocks()
    real_ns = stamp.mono_raw_ns + (before_ns + after_ns) // 2
    spread_ns = max(half_before_ns, half_after_ns) + abs(after_ns - before_ns) / 2
    return real_ns - stamp.card_tai_ns, stamp.half_width_ns + spread_ns


def compare(card: KernelCard, phc: Phc, count: int) -> list[dict[str, object]]:
    """``phc_ctl cmp`` between two readings of ours, and how wide brackets like its own are just now."""
    found: list[dict[str, object]] = []
    for _ in range(count):
        before = ours(card)
        text = phc_ctl("cmp")
        after = ours(card)
        widths = [bracket.after_ns - bracket.before_ns for bracket in phc.brackets(SAMPLES)]
        (offset_ns,) = re.findall(r"CLOCK_REALTIME is (-?\d+)ns", text)
        found.append({"ours": [before, after], "theirs_ns": int(offset_ns), "width_ns": min(widths)})
    return found


def phc2sys(card: KernelCard, seconds: int) -> dict[str, object]:
    """phc2sys, forbidden to steer, and our readings at the same time; each with its CLOCK_MONOTONIC (s)."""
    words = ("phc2sys", "-s", PHC, "-c", "CLOCK_REALTIME", "-O", "0", "-N", "5", "-R", "4", "-m", "-q")
    mine = []
    with subprocess.Popen(
        ["timeout", str(seconds), *words, "--free_running=1"], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        while program.poll() is None:
            mine.append((time.monotonic(), *ours(card)))
            time.sleep(0.05)
        text = program.stdout.read()
    lines = re.findall(
        r"\[(\d+\.\d+)\]: CLOCK_REALTIME phc offset +(-?\d+) s\d freq +\S+( delay +\d+)?", text
    )
    theirs = [
        (float(at), int(offset), int(delay.split()[1]) if delay else None) for at, offset, delay in lines
    ]
    return {"ours": mine, "theirs": theirs, "text": text}


def ts2phc(card: KernelCard, number: int, seconds: int) -> dict[str, object]:
    """ts2phc, forbidden to steer, and a timestamper of ours on the same channel."""
    Path("/tmp/ts2phc.conf").write_text(
        f"[global]\nfree_running 1\n[{PHC}]\nts2phc.pin_index 0\nts2phc.channel {number}\n"
        "ts2phc.extts_polarity rising\n"
    )
    words = ("ts2phc", "-f", "/tmp/ts2phc.conf", "-s", "generic", "-c", PHC, "-l", "7", "-m", "-q")
    timestamper = card.timestamper(f"ts{number}")
    timestamper.enable()
    mine = []

    def fetch() -> None:
        if timestamper.wait(0.1):
            while (stamp := timestamper.poll()) is not None:
                mine.append(stamp.card_tai_ns)

    with subprocess.Popen(
        ["timeout", str(seconds), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        assert program.stdout is not None
        while program.poll() is None:
            fetch()
        text = program.stdout.read()
    fetch()
    # ts2phc has switched the channel off at its end, for everybody: it takes another enable.
    silent = not timestamper.wait(2.5)
    timestamper.enable()
    again = timestamper.wait(3.0)
    timestamper.disable()
    stamps = [int(s) * NS_PER_S + int(ns) for s, ns in re.findall(r"adding tstamp (\d+)\.(\d{9})", text)]
    offsets = [int(offset) for offset in re.findall(rf"{PHC} offset +(-?\d+)", text)]
    return {
        "ours": mine,
        "theirs": stamps,
        "offsets": offsets,
        "silent": silent,
        "again": again,
        "text": text,
    }


def shifted(card: KernelCard, change: object) -> dict[str, float]:
    """By how much the card's clock moved against CLOCK_MONOTONIC_RAW while ``change`` was made."""
    before = card.clock.cross_timestamp()
    assert callable(change)
    change()
    after = card.clock.cross_timestamp()
    moved_ns = after.card_tai_ns - before.card_tai_ns - (after.mono_raw_ns - before.mono_raw_ns)
    return {
        "moved_ns": moved_ns,
        "half_width_ns": before.half_width_ns + after.half_width_ns,
        "seconds": (after.mono_raw_ns - before.mono_raw_ns) / NS_PER_S,
    }


def refusal(card: KernelCard) -> str:
    try:
        card.clock.set_frequency_ppb(1000.0)
    except UnsupportedError as error:
        return str(error)
    return ""


def main() -> None:
    timebase = HostTimebase()
    # ts2phc takes its seconds from CLOCK_TAI.
    leap = Timex(modes=ADJ_TAI, constant=TAI_MINUS_UTC_2017_S)
    assert ctypes.CDLL(None).adjtimex(ctypes.byref(leap)) >= 0
    (descriptor,) = list_cards()
    told: dict[str, object] = {}
    with open_card(descriptor, timebase) as card, Phc(Path(PHC)) as phc:
        assert isinstance(card, KernelCard)
        clock = card.clock
        assert isinstance(clock, KernelClock)
        clock.select_source("REGS")
        clock.step_ns(time.clock_gettime_ns(time.CLOCK_TAI) - clock.now_tai_ns())

        caps = phc.capabilities()
        told["caps"] = [
            [
                caps.max_frequency_ppb,
                caps.alarms,
                caps.extts_channels,
                caps.perout_channels,
                caps.pins,
            ],
            [caps.pps, caps.cross_timestamping, caps.adjust_phase],
        ]
        told["phc_ctl caps"] = phc_ctl("caps")
        told["frequency"] = [phc.frequency_ppb(), phc_ctl("freq"), refusal(card), phc_ctl("freq", "1000")]
        told["frequency after"] = phc.frequency_ppb()
        told["reads"] = [[clock.now_tai_ns(), phc_ctl("get"), clock.now_tai_ns()] for _ in range(3)]

        told["adjust"] = clock.window_adjust_ns()
        for state in ("before", "after"):
            repaired = clock.comparer.repaired
            told[f"cmp {state}"] = compare(card, phc, 7)
            told[f"phc2sys {state}"] = phc2sys(card, 4)
            told[f"repaired {state}"] = clock.comparer.repaired - repaired
            if state == "before":
                card.device.write(TS_WINDOW_ADJUST, 0)
        told["adjust after"] = clock.window_adjust_ns()

        told["adj"] = {
            words: shifted(card, lambda words=words: phc_ctl(*words.split()))
            for words in ("adj 0.75", "adj -2.5", "adj -0.0003 wait 1.2", "cmp")
        }
        before = compare(card, phc, 1)
        clock.step_ns(310_000_000)
        told["step"] = [*before, *compare(card, phc, 1)]
        told["set"] = [clock.now_tai_ns(), phc_ctl("set", "1900000000"), clock.now_tai_ns()]
        clock.set_tai_ns(time.clock_gettime_ns(time.CLOCK_TAI))
        told["set back"] = [clock.now_tai_ns(), phc_ctl("get"), clock.now_tai_ns()]

        card.sma.set(1, "in", ["TS1"])
        card.sma.set(4, "out", ["GEN1"])
        wanted = GeneratorSettings(period_ns=NS_PER_S, pulse_ns=NS_PER_S // 10, phase_ns=345_678_900)
        card.generator(1).start(wanted)
        for number in (5, 0, 1):
            told[f"ts{number}"] = ts2phc(card, number, 6)
        card.generator(1).stop()
    print(json.dumps(told))


main()
