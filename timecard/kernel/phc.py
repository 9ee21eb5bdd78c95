"""A PTP hardware clock by its device node: any, of a Time Card or of a NIC.

Sources: ``include/uapi/linux/ptp_clock.h``, ``drivers/ptp/ptp_chardev.c`` and ``ptp_clock.c``. Signs: a
positive frequency makes the clock faster.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from timecard.errors import (
    DeviceLostError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.kernel import ptp_abi as abi
from timecard.kernel.phc_errors import phc_error
from timecard.kernel.phc_values import Bracket, ExttsEvent, PhcCapabilities, Pin
from timecard.kernel.ptp_abi import ExttsFlag, PeroutFlag, PinFunction
from timecard.timescale import NS_PER_S

SCALED_PPM: Final = 65_536
"""The kernel counts frequency in 1/65536 ppm."""
REALTIME: Final = time.CLOCK_REALTIME
MONOTONIC_RAW: Final = time.CLOCK_MONOTONIC_RAW
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Phc:
    """An open clock; also a context manager that closes it. Raises ``TimeCardError`` and nothing else."""

    def __init__(self, path: Path) -> None:
        """Open it for reading and writing, or only for reading where that is all that is allowed."""
        self.name = str(path)
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        self.writable = True
        try:
            try:
                self._fd = os.open(path, os.O_RDWR | flags)
            except PermissionError:
                self._fd = os.open(path, os.O_RDONLY | flags)
                self.writable = False
        except OSError as error:
            raise self._failed("open", error) from error

    # --- time ---

    def now_ns(self) -> int:
        """Read the clock."""
        try:
            return time.clock_gettime_ns(self._dynamic_clock("read"))
        except OSError as error:
            raise self._failed("read", error) from error

    def set_ns(self, value_ns: int) -> None:
        """Load a time."""
        try:
            time.clock_settime_ns(self._dynamic_clock("set"), value_ns)
        except (OSError, OverflowError) as error:
            raise self._failed("set", error) from error

    def adjust_ns(self, delta_ns: int) -> None:
        """Add to the clock (ADJ_SETOFFSET); the driver may slew a small amount."""
        seconds, ns = divmod(delta_ns, NS_PER_S)
        if abs(seconds) > 1 << 62:
            raise RefusedError(self.name, "adjust", f"{delta_ns} ns is too much")
        self._adjtime("adjust", abi.ADJ_SETOFFSET | abi.ADJ_NANO, time_sec=seconds, time_usec=ns)

    def frequency_ppb(self) -> float:
        """The frequency that was last dialled through this interface."""
        return int(self._adjtime("read frequency", 0).freq) * 1000 / SCALED_PPM

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Dial a frequency; returns it as the kernel's word has it, in steps of 0.015 ppb.

        ``UnsupportedError``: the driver cannot. ``RefusedError``: out of range.
        """
        try:
            word = round(frequency_ppb * SCALED_PPM / 1000)
        except (ValueError, OverflowError) as error:
            raise RefusedError(self.name, "set frequency", f"{frequency_ppb} ppb is no frequency") from error
        if abs(word) > 1 << 46:
            raise RefusedError(self.name, "set frequency", f"{frequency_ppb} ppb is too much")
        self._adjtime("set frequency", abi.ADJ_FREQUENCY, freq=word)
        return word * 1000 / SCALED_PPM

    # --- what it can do ---

    def capabilities(self) -> PhcCapabilities:
        """Ask the driver."""
        data = bytearray(abi.CAPS.size)
        self._ioctl("ask capabilities", abi.PTP_CLOCK_GETCAPS, data)
        words = abi.CAPS.unpack(data)
        return PhcCapabilities(
            max_frequency_ppb=words[0],
            alarms=words[1],
            extts_channels=words[2],
            perout_channels=words[3],
            pps=bool(words[4]),
            pins=words[5],
            cross_timestamping=bool(words[6]),
            adjust_phase=bool(words[7]),
        )

    # --- external timestamps ---

    def enable_extts(self, channel: int, *, falling: bool = False) -> None:
        """Timestamp edges of a channel.

        Older kernels and drivers do not know edges: they decide themselves.
        """
        edge = ExttsFlag.FALLING if falling else ExttsFlag.RISING
        operation = f"enable EXTTS {channel}"
        try:
            self._extts(operation, abi.PTP_EXTTS_REQUEST2, channel, ExttsFlag.ENABLE | edge)
        except UnsupportedError:
            # Unknown request, or a driver that refuses to be strict about edges: the first form asks less.
            self._extts(operation, abi.PTP_EXTTS_REQUEST, channel, ExttsFlag.ENABLE | edge)

    def disable_extts(self, channel: int) -> None:
        """Timestamp no more."""
        self._extts(f"disable EXTTS {channel}", abi.PTP_EXTTS_REQUEST, channel, ExttsFlag(0))

    def wait_events(self, timeout_s: float) -> bool:
        """Wait until there is something to read; False after ``timeout_s``."""
        poller = select.poll()
        try:
            poller.register(self._fd, select.POLLIN)
            ready = poller.poll(max(0.0, timeout_s) * 1000)
        except (OSError, ValueError) as error:
            raise self._failed("wait for events", error) from error
        if ready and ready[0][1] & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            raise DeviceLostError(self.name, "wait for events", "the clock has gone")
        return bool(ready)

    def read_events(self, timeout_s: float) -> Sequence[ExttsEvent]:
        """Edges that have arrived, of all channels; empty after ``timeout_s``. At most one queue full."""
        data = b""
        # One read gives a part of the queue only.
        while len(data) < abi.EVENT.size * abi.QUEUE and self.wait_events(0.0 if data else timeout_s):
            try:
                part = os.read(self._fd, abi.EVENT.size * abi.QUEUE)
            except BlockingIOError:
                break
            except OSError as error:
                raise self._failed("read events", error) from error
            if not part:
                raise DeviceLostError(
                    self.name, "read events", "end of file: this is no clock, or it has gone"
                )
            data += part
        if len(data) % abi.EVENT.size:
            raise ProtocolError(self.name, "read events", f"{len(data)} bytes are no whole events")
        return [
            ExttsEvent(channel, seconds * NS_PER_S + ns)
            for seconds, ns, channel, _ in abi.EVENT.iter_unpack(data)
        ]

    # --- outputs and pins ---

    def start_perout(
        self,
        channel: int,
        period_ns: int,
        *,
        start_ns: int | None = None,
        phase_ns: int | None = None,
        on_ns: int | None = None,
    ) -> None:
        """Periodic output from an absolute time, or at a phase of its period. ``on_ns`` is the pulse."""
        if (start_ns is None) == (phase_ns is None):
            raise RefusedError(self.name, f"start PEROUT {channel}", "give either start_ns or phase_ns")
        flags = PeroutFlag(0) if phase_ns is None else PeroutFlag.PHASE
        flags |= PeroutFlag(0) if on_ns is None else PeroutFlag.DUTY_CYCLE
        begin_ns = start_ns if start_ns is not None else phase_ns
        self._perout(f"start PEROUT {channel}", channel, begin_ns or 0, period_ns, on_ns or 0, flags)

    def stop_perout(self, channel: int) -> None:
        """No output any more."""
        self._perout(f"stop PEROUT {channel}", channel, 0, 0, 0, PeroutFlag(0))

    def pin(self, index: int) -> Pin:
        """One pin."""
        data = bytearray(abi.PIN.pack(b"", index, 0, 0))
        self._ioctl(f"ask pin {index}", abi.PTP_PIN_GETFUNC, data)
        name, _, function, channel = abi.PIN.unpack(data)
        known = function in PinFunction.__members__.values()
        text = name.split(b"\0")[0].decode("ascii", "replace")
        return Pin(index, text, PinFunction(function) if known else function, channel)

    def set_pin(self, index: int, function: PinFunction, channel: int = 0) -> None:
        """Give a pin a function; ``UnsupportedError`` covers every refusal of the driver."""
        data = bytearray(abi.PIN.pack(b"", index, function, channel))
        self._ioctl(f"set pin {index} to {function.name} {channel}", abi.PTP_PIN_SETFUNC, data)

    # --- against the host's clocks ---

    def brackets(self, samples: int, clock: int = REALTIME) -> list[Bracket]:
        """Readings between two of ``clock``. ``RefusedError`` when the kernel knows only CLOCK_REALTIME."""
        data = bytearray(abi.EXTENDED_SIZE)
        abi.SAMPLES_HEADER.pack_into(data, 0, samples, clock)
        self._ioctl("compare with the host's clock", abi.PTP_SYS_OFFSET_EXTENDED, data)
        times = self._times(data, 3 * samples)
        return [Bracket(*times[i : i + 3]) for i in range(0, len(times), 3)]

    def plain_brackets(self, samples: int) -> list[Bracket]:
        """The older request: CLOCK_REALTIME read by the PTP core, around each reading of the clock."""
        data = bytearray(abi.PLAIN_SIZE)
        abi.SAMPLES_HEADER.pack_into(data, 0, samples, 0)
        self._ioctl("compare with the host's clock", abi.PTP_SYS_OFFSET, data)
        times = self._times(data, 2 * samples + 1)
        return [Bracket(*times[i : i + 3]) for i in range(0, 2 * samples, 2)]

    def precise(self) -> tuple[int, int, int]:
        """Clock, CLOCK_REALTIME and CLOCK_MONOTONIC_RAW at one instant, as the hardware compares them."""
        data = bytearray(abi.PRECISE.size)
        self._ioctl("cross timestamp", abi.PTP_SYS_OFFSET_PRECISE, data)
        words = abi.PRECISE.unpack(data)
        clock_ns, real_ns, raw_ns = (words[i] * NS_PER_S + words[i + 1] for i in (0, 2, 4))
        return clock_ns, real_ns, raw_ns

    # --- life ---

    def fileno(self) -> int:
        """For ``select``."""
        return self._fd

    def close(self) -> None:
        """Close the device."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Phc:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- internals ---

    def _dynamic_clock(self, operation: str) -> int:
        """The id of a closed descriptor would be that of another clock of this process."""
        if self.closed:
            raise DeviceLostError(self.name, operation, "the clock was closed")
        return abi.clock_id(self._fd)

    def _extts(self, operation: str, request: int, channel: int, flags: ExttsFlag) -> None:
        self._ioctl(operation, request, bytearray(abi.EXTTS.pack(channel, flags)))

    def _perout(
        self, operation: str, channel: int, begin_ns: int, period_ns: int, on_ns: int, flags: PeroutFlag
    ) -> None:
        try:
            data = bytearray(
                abi.PEROUT.pack(
                    *divmod(begin_ns, NS_PER_S),
                    *divmod(period_ns, NS_PER_S),
                    channel,
                    flags,
                    *divmod(on_ns, NS_PER_S),
                )
            )
        except struct.error as error:
            raise RefusedError(self.name, operation, str(error)) from error
        # The first form knows no flags, and drivers that need none work with either.
        self._ioctl(operation, abi.PTP_PEROUT_REQUEST2 if flags else abi.PTP_PEROUT_REQUEST, data)

    def _times(self, data: bytearray, count: int) -> list[int]:
        words = abi.TIME.iter_unpack(data[abi.SAMPLES_HEADER.size :][: count * abi.TIME.size])
        return [seconds * NS_PER_S + ns for seconds, ns in words]

    def _ioctl(self, operation: str, request: int, data: bytearray) -> None:
        try:
            fcntl.ioctl(self._fd, request, data)
        except (OSError, ValueError) as error:
            raise self._failed(operation, error) from error

    def _adjtime(self, operation: str, modes: int, **fields: int) -> abi.Timex:
        timex = abi.Timex(modes=modes, **fields)
        if _LIBC.clock_adjtime(ctypes.c_int(self._dynamic_clock(operation)), ctypes.byref(timex)) < 0:
            code = ctypes.get_errno()
            raise self._failed(operation, OSError(code, os.strerror(code)))
        return timex

    def _failed(self, operation: str, error: Exception) -> TimeCardError:
        if self.closed:
            return DeviceLostError(self.name, operation, "the clock was closed")
        return phc_error(self.name, operation, error, writable=getattr(self, "writable", True))

    @property
    def closed(self) -> bool:
        """It was closed."""
        return getattr(self, "_fd", 0) < 0
