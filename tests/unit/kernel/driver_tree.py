"""A card's class device as the stock 6.12 driver shows it, on top of ``tests.sysfs_tree``.

The texts of an FB card were recorded from Debian's 6.12 kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.sysfs_tree import FakeCard, add_card
from timecard.boards import FB, Board
from timecard.kernel.kernel_card import KernelCard
from timecard.kernel.modules import flash_modules, identity_modules
from timecard.timebase import HostTimebase

ADDRESS = "0000:01:00.0"
RELEASE = "6.12.107+deb13-amd64"
SOURCES = "NONE TOD IRIG PPS PTP RTC DCF REGS EXT\n"
COMMON = {
    "serialnum": "02:ac:cd:00:00:01\n",
    "clock_source": "PPS\n",
    "available_clock_sources": SOURCES,
    "utc_tai_offset": "37\n",
    "ts_window_adjust": "-3\n",
}
FB_TEXTS = {
    **COMMON,
    "gnss_sync": "SYNC\n",
    "available_sma_inputs": "10Mhz PPS1 PPS2 TS1 TS2 IRIG DCF TS3 TS4 FREQ1 FREQ2 FREQ3 FREQ4 None\n",
    "available_sma_outputs": "10Mhz PHC MAC GNSS1 GNSS2 IRIG DCF GEN1 GEN2 GEN3 GEN4 GND VCC\n",
    "sma1": "IN: 10Mhz\n",
    "sma2": "IN: PPS1\n",
    "sma3": "OUT: PHC\n",
    "sma4": "OUT: GNSS1\n",
    "clock_status_drift": "-12\n",
    "clock_status_offset": "372797211\n",
    "irig_b_mode": "0\n",
    "tod_correction": "0\n",
    **{f"gen{n}/{name}": text for n in range(1, 5) for name, text in {
        "signal": "0 50 0 1 1970-01-01T00:00:00 TAI\n", "duty": "50\n", "period": "0\n", "phase": "0\n",
        "polarity": "1\n", "running": "0\n", "start": "0.0\n"}.items()},
    **{f"freq{n}/{name}": text for n in range(1, 5) for name, text in {
        "seconds": "0\n", "frequency": ""}.items()},
}  # fmt: skip
ART_TEXTS = {
    **COMMON,
    "available_sma_inputs": "PPS1 10Mhz\n",
    "available_sma_outputs": "PHC GNSS 10Mhz\n",
    "sma1": "IN: PPS1\n",
    "sma2": "IN: 10Mhz\n",
    "sma3": "OUT: GNSS\n",
    "sma4": "OUT: PHC\n",
}
TEXTS = {"art": ART_TEXTS, "adva": {k: v for k, v in FB_TEXTS.items() if k[:4] not in ("gen3", "gen4")}}
SUMMARY = """\
    PTP: /dev/ptp0
   sma1: 8000,0000 IN: 10Mhz
   sma2: 8001,0000 IN: PPS1
   sma3: 0000,8001 OUT: PHC
   sma4: 0000,8004 OUT: GNSS1
    TS0:  ON, src: GNSS1
    TS1: OFF, src: ----
   GEN1: OFF, period:0 duty:50% phase:0 pol:1 [0 0] start:0
MAC PPS1 src: GNSS1
MAC PPS2 src: GNSS2
PHC src: MAC via PPS1, state: unsynced
    PHC: 1795313478.266171761 == 2026-11-22T02:11:18 TAI
    SYS: 1795313475.827316231 == 2026-11-22T02:11:15 UTC offset 37
       : PHC:SYS offset: 2438855530  window: -4294562385
"""
TOD_STATUS = """\
TOD Slave enabled, Control Register 0x10000001
Protocol UBX
GNSS ALL
TOD Version 2.2.0
Status register: 0x00000004
Correction seconds: -2
UTC status register: 0x00034125
UTC offset: 37  valid:1
Leap second info valid:1, Leap second announce 0
Time to next leap second (in sec): 86400
"""


@dataclass(kw_only=True)
class Tree:
    """A host with one card; change the files as a test needs before or after ``open``."""

    root: Path
    board: Board = FB
    vectors: int | None = 32
    release: str = RELEASE
    tty_form: str = "file"
    i2c: int | None = None
    mtd: int | None = None
    texts: dict[str, str] = field(default_factory=dict)
    debugfs: bool = True
    modules: tuple[str, ...] | None = None
    """Loaded; None: all that the board needs."""

    def __post_init__(self) -> None:
        self.sysfs, self.dev, self.proc = self.root / "sys", self.root / "dev", self.root / "proc"
        fake = FakeCard(address=ADDRESS, board=self.board, tty_form=self.tty_form, i2c=self.i2c, mtd=self.mtd)
        self.device = add_card(self.sysfs, fake)
        self.ocp = self.device / "timecard/ocp0"
        for name, text in (TEXTS.get(self.board.name, FB_TEXTS) | self.texts).items():
            self.write(self.ocp / name, text)
        if self.vectors is not None:
            for number in range(self.vectors):
                self.write(self.device / f"msi_irqs/{40 + number}", "msi\n")
        if self.debugfs:
            self.write(self.sysfs / "kernel/debug/timecard/ocp0/summary", SUMMARY)
            self.write(self.sysfs / "kernel/debug/timecard/ocp0/tod_status", TOD_STATUS)
        needed = ("ptp_ocp", *identity_modules(self.board), *flash_modules(self.board))
        loaded = needed if self.modules is None else self.modules
        self.write(
            self.proc / "modules", "".join(f"{m.replace('-', '_')} 4096 0 - Live 0x0\n" for m in loaded)
        )
        self.write(self.dev / "ptp0", "")

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")

    def open(self) -> KernelCard:
        card = KernelCard(
            ADDRESS,
            self.board,
            HostTimebase(),
            sysfs=self.sysfs,
            dev=self.dev,
            proc=self.proc,
            modules=self.root / "modules",
            release=self.release,
        )
        return card
