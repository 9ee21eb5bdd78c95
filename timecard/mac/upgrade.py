"""New firmware for an SA5X: what has to be right before, the transfer, and going on after a power cut.

The order of commands is that of Microchip's guide (DS50002938) and Meta's ``sa53`` upgrade tool: ``{reset}``,
``{bsl}`` while the part starts up, ``{upload,cpu}``, the file by XMODEM-1K, ``{reset}``, and the version is
read again. A part whose upload was cut has no firmware: it answers ``[!1]`` to everything but these commands,
and keeps doing so until an upload succeeds. All commands here are in lower case: no other part takes them for
its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac.firmware_image import FAMILY, NO_VERSION, FirmwareImage, version_of
from timecard.mac.xmodem import CANCEL, NAK, Progress, meaning, send_file
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

ANSWER_S: Final = 2.0
BOOT_S: Final = 30.0
"""From ``{reset}`` to the notice that says that the firmware runs."""
SETTLE_S: Final = 1.0
"""Between that notice and the first command."""
CHECK_S: Final = 30.0
"""To check the file after the last block."""
DRAIN_S: Final = 0.25
LOADER_TRIES: Final = 3
IDENTIFY_TRIES: Final = 3
MAX_HEARD: Final = 8_192
_LINE: Final = re.compile(r"\[([=!>])([^\]\r\n]{0,4096})\]")
_RUNS: Final = "Microchip"
_STARTING: Final = "Loading"
Holders = Callable[[], Sequence[str]]
"""Other programs that have the port open, by name."""


class Condition(StrEnum):
    """In which a part was found."""

    RUNNING = "running"
    NO_FIRMWARE = "no firmware"
    """It is in its boot loader, or its image is broken: an upload was cut."""
    RECEIVING = "in an upload"
    """It still waits for the blocks of an upload that nobody sends any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What was found, and what speaks against going on; ``go`` when nothing does."""

    condition: Condition
    running: str | None
    """``{swrev?}`` of the part, None without firmware."""
    image: FirmwareImage
    refusals: tuple[str, ...]

    @property
    def go(self) -> bool:
        """Nothing speaks against it."""
        return not self.refusals

    @property
    def resumes(self) -> bool:
        """An upload was cut before."""
        return self.condition is not Condition.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What was done."""

    before: str | None
    after: str
    blocks: int


class Upgrade:
    """One upgrade of the part on a stream of 57600 baud."""

    def __init__(self, stream: ByteStream, timebase: Timebase) -> None:
        self._stream = stream
        self._timebase = timebase
        self._text = ""

    def preflight(self, image: FirmwareImage, *, holders: Holders = tuple, force: bool = False) -> Preflight:
        """Look whether the upgrade may begin; nothing is changed.

        ``force`` takes an image that is not newer. Raises ``DeviceAbsentError`` when nobody answers and
        ``UnsupportedError`` when something else than an SA5X does.
        """
        refusals = [f"the port is in use by {user}" for user in holders()]
        condition, running = self._condition()
        version = NO_VERSION if running is None else version_of(running) or NO_VERSION
        if not force and image.version <= version:
            refusals.append(f"{image.label} is not newer than {running}, which runs")
        return Preflight(condition=condition, running=running, image=image, refusals=tuple(refusals))

    def run(self, plan: Preflight, progress: Progress | None = None) -> Upgraded:
        """Do it; verified by the version that the part tells afterwards.

        Raises ``RefusedError`` for a plan that has refusals, or what the part refuses; ``DeviceTimeoutError``
        when it falls silent. Whatever was raised, the whole upgrade can be begun again.
        """
        stream, image = self._stream, plan.image
        if not plan.go:
            raise RefusedError(stream.name, "upgrade", "; ".join(plan.refusals))
        self._enter_loader(plan.condition)
        self._send("{upload,cpu}")
        told = send_file(stream, self._timebase, image.data, progress)
        self._text = told.decode("latin-1")
        self._finish()
        after = self._restart()
        found = version_of(after)
        if found != image.version:
            raise ProtocolError(stream.name, "verify the upgrade", f"{after} runs now, not {image.label}")
        return Upgraded(before=plan.running, after=after, blocks=-(-len(image.data) // 1024))

    # --- who is there ---------------------------------------------------------------------------------------

    def _condition(self) -> tuple[Condition, str | None]:
        for attempt in range(IDENTIFY_TRIES + 1):
            if attempt == IDENTIFY_TRIES:
                self._stream.write(CANCEL)  # in the middle of an upload a part says nothing for long
            heard = self._drain()
            if heard and set(heard) <= {"C", chr(NAK)}:
                return Condition.RECEIVING, None
            self._send("{device?}")
            family = self._reply(ANSWER_S)
            if family is None:
                text = self._text.strip("\r\n")
                if text and set(text) <= {"C", chr(NAK)}:
                    return Condition.RECEIVING, None
                if text and "[" not in text:
                    raise UnsupportedError(
                        self._stream.name, "upgrade", f"answers {text[:40]!r}: no SA5X, or another baud rate"
                    )
                continue
            if family == "!1":
                self._send("{swrev?}")
                if self._reply(ANSWER_S) == "!1":
                    return Condition.NO_FIRMWARE, None
                continue
            if family != f"={FAMILY}":
                raise UnsupportedError(self._stream.name, "upgrade", f"answers {family[:40]!r}: no SA5X")
            self._send("{swrev?}")
            version = self._reply(ANSWER_S)
            if version is not None and version_of(version[1:]) is not None:
                return Condition.RUNNING, version[1:]
            if version == "!1":  # as a damaged image answers
                return Condition.NO_FIRMWARE, None
        raise DeviceAbsentError(
            self._stream.name, "upgrade", f"no usable answer to {{device?}} in {IDENTIFY_TRIES} tries"
        )

    # --- steps ----------------------------------------------------------------------------------------------

    def _enter_loader(self, condition: Condition) -> None:
        if condition is Condition.RECEIVING:
            self._stream.write(CANCEL)
            self._drain()
        for _ in range(LOADER_TRIES):
            self._drain()
            self._send("{reset}")
            if self._notice(_STARTING, ANSWER_S):
                self._send("{bsl}")
                if self._reply(ANSWER_S) == "=BSL":
                    return
        raise DeviceTimeoutError(
            self._stream.name,
            "enter the boot loader",
            f"no [=BSL] in {LOADER_TRIES} tries; the firmware is as before; the part was told to restart",
        )

    def _finish(self) -> None:
        reply = self._reply(CHECK_S)
        if reply is None:
            raise DeviceTimeoutError(
                self._stream.name, "upload", f"no result within {CHECK_S:g} s; try again"
            )
        if reply != "=1":
            code = reply[1:]
            why = meaning(int(code)) if code.isdecimal() else f"it answers {reply[:40]!r}"
            raise RefusedError(self._stream.name, "upload", f"{why}; the part has no firmware now")

    def _restart(self) -> str:
        self._drain()
        self._send("{reset}")
        if not self._notice(_RUNS, BOOT_S):
            raise DeviceTimeoutError(
                self._stream.name, "restart", f"the new firmware did not start within {BOOT_S:g} s"
            )
        self._timebase.sleep_s(SETTLE_S)
        for _ in range(IDENTIFY_TRIES):
            self._drain()
            self._send("{swrev?}")
            reply = self._reply(ANSWER_S)
            if reply is not None and reply.startswith("=") and version_of(reply[1:]) is not None:
                return reply[1:]
        raise ProtocolError(self._stream.name, "verify the upgrade", "{swrev?} gave no version")

    # --- the line -------------------------------------------------------------------------------------------

    def _send(self, command: str) -> None:
        self._text = ""
        self._stream.write(command.encode("ascii"))

    def _drain(self) -> str:
        heard = bytearray()
        while len(heard) < MAX_HEARD and (data := self._stream.read(1024, DRAIN_S)):
            heard += data
        self._text = ""
        return heard.decode("latin-1")

    def _reply(self, timeout_s: float) -> str | None:
        """Kind and value of the next answer, ``=V1...`` or ``!1``; notices are skipped."""
        return self._next(lambda kind, value: kind != ">", timeout_s)

    def _notice(self, word: str, timeout_s: float) -> bool:
        return self._next(lambda kind, value: kind == ">" and word in value, timeout_s) is not None

    def _next(self, wanted: Callable[[str, str], bool], timeout_s: float) -> str | None:
        deadline_ns = self._timebase.mono_ns() + round(timeout_s * NS_PER_S)
        while True:
            while (found := _LINE.search(self._text)) is not None:
                self._text = self._text[found.end() :]
                if wanted(found[1], found[2]):
                    return found[1] + found[2]
            left_ns = deadline_ns - self._timebase.mono_ns()
            if left_ns <= 0:
                return None
            self._text = (self._text + self._read(left_ns / NS_PER_S))[-MAX_HEARD:]

    def _read(self, timeout_s: float) -> str:
        return self._stream.read(1024, timeout_s).decode("latin-1")
