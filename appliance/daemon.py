"""``core``: holds the card, keeps time, answers packets.

One thread, the main one, runs the discipline and is the only writer of the card's clock and of the clock
page. Source threads only read; native threads answer packets from the page; the IPC thread hands out the
newest report. A device's failure is a value on the queue; anything else ends the process, and whoever started
it starts it again with the runtime record.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from typing import Final

from appliance import runtime_record
from appliance.assembly import Assembly, assemble
from appliance.bound.writer import BoundPublisher
from appliance.clock_map import ClockMap, MapState
from appliance.config import Config
from appliance.core_report import CoreReport
from appliance.event_queue import EventQueue
from appliance.events import ClockMoved, Command, CommandKind, Event, RehearseHoldover
from appliance.flight.recorder import FlightRecorder, open_flight
from appliance.ipc import CommandRefusedError, CoreServer, SocketError
from appliance.learnt_state import LearntState
from appliance.nic_clock import NicClock
from appliance.nic_pulse import open_pulse
from appliance.peers import WITNESSES
from appliance.ptp.server import PtpServer, PtpServerError
from appliance.publisher import Publisher
from appliance.rehearsal_report import rehearsal_obstacles
from appliance.runtime_record import RuntimeRecord
from appliance.serving import clock_identity
from appliance.snapshot import ClockState
from appliance.sources import SourceThread
from appliance.state_directory import prepare
from appliance.troubles import Troubles
from timecard.card import open_card
from timecard.card_protocols import Card
from timecard.card_values import Access
from timecard.errors import DeviceLostError, TimeCardError
from timecard.gnss.tap import Tap, parse_tap_address
from timecard.mac.wear import WRITES_FILE, WearLedger
from timecard.timebase import HostTimebase
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

log = logging.getLogger(__name__)

MAP_PERIOD_NS: Final = NS_PER_S // 10
TICK_PERIOD_NS: Final = NS_PER_S
QUEUE_SIZE: Final = 1024
SMALL_FIFOS: Final = (Access.RESOURCE0, Access.VFIO)
FIFO_SWITCH_S: Final = 0.0005
"""A thread that computes must not keep the one that empties a UART from working: 16 bytes are 1.4 ms."""
RETRY_S: Final = 1.0
"""How often a card that is gone is looked for."""
SOURCE_END_S: Final = 5.0
"""A source that hangs in a read longer than this is left behind, and closes what it holds when it ends."""
BOUND_RETRY_NS: Final = 60 * NS_PER_S


class Core:
    """The process's parts and its main loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._timebase = HostTimebase()
        self._events = EventQueue(QUEUE_SIZE)
        self._stopping = threading.Event()
        self._crash: BaseException | None = None
        self._clock_map = ClockMap()
        self._report: CoreReport | None = None
        self._threads: list[SourceThread] = []
        self._ptp: PtpServer | None = None
        self._nic: NicClock | None = None
        self._tap: Tap | None = None
        self._bound: BoundPublisher | None = None
        self._flight: FlightRecorder | None = None
        self._bound_retry_ns = 0
        self._learnt: LearntState | None = None
        self._troubles = Troubles()
        self._lost: str | None = None
        """Why the card is away; None while it is there."""
        self._last_epoch: int | None = None
        """Of the newest discipline."""

    # CoreHandler, called on the IPC thread

    def report(self) -> CoreReport | None:
        """The newest report."""
        return self._report

    def command(self, kind: CommandKind) -> str:
        """Queue an operator's command."""
        self._refuse_without_card()
        self._put(Command(kind=kind, mono_ns=self._timebase.mono_ns()))
        return f"{kind.value} is carried out within a second"

    def rehearse(self, limit_ns: float, duration_s: float) -> str:
        """Queue a rehearsal of holdover. What the newest report speaks against is refused at once."""
        self._refuse_without_card()
        report = self._report
        if report is not None:
            reasons = rehearsal_obstacles(report, limit_ns)
            if reasons:
                raise CommandRefusedError(f"holdover cannot be rehearsed now: {'; '.join(reasons)}")
        now_ns = self._timebase.mono_ns()
        self._put(RehearseHoldover(limit_ns=limit_ns, duration_s=duration_s, mono_ns=now_ns))
        return "the rehearsal begins within a second"

    def _refuse_without_card(self) -> None:
        lost = self._lost
        if lost is not None:
            raise CommandRefusedError(f"the card is lost ({lost}): try again when it is back")

    def _put(self, event: Event) -> None:
        if self._events.crowded:
            raise CommandRefusedError("core is overloaded: its queue is full; try again")
        self._events.put(event)

    # main thread

    def run(self) -> int:
        """Open, serve until told to stop, close."""
        config = self._config
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        for directory in (config.paths.runtime, config.paths.state):
            prepare(directory)
        card = open_card(config.card, self._timebase)
        try:
            self._serve(card)
        finally:
            card.close()
        if self._crash is not None:
            raise self._crash
        return 0

    def _serve(self, card: Card) -> None:
        """Serve with this card, and with it again each time that it comes back."""
        config = self._config
        identity = clock_identity(card.id)
        ptp = self._ptp = PtpServer(config.ptp, identity) if config.ptp.enable else None
        ipc = CoreServer(config.paths.core_socket, self, group=config.paths.group)
        ipc.start()
        self._tap = open_tap(config.gnss.tap)
        self._flight = open_flight(
            config.flight, config.paths.flight, card=card.id, boot_id=runtime_record.current_boot_id()
        )
        try:
            self._open_bound()
            assembly = self._assemble(card)
            if ptp is not None:
                ptp.start()
                if ptp.phc_index is not None:
                    pulse = open_pulse(ptp.phc_index, config.ptp.pulse) if config.ptp.pulse else None
                    self._nic = NicClock(ptp.phc_index, pulse=pulse)
            while True:
                publisher = Publisher(config, assembly, self._timebase, identity)
                self._start_sources(assembly)
                self._loop(assembly, publisher, ptp)
                self._last_epoch = assembly.engine.discipline.epoch
                if not self._stopping.is_set():
                    self._lost = assembly.card.lost
                    self._on_step()  # before anything that waits
                elif self._bound is not None:
                    self._bound.close()
                self._stop_sources()
                if self._learnt is not None:
                    self._learnt.close(assembly.engine.discipline.learnt_record())
                if _begins_anew(assembly) and not self._stopping.is_set():
                    assembly = self._assemble(card, fresh=True)
                    continue
                card.close()
                if self._stopping.is_set():
                    return
                log.warning("%s lost reason=%s", card.name, assembly.card.lost)
                again = self._wait_for(card.id, assembly, publisher, ptp)
                if again is None:
                    return
                card, assembly, self._lost = again.card, again, None
                log.warning("%s is back", card.name)
        finally:
            if self._bound is not None:
                self._bound.close()
            self._stop_sources()
            card.close()
            ipc.close()
            if ptp is not None:
                ptp.stop()
            if self._nic is not None:
                self._nic.close()
            if self._tap is not None:
                self._tap.close()
            if self._flight is not None:
                self._flight.close()

    def _assemble(self, card: Card, *, fresh: bool = False) -> Assembly:
        """Everything around a card; resumes when its clock went on meanwhile, but for a ``fresh`` start."""
        if card.access in SMALL_FIFOS:
            sys.setswitchinterval(FIFO_SWITCH_S)
        self._learnt = LearntState(self._config.paths.state, card.id)
        resume = None
        if self._config.timescale.resume and not fresh:
            resume = self._find_record(card.id, card.clock.cross_timestamp())
        return assemble(
            card,
            self._config,
            self._timebase,
            resume=resume.discipline if resume else None,
            on_step=self._on_step,
            tap=self._tap,
            wear=WearLedger(self._config.paths.state / WRITES_FILE),
            flight=self._flight,
            host_map=lambda: self._clock_map.state,
            learnt=self._learnt,
            epoch=self._next_epoch(),
        )

    def _wait_for(
        self, card_id: str, lost: Assembly, publisher: Publisher, ptp: PtpServer | None
    ) -> Assembly | None:
        """The same card, opened again and set up; None when we shall stop.

        Meanwhile nothing is claimed and nothing served, and the report says so: time is not carried on by the
        host's own crystal. Another card in its place ends the process: identity and calibration are others.
        """
        while not self._stopping.is_set():
            lost.engine.tick()
            self._report = publisher.publish(None, ptp, None, self._troubles.alarms)
            if self._stopping.wait(RETRY_S):
                return None
            try:
                card = open_card(self._config.card, self._timebase)
            except TimeCardError as error:
                log.info("not back yet reason=%s", error)
                continue
            if card.id != card_id:
                card.close()
                raise DeviceLostError(f"card {card_id}", "find again", f"card {card.id} is in its place")
            try:
                while not self._events.empty():  # what the lost card's sources still had to say
                    event = self._events.get_nowait()
                    if isinstance(event, Command | RehearseHoldover):
                        log.warning("not carried out, since the card was lost: %s", event)
                return self._assemble(card)
            except TimeCardError as error:
                log.info("%s is back, but cannot be set up reason=%s", card.name, error)
                card.close()
        return None

    def _on_step(self) -> None:
        """The card's clock was stepped: no stamp may be translated by the old line."""
        self._clock_map.reset()
        if self._nic is not None:
            self._nic.reset()
        if self._ptp is not None:
            self._ptp.page.withdraw_maps()
        if self._bound is not None:
            self._bound.disrupt()

    def _open_bound(self) -> None:
        """The bound page, if there is none yet. Time is kept without it, and a minute later tried again."""
        now_ns = self._timebase.mono_ns()
        if self._bound is not None or now_ns < self._bound_retry_ns:
            return
        config, reason = self._config, None
        try:
            self._bound = BoundPublisher(
                config.paths.bound_page,
                group=config.paths.group,
                fbclock_page=config.timescale.fbclock_page,
            )
        except OSError as error:
            self._bound_retry_ns = now_ns + BOUND_RETRY_NS
            reason = str(error.strerror or error)
        self._troubles.note("bound-page", reason)

    def _next_epoch(self) -> int:
        """No discipline begins with the epoch of another of this boot: a stamp belongs to one of them."""
        last = self._last_epoch
        if last is None:
            last = runtime_record.last_epoch(self._config.paths.runtime, runtime_record.current_boot_id())
        return 0 if last is None else last + 1

    def _find_record(self, card_id: str, now: CrossTimestamp) -> RuntimeRecord | None:
        record, reason = runtime_record.load(
            self._config.paths.runtime,
            card_id=card_id,
            boot_id=runtime_record.current_boot_id(),
            now=now,
        )
        log.info("runtime record: %s", reason)
        return record

    def _start_sources(self, assembly: Assembly) -> None:
        source = assembly.oscillator_source
        search = () if assembly.search is None else (assembly.search.runner,)
        for runner in (*assembly.runners, *search):
            wake = source.wake if source is not None and runner is source.runner else None
            thread = SourceThread(runner, self._events, self._crashed, wake)
            self._threads.append(thread)
            thread.start()

    def _stop_sources(self) -> None:
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(SOURCE_END_S)
        self._threads.clear()

    def _crashed(self, error: BaseException) -> None:
        self._crash = error
        self._stopping.set()

    def _loop(self, assembly: Assembly, publisher: Publisher, ptp: PtpServer | None) -> None:
        """Until we shall stop, or the card is lost."""
        now_ns = self._timebase.mono_ns()
        next_map_ns = next_tick_ns = now_ns
        while not self._stopping.is_set():
            wait_s = (min(next_map_ns, next_tick_ns) - self._timebase.mono_ns()) / NS_PER_S
            with contextlib.suppress(queue.Empty):
                assembly.engine.take(self._events.get(timeout=max(0.001, wait_s)))
            now_ns = self._timebase.mono_ns()
            if now_ns >= next_map_ns:
                if self._sample_map(assembly, ptp):
                    next_tick_ns = now_ns  # what is published has become wrong
                next_map_ns = max(next_map_ns + MAP_PERIOD_NS, now_ns)
            if now_ns >= next_tick_ns:
                assembly.engine.tick()
                if assembly.card.lost is not None or _begins_anew(assembly):
                    return
                nic = self._nic.state if self._nic is not None else None
                self._report = publisher.publish(
                    self._clock_map.state, ptp, nic, self._troubles.alarms, self._events.dropped
                )
                self._open_bound()
                if self._bound is not None:
                    self._bound.note(self._report)
                self._save_record(assembly)
                if self._learnt is not None:
                    self._learnt.note(assembly.engine.discipline.learnt_record, now_ns)
                next_tick_ns = max(next_tick_ns + TICK_PERIOD_NS, now_ns)

    def _sample_map(self, assembly: Assembly, ptp: PtpServer | None) -> bool:
        """Compare card and host; True when the card's clock has jumped, and not by us."""
        jumps = self._clock_map.jumps
        try:
            state = self._clock_map.add(assembly.card.clock.cross_timestamp())
        except TimeCardError:
            return False  # the tick reads the same clock and reports it; meanwhile the map expires by itself
        if self._clock_map.jumps != jumps:
            delta_ns = self._clock_map.jump_ns
            log.warning("the card's clock has jumped against the host's delta_ns=%d", delta_ns)
            self._on_step()
            assembly.engine.take(ClockMoved(delta_ns=delta_ns, mono_ns=state.anchor_raw_ns))
            return True
        if self._bound is not None:
            self._bound.write(state)
        if ptp is None:
            return False
        ptp.page.publish_map(
            raw_anchor_ns=state.anchor_raw_ns,
            tai_anchor_ns=state.anchor_tai_ns,
            rate_ppb=state.rate_ppb,
            valid_until_raw_ns=state.valid_until_raw_ns,
            error_ns=round(state.error_ns),
        )
        if self._nic is not None and ptp.phc_index is not None:
            self._publish_nic(self._nic, ptp.phc_index, state, ptp)
        return False

    def _publish_nic(self, nic: NicClock, phc_index: int, host: MapState, ptp: PtpServer) -> None:
        try:
            state = nic.sample(host)
        except TimeCardError as error:
            log.warning("no hardware stamps can be translated reason=%s", error)
            return  # the page's PHC map expires by itself, and nothing is answered from it
        if state is not None:
            ptp.page.publish_phc_map(
                phc_index=phc_index,
                phc_anchor_ns=state.anchor_raw_ns,
                tai_anchor_ns=state.anchor_tai_ns,
                rate_ppb=state.rate_ppb,
                valid_until_raw_ns=host.valid_until_raw_ns,
                error_ns=round(state.error_ns),
            )

    def _save_record(self, assembly: Assembly) -> None:
        state = self._clock_map.state
        discipline = assembly.engine.discipline.runtime_record(self._timebase.mono_ns())
        if state is None or not discipline:
            return
        if assembly.engine.witnessing is not None:
            discipline[WITNESSES] = assembly.engine.witnessing.to_record()
        now_ns = self._timebase.mono_ns()
        record = RuntimeRecord(
            card_id=assembly.card.id,
            boot_id=runtime_record.current_boot_id(),
            mono_raw_ns=now_ns,
            card_tai_ns=state.tai_ns(now_ns),
            error_ns=state.error_ns,
            rate_ppb=state.rate_ppb,
            rate_error_ppb=state.rate_error_ppb,
            discipline=discipline,
        )
        folder, reason = self._config.paths.runtime, None
        try:
            runtime_record.save(folder, record)
        except OSError as error:
            why = error.strerror or error
            reason = f"cannot be written to {folder} ({why}): a restart would begin afresh; make room there"
        self._troubles.note("runtime-record", reason)


def _begins_anew(assembly: Assembly) -> bool:
    """An oscillator module was found after all, and the clock keeps no time yet: better begin with it."""
    found = assembly.search is not None and assembly.search.found and assembly.card.lost is None
    return found and assembly.engine.discipline.pilot.machine.state is ClockState.FREE_RUN


def open_tap(address: str | None) -> Tap | None:
    """The receiver's line for other programs. Time is kept without it: that it cannot be opened is logged."""
    if address is None:
        return None
    try:
        return Tap(parse_tap_address(address))
    except TimeCardError as error:
        log.error("the receiver's line cannot be shared reason=%s", error)
        return None


def main(config: Config) -> int:
    """Run core; the exit status. Everything a user can cure is one line on standard error."""
    logging.basicConfig(
        level=os.environ.get("TIME_APPLIANCE_LOG", "WARNING").upper(),
        format="core %(levelname)s %(name)s %(message)s",
    )
    try:
        return Core(config).run()
    except (TimeCardError, SocketError, PtpServerError, OSError) as error:
        sys.stderr.write(f"core: {error}\n")
        return 1
