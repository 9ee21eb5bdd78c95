"""``time-appliance leap rehearse``: the whole appliance across a leap second, in virtual time.

Emulated receiver and card, drivers, discipline, publisher, packet server, bound page and the line for other
programs are the real ones; only time is virtual. Each second everything that leaves the appliance is asked
what it says; ``rehearsal_verdict`` compares that with what it should say.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from appliance.assembly import assemble
from appliance.bound.layout import PAGE_NAME
from appliance.bound.reader import BoundReader, BoundRefusedError
from appliance.bound.writer import BoundPublisher
from appliance.clock_map import MapState
from appliance.config import Config
from appliance.config_models import LeapConfig, PtpConfig
from appliance.core_report import CoreReport
from appliance.leap.calendar import utc_text
from appliance.ptp.primitives import HeaderFlag
from appliance.ptp.server import PtpServer
from appliance.ptp.sptp import SptpClient
from appliance.publisher import Publisher
from appliance.serving import LEAP_NOTICE_S
from appliance.simulate import Simulation, build
from appliance.snapshot import ClockState
from timecard.card import card_on_bus
from timecard.errors import TimeCardError
from timecard.gnss.framing import Framer, UbxFrame
from timecard.gnss.tap import Tap, TapAddress
from timecard.leap_list import BUILT_IN, ComingLeap, LeapChange, LeapTable, write_leap_list
from timecard.timebase import HostTimebase
from timecard.timescale import NS_PER_S

HALF_YEAR_S: Final = 183 * 86_400
MONTH_S: Final = 31 * 86_400
LOCK_S: Final = 60
"""Virtual time for the clock to lock before it matters."""
AFTER_S: Final = 20
CLOSE_S: Final = 15
"""So near the leap second, and the begin of its announcement, packets are asked for every second."""
SELDOM_S: Final = 60
TRIES: Final = 20
MAP_NS: Final = 9 * NS_PER_S
"""So long a page holds on this host's clock: enough for a busy one."""
_NAV_TIMEUTC: Final = 0x0121
_UTC_FIELDS: Final = struct.Struct("<12xH5B")
_IDENTITY: Final = bytes.fromhex("02ac000000000001")


class Said(NamedTuple):
    """Leap seconds as PTP tells them."""

    utc_offset_s: int
    valid: bool
    flag: str
    """``leap61``, ``leap59`` or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the outputs said in one second."""

    rel_s: int
    """The second of TAI, counted from midnight of UTC after the leap second."""
    state: ClockState
    error_ns: float
    """The card's clock minus true TAI."""
    epoch: int
    announced: Said
    """In the report, and in Announce messages from the next one on."""
    packet: Said | None
    """An SPTP reply."""
    late_packet: Said | None
    """An SPTP reply before the publisher had anything new to say in this second."""
    labels: Mapping[str, str | None]
    """By output: what it calls this second in UTC."""
    receiver: tuple[int | None, int, int | None] | None
    """NAV-TIMELS: TAI - UTC, announced change, seconds to it."""
    fpga: tuple[int | None, str, int | None] | None
    """The time-of-day slave: TAI - UTC, leap flag, seconds to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What is played, and what was seen."""

    sign: int
    before_s: int
    """TAI - UTC before the leap second."""
    at_tai_s: int
    observations: tuple[Observation, ...]

    def label(self, rel_s: int) -> str:
        """What UTC really calls a second."""
        coming = ComingLeap(self.sign, self.at_tai_s)
        offset_s = self.before_s + (self.sign if rel_s >= 0 else 0)
        return utc_text(self.at_tai_s + rel_s, offset_s, coming)


Labels = Mapping[str, Callable[[CoreReport], str | None]]


def next_leap_tai_s(sign: int) -> int:
    """The end of the first June or December beyond the built-in table, as a leap second of this sign."""
    last = BUILT_IN.changes[-1]
    known_s = BUILT_IN.expires_utc_s or last.utc_s
    year = datetime.fromtimestamp(known_s, UTC).year
    midnights = [datetime(year + later // 2, 1 + later % 2 * 6, 1, tzinfo=UTC) for later in range(6)]
    chosen = next(midnight for midnight in midnights if midnight.timestamp() > known_s + MONTH_S)
    return int(chosen.timestamp()) + last.tai_minus_utc_s + sign


def rehearse(
    sign: int,
    *,
    whole: bool = False,
    restart_before_s: int | None = None,
    labels: Labels | None = None,
    faults: Sequence[tuple[int, str, Mapping[str, float]]] = (),
    on_progress: Callable[[float], None] = lambda share: None,
    **card_options: Any,
) -> Rehearsal:
    """Play a leap second; raises ``ValueError``, ``TimeCardError`` or ``OSError`` when that cannot be done.

    ``whole`` plays the twelve hours of announcement too, else only their first minutes and the leap second.
    ``restart_before_s``: core is started anew so long before it. ``labels`` are more outputs that name a
    second; ``faults`` (seconds relative to the leap second, name, arguments) happen to the emulated card.
    """
    if sign not in (-1, 1):
        raise ValueError(f"sign={sign}: a leap second is +1 or -1")
    at_s = next_leap_tai_s(sign)
    begin = -LEAP_NOTICE_S - LOCK_S - CLOSE_S
    parts = (
        [(begin, AFTER_S)] if whole else [(begin, begin + LOCK_S + 2 * CLOSE_S), (-LOCK_S - CLOSE_S, AFTER_S)]
    )
    total_s, done_s = sum(end - start for start, end in parts), 0
    seen: list[Observation] = []
    for start, end in parts:
        with _stage(sign, at_s, start, labels or {}, card_options) as stage:
            pending = sorted(faults, key=lambda fault: fault[0])
            while (rel_s := stage.rel_s) < end:
                while pending and pending[0][0] <= rel_s:
                    _, name, arguments = pending.pop(0)
                    stage.simulation.virtual.inject(name, **arguments)
                if restart_before_s is not None and rel_s == -restart_before_s:
                    stage.restart()
                if stage.locked:
                    seen.append(stage.second())
                else:
                    stage.wait_for_lock()
                done_s += 1
                on_progress(min(1.0, done_s / total_s))
    before_s = BUILT_IN.changes[-1].tai_minus_utc_s
    return Rehearsal(sign=sign, before_s=before_s, at_tai_s=at_s, observations=tuple(seen))


@dataclass
class _Stage:
    """A running appliance and everybody who asks it."""

    simulation: Simulation
    at_tai_s: int
    publisher: Publisher
    ptp: PtpServer
    client: SptpClient
    tap: Tap
    line: socket.socket
    bound: BoundPublisher
    reader: BoundReader
    labels: Labels
    locked: bool = False
    framer: Framer = field(default_factory=Framer)
    host: HostTimebase = field(default_factory=HostTimebase)

    @property
    def rel_s(self) -> int:
        return self.simulation.virtual.truth().true_tai_ns // NS_PER_S - self.at_tai_s

    def restart(self) -> None:
        """Core ends and begins anew with its runtime record, as it would be read from the file."""
        simulation, now_ns = self.simulation, self.simulation.virtual.timebase.mono_ns()
        record = simulation.engine.discipline.runtime_record(now_ns)
        self.assemble(json.loads(json.dumps(record)))

    def assemble(self, resume: dict[str, Any] | None = None) -> None:
        simulation = self.simulation
        virtual = simulation.virtual
        card = card_on_bus(virtual.bus, virtual.timebase)
        simulation.assembly = assemble(card, simulation.config, virtual.timebase, resume=resume, tap=self.tap)
        self.publisher = Publisher(simulation.config, simulation.assembly, virtual.timebase, _IDENTITY)

    def wait_for_lock(self) -> None:
        """Let a second pass; a locked clock is served from now on."""
        self.simulation.cycle()
        self._receiver_label()
        report = self.publisher.publish(self._map(self._tai_ns()), self.ptp)
        self.locked = report.clock.state is ClockState.LOCKED

    def second(self) -> Observation:
        """Let a second pass, then ask everybody."""
        self.simulation.cycle()
        error_ns, rel_s, tai_ns = self.simulation.virtual.truth().card_error_ns, self.rel_s, self._tai_ns()
        close = min(abs(rel_s), abs(rel_s + LEAP_NOTICE_S)) <= CLOSE_S or rel_s % SELDOM_S == 0
        late_packet = self._packet(tai_ns) if close else None
        report = self.publisher.publish(self._map(tai_ns), self.ptp)
        snapshot = self.simulation.engine.discipline.snapshot(report.as_of_mono_ns)
        announced = report.announced
        return Observation(
            rel_s=rel_s,
            state=snapshot.state,
            error_ns=error_ns,
            epoch=snapshot.epoch,
            announced=Said(
                announced.current_utc_offset_s or 0,
                bool(announced.current_utc_offset_valid),
                "leap61" if announced.leap61 else "leap59" if announced.leap59 else "",
            ),
            packet=self._packet(tai_ns) if close else None,
            late_packet=late_packet,
            labels={
                "report": report.leap.utc,
                "bound page": self._bound_label(report, tai_ns),
                "receiver": self._receiver_label(),
                **{name: label(report) for name, label in self.labels.items()},
            },
            receiver=self._receiver(),
            fpga=self._fpga(),
        )

    def _tai_ns(self) -> int:
        """What the card's clock shows."""
        truth = self.simulation.virtual.truth()
        return truth.true_tai_ns + round(truth.card_error_ns)

    def _map(self, tai_ns: int) -> MapState:
        """The card's clock against this host's: virtual time stands still, packets and pages are real.

        Those go on with this host's clock. What is asked too late, in the next second, is asked again.
        """
        raw_ns = self.host.mono_ns()
        state = MapState(
            anchor_raw_ns=raw_ns,
            anchor_tai_ns=tai_ns,
            rate_ppb=0.0,
            error_ns=100.0,
            rate_error_ppb=0.0,
            half_width_ns=50.0,
            method="virtual",
            valid_until_raw_ns=raw_ns + MAP_NS,
        )
        self.ptp.page.publish_map(
            raw_anchor_ns=raw_ns,
            tai_anchor_ns=tai_ns,
            rate_ppb=0.0,
            valid_until_raw_ns=state.valid_until_raw_ns,
            error_ns=100,
        )
        return state

    def _packet(self, tai_ns: int) -> Said | None:
        """What an SPTP client is answered."""
        for _ in range(TRIES):
            self._map(tai_ns)
            self.client.exchange()
            announce, self.client.announce = self.client.announce, None
            if announce is not None and announce.origin.total_ns // NS_PER_S == tai_ns // NS_PER_S:
                flags = announce.header.flags
                flag = [name for name in ("LEAP61", "LEAP59") if flags & HeaderFlag[name]]
                valid = bool(flags & HeaderFlag.UTC_OFFSET_VALID)
                return Said(announce.utc_offset_s, valid, flag[0].lower() if flag else "")
        return None

    def _bound_label(self, report: CoreReport, tai_ns: int) -> str | None:
        """The bound page is read by this host's clock, so the report is moved onto it."""
        for _ in range(TRIES):
            state = self._map(tai_ns)
            moved = {"as_of_mono_ns": state.anchor_raw_ns, "valid_until_mono_ns": state.valid_until_raw_ns}
            self.bound.note(report.model_copy(update=moved))
            self.bound.write(state)
            with contextlib.suppress(BoundRefusedError):
                bound = self.reader.now()
                if bound.earliest_tai_ns // NS_PER_S == tai_ns // NS_PER_S:
                    utc = bound.utc()
                    label = utc_text(utc.earliest_ns // NS_PER_S, 0, None)
                    return label.replace(":59Z", ":60Z") if utc.earliest_in_leap else label
        return None

    def _receiver_label(self) -> str | None:
        """NAV-TIMEUTC of this second, from the line as other programs read it."""
        label = None
        with contextlib.suppress(BlockingIOError):
            while data := self.line.recv(65_536):
                for item in self.framer.feed(data, 0):
                    if isinstance(item, UbxFrame) and item.key == _NAV_TIMEUTC:
                        year, month, day, hour, minute, second = _UTC_FIELDS.unpack_from(item.payload)
                        label = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}Z"
        return label

    def _receiver(self) -> tuple[int | None, int, int | None] | None:
        leap = self.simulation.engine.board.leap
        return None if leap is None else (leap.tai_minus_utc_s, leap.change_s, leap.seconds_to_event)

    def _fpga(self) -> tuple[int | None, str, int | None] | None:
        try:
            word = self.simulation.assembly.card.time_of_day()
        except TimeCardError:
            return None
        flag = "leap61" if word.leap_61 else "leap59" if word.leap_59 else ""
        return word.tai_minus_utc_s, flag, word.seconds_to_leap


@contextlib.contextmanager
def _stage(
    sign: int, at_s: int, start_s: int, labels: Labels, card_options: Mapping[str, Any]
) -> Iterator[_Stage]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leap-")))
        tables = folder / "leap-seconds.list"
        tables.write_text(write_leap_list(_with_leap(sign, at_s)), encoding="ascii")
        ports = _free_ports()
        config = Config(
            leap=LeapConfig(files=(tables,)),
            ptp=PtpConfig(addresses=("127.0.0.1",), ports=ports, timestamping="software"),
        )
        simulation = build(config, start_tai_ns=(at_s + start_s) * NS_PER_S, **card_options)
        # The emulated receiver announces the second that is inserted, or that would be the one left out.
        begin_s = simulation.virtual.truth().true_tai_ns // NS_PER_S
        simulation.virtual.inject("leap-announced", change=sign, in_s=at_s - (sign > 0) - begin_s)
        ptp = stack.enter_context(PtpServer(config.ptp, _IDENTITY))
        tap = Tap(TapAddress(host="127.0.0.1", port=0))
        stack.callback(tap.close)
        line = stack.enter_context(socket.create_connection((tap.address.host, tap.address.port)))
        line.setblocking(False)
        bound = BoundPublisher(folder / PAGE_NAME)
        stack.callback(bound.close)
        stage = _Stage(
            simulation=simulation,
            at_tai_s=at_s,
            publisher=Publisher(config, simulation.assembly, simulation.virtual.timebase, _IDENTITY),
            ptp=ptp,
            client=stack.enter_context(SptpClient("127.0.0.1", ports=ports, timeout_s=1.0)),
            tap=tap,
            line=line,
            bound=bound,
            reader=BoundReader(folder / PAGE_NAME),
            labels=labels,
        )
        stage.assemble()
        yield stage


def _with_leap(sign: int, at_s: int) -> LeapTable:
    after_s = BUILT_IN.changes[-1].tai_minus_utc_s + sign
    midnight_s = at_s - after_s
    return replace(
        BUILT_IN,
        changes=(*BUILT_IN.changes, LeapChange(midnight_s, after_s)),
        updated_utc_s=midnight_s - HALF_YEAR_S,
        expires_utc_s=midnight_s + HALF_YEAR_S,
    )


def _free_ports() -> tuple[int, int]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as event,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as general,
    ):
        event.bind(("127.0.0.1", 0))
        general.bind(("127.0.0.1", 0))
        return event.getsockname()[1], general.getsockname()[1]
