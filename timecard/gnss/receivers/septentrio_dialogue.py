"""The driver of Septentrio mosaic receivers: who is there, SBF switched on, and settings by commands.

The identity comes from the file "Identification", because asking for it changes nothing (a ReceiverSetup
block would have to be switched on first).
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Final

from timecard.errors import DeviceAbsentError, DeviceTimeoutError, ProtocolError, RefusedError, TimeCardError
from timecard.gnss.driver import Capability, Receiver, ReceiverDriver
from timecard.gnss.intent import Change, GnssIntent, InForce, Plan, Store, Survey
from timecard.gnss.line_rate import try_rate
from timecard.gnss.septentrio_line import Reply, SeptentrioLine
from timecard.gnss.septentrio_settings import SURVEY_LIMITS, Values, Wishes, in_force
from timecard.gnss.stream_receiver import StreamReceiver, absent
from timecard.protocols import ByteStream, RateStream
from timecard.timebase import Timebase
from timecard.values import ReceiverIdentity

_LOG: Final = logging.getLogger(__name__)
_IDENTITY: Final = "lstInternalFile, Identification"
_PROBE_S: Final = 1.2
_SETTLE_S: Final = 0.3
_PRODUCT: Final = re.compile(r'<hwplatform[^>]{0,200}?product="([^"]{1,40})"', re.DOTALL)
_FIRMWARE: Final = re.compile(r'<firmware[^>]{0,200}?version="([^"]{1,40})"', re.DOTALL)
_SERIAL: Final = re.compile(r'<hwplatform[^>]{0,200}?serialnr="([^"]{1,40})"', re.DOTALL)
_RATE_ITEM: Final = "COMSettings"
_READ: Final = "read GNSS receiver settings"
_WRITE: Final = "configure GNSS receiver"
_MODE: Final = "PVTMode"


class SeptentrioReceiver(StreamReceiver):
    """``Receiver`` for the mosaic family."""

    capabilities = frozenset(Capability)

    def __init__(self, stream: ByteStream, timebase: Timebase, intent: GnssIntent | None = None) -> None:
        super().__init__(stream, timebase)
        self._intent = intent
        self._line = SeptentrioLine(stream, timebase, self._keep)
        self._port = ""
        self._signals: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        """What ``start`` could not do."""

    def start(self) -> None:
        """Identify, and make it as the intent says. Raises ``DeviceAbsentError``, ``RefusedError``."""
        self.identity = self._identify(tries=2)
        _LOG.info("%s: found model=%s firmware=%s", self.name, self.identity.model, self.identity.firmware)
        if self._intent is not None:
            plan = self.plan(self._intent)
            self.apply(plan)
            self.warnings = plan.unsupported

    def probe(self) -> ReceiverIdentity | None:
        """Who is there, asked twice; None when nobody understands."""
        try:
            return self._identify(tries=2, timeout_s=_PROBE_S)
        except (DeviceAbsentError, ProtocolError):
            return None

    def settings(self) -> InForce:
        """Settings in force, in neutral words. Writes nothing."""
        self._know_port()
        try:
            return in_force(self._read, self._port)
        except (ValueError, IndexError, OverflowError) as error:
            text = "a setting is otherwise than its manual says"
            raise ProtocolError(self.name, _READ, text) from error

    def plan(self, intent: GnssIntent) -> Plan:
        """Read the settings and say what differs. Writes nothing."""
        self._know_port()
        seen: dict[str, Values] = {}

        def read(item: str) -> Values:
            if item not in seen:
                seen[item] = self._read(item)
            return seen[item]

        try:
            wishes = Wishes(intent, read, self._port, self._signals)
        except (ValueError, IndexError) as error:
            text = "a setting has another number of arguments than its manual says"
            raise ProtocolError(self.name, _READ, text) from error
        changes = [
            Change(setting=field, key=item, before=", ".join(read(item)), after=", ".join(values))
            for field, item, values in wishes.wanted
            if not _same(read(item), values)
        ]
        changes.sort(key=lambda change: change.key.startswith(_RATE_ITEM))
        return Plan(
            changes=tuple(changes), unsupported=tuple(wishes.unsupported), store=_lasting(intent.store)
        )

    def apply(self, plan: Plan) -> None:
        """Write the changes, all or nothing, without a reset; read them back; store them."""
        self._write_all([(change.key, str(change.before), str(change.after)) for change in plan.changes])
        if plan.changes and plan.store != "ram":
            self._store()

    def undo(self, plan: Plan) -> None:
        """Write the values that a plan found."""
        back = [(change.key, str(change.after), str(change.before)) for change in reversed(plan.changes)]
        back.sort(key=lambda change: change[0].startswith(_RATE_ITEM))
        self._write_all(back)
        if plan.changes and plan.store != "ram":
            self._store()

    def plan_survey(self, survey: Survey, store: Store = "battery") -> Plan:
        """What ``survey_again`` writes over, to be kept for an undo. The limits are the receiver's own."""
        before = self._read(_MODE)
        after = ("Static", *before[1:2], "auto")
        changes = (
            ()
            if _same(before, after)
            else (Change(setting="position", key=_MODE, before=", ".join(before), after=", ".join(after)),)
        )
        return Plan(changes=changes, unsupported=(SURVEY_LIMITS,), store=_lasting(store))

    def survey_again(self, survey: Survey, store: Store = "battery") -> None:
        """Find the position anew: leaving static mode ends what it averages, or holds, now."""
        before = self._read(_MODE)
        for mode in (("Rover", *before[1:]), ("Static", *before[1:2], "auto")):
            self._write_all([(_MODE, ", ".join(before), ", ".join(mode))])
        if store != "ram":
            self._store()

    # --- the dialogue ---------------------------------------------------------------------------------------

    def _identify(self, tries: int, timeout_s: float = 2.0) -> ReceiverIdentity:
        heard = bytearray()

        def keep(data: bytes) -> None:
            heard.extend(data)
            self._keep(data)

        try:
            reply = SeptentrioLine(self._stream, self._timebase, keep).ask(_IDENTITY, timeout_s, tries)
        except DeviceTimeoutError:
            raise absent(self.name, bytes(heard), "answering Septentrio") from None
        text = "\n".join(reply.lines)
        product, firmware, serial = (each.search(text) for each in (_PRODUCT, _FIRMWARE, _SERIAL))
        if reply.error is not None or product is None:
            reason = reply.error or "its identification file names no product"
            raise ProtocolError(self.name, "identify GNSS receiver", reason[:200])
        self._port = reply.port
        return ReceiverIdentity(
            model=product.group(1),
            firmware=firmware.group(1) if firmware else "",
            protocol="SBF",
            serial=serial.group(1) if serial else None,
            read_mono_ns=self._timebase.mono_ns(),
        )

    def _know_port(self) -> None:
        if not self._port:
            self.identity = self._identify(tries=2)
        if not self._signals:
            reply = self._done(self._line.ask("getReceiverCapabilities"), _READ)
            words = [word.strip() for line in reply.lines for word in line.split(",")]
            lists = [word.split("+") for word in words if "GPSL1CA" in word]
            if not lists:
                raise ProtocolError(self.name, _READ, "its capabilities name no signals")
            self._signals = tuple(lists[0])

    def _done(self, reply: Reply, operation: str) -> Reply:
        if reply.error is not None:
            raise RefusedError(self.name, operation, reply.error[:200])
        return reply

    def _read(self, item: str) -> Values:
        reply = self._done(self._line.ask(f"get{item}"), _READ)
        return self._state(reply, item)

    def _state(self, reply: Reply, item: str) -> Values:
        """Arguments in force, out of the line that begins with the item."""
        for line in reply.lines:
            words = [word.strip() for word in line.split(",")]
            names = [word.strip() for word in item.split(",")]
            if words[: len(names)] == names and line.isascii() and line.isprintable():
                return tuple(words[len(names) :])
        raise ProtocolError(self.name, _READ, f"the reply says nothing of {item}")

    def _write_all(self, writes: list[tuple[str, str, str]]) -> None:
        done: list[tuple[str, str]] = []
        try:
            for item, before, after in writes:
                done.append((item, before))
                self._write(item, after)
            for item, _, after in writes:
                present = self._read(item)
                if not _same(present, tuple(after.split(", "))):
                    raise RefusedError(self.name, _WRITE, f"{item} reads back as {', '.join(present)}")
        except TimeCardError as error:
            self._take_back(done, error)
            raise

    def _write(self, item: str, values: str) -> None:
        if item.startswith(_RATE_ITEM):
            self._change_rate(item, values)
            return
        reply = self._line.ask(f"set{item}, {values}")
        if reply.error is not None:
            raise RefusedError(self.name, _WRITE, f"{item}: {reply.error[:200]}")

    def _change_rate(self, item: str, values: str) -> None:
        """The reply may come at the old rate or at the new one."""
        stream = self._stream
        word, comma, rest = values.partition(",")
        digits = word.removeprefix("baud")
        if not isinstance(stream, RateStream) or not digits.isdigit():
            raise RefusedError(self.name, _WRITE, f"{item}: the rate of this line cannot be changed")
        try_rate(stream, int(digits))
        try:
            reply = self._line.ask(f"set{item}, {values}", _SETTLE_S, 1)
        except (DeviceTimeoutError, ProtocolError):
            pass
        else:
            if reply.error is not None:
                raise RefusedError(self.name, _WRITE, f"{item}: {reply.error[:200]}")
        old = stream.baud
        stream.set_baud(int(digits))
        try:
            self._read(item)
        except TimeCardError:
            # It may hear at the new rate without being heard, so it is told there to go back.
            with suppress(TimeCardError):
                self._line.ask(f"set{item}, baud{old}{comma}{rest}", _SETTLE_S, 1)
            stream.set_baud(old)
            raise

    def _take_back(self, done: list[tuple[str, str]], error: TimeCardError) -> None:
        for item, before in reversed(done):
            try:
                self._write(item, before)
            except TimeCardError as again:
                error.add_note(f"{item} could not be set back: {again}")

    def _store(self) -> None:
        self._done(self._line.ask("exeCopyConfigFile, Current, Boot"), "store GNSS receiver settings")


def _lasting(store: Store) -> Store:
    """There is one lasting memory: the boot file, in flash."""
    return "ram" if store == "ram" else "flash"


def _same(one: Values, other: Values) -> bool:
    """Lists joined by ``+`` have no order, numbers may be written in several ways."""
    return len(one) == len(other) and all(map(_equal, one, other))


def _equal(one: str, other: str) -> bool:
    if "+" in one or "+" in other:
        return set(one.split("+")) == set(other.split("+"))
    try:
        return float(one) == float(other)
    except ValueError:
        return one.lower() == other.lower()


def _probe(stream: ByteStream, timebase: Timebase) -> ReceiverIdentity | None:
    return SeptentrioReceiver(stream, timebase).probe()


def _open(stream: ByteStream, timebase: Timebase, intent: GnssIntent | None) -> Receiver:
    return SeptentrioReceiver(stream, timebase, intent)


SEPTENTRIO: Final = ReceiverDriver(
    name="septentrio", bauds=(115_200, 230_400, 460_800, 921_600), probe=_probe, open=_open
)
