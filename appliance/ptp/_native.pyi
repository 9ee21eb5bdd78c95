"""The native PTP server (``appliance/ptp/native``): types of what Python sees of it."""

from collections.abc import Sequence
from typing import TypeAlias, final

ContractTuple: TypeAlias = tuple[str, int, bytes, int, int, int, int, int, int]
# address, general_port, clock_identity, port_number,
# message_type, log_period, duration_s, expires_raw_ns, sent

@final
class ClockPage:
    """What the packet threads know about time: a lock-free page with one writer, which is Python.

    Nothing is served before a map and announce data were published and ``set_serving(True)`` was called.
    Fields out of range raise ``ValueError`` (``OverflowError`` beyond 64 bits) and change nothing.
    """

    def __new__(cls) -> ClockPage: ...
    def publish_map(
        self,
        *,
        raw_anchor_ns: int,
        tai_anchor_ns: int,
        rate_ppb: float,
        valid_until_raw_ns: int,
        error_ns: int,
    ) -> None:
        """Map CLOCK_MONOTONIC_RAW to TAI: ``tai = anchor + (raw - raw_anchor) * (1 + rate_ppb / 1e9)``.

        After ``valid_until_raw_ns`` the map is void and nothing is answered. ``error_ns`` is informative.
        """

    def publish_phc_map(
        self,
        *,
        phc_index: int,
        phc_anchor_ns: int,
        tai_anchor_ns: int,
        rate_ppb: float,
        valid_until_raw_ns: int,
        error_ns: int,
    ) -> None:
        """Map the clock ``/dev/ptp<phc_index>`` of a NIC to TAI; used with hardware stamps only."""

    def withdraw_maps(self) -> None:
        """Take both maps back at once: the card's clock was stepped, or is not to be trusted."""

    def publish_announce(
        self,
        *,
        clock_class: int,
        clock_accuracy: int,
        offset_scaled_log_variance: int,
        current_utc_offset: int,
        flags: int,
        time_source: int,
        priority1: int,
        priority2: int,
        grandmaster_identity: bytes,
        steps_removed: int,
        epoch: int,
    ) -> None:
        """What Announce messages say, from the next one on (IEEE 1588-2019, 13.5).

        ``flags`` is the low byte of flagField. An exchange that spans a change of ``epoch`` is not finished.
        """

    def set_leap(self, *, tai_ns: int, utc_offset_after: int, flags_after: int) -> None:
        """What Announce messages say instead when their originTimestamp is ``tai_ns`` or later; 0: nothing.

        It goes out with the next ``publish_announce`` and stays until it is set anew.
        """

    def set_serving(self, serving: bool, /) -> None:
        """Whether to answer. False cancels all contracts, refuses new ones and drops every other request."""

    def read_map(self, raw_ns: int, /) -> int | None:
        """TAI in ns at a reading of CLOCK_MONOTONIC_RAW; None when the map is void at that time."""

    def read_phc_map(self, phc_ns: int, now_raw_ns: int, /) -> int | None:
        """TAI in ns at a reading of the PHC; None when the map is void at ``now_raw_ns``."""

@final
class Server:
    """A PTP and SPTP server in two native threads that never take Python's lock.

    ``ValueError`` or ``TypeError`` names an option that cannot be used. Rates of 0 are unlimited.
    """

    def __new__(
        cls,
        page: ClockPage,
        /,
        *,
        addresses: Sequence[str],
        clock_identity: bytes,
        event_port: int = 319,
        general_port: int = 320,
        interfaces: Sequence[str] = (),
        domain: int = 0,
        major_sdo_id: int = 0,
        minor_version: int = 1,
        dscp: int = 0,
        timestamping: str = "auto",
        stamp_interface: str = "",
        reply_pairs: int = 16,
        stamp_wait_ms: int = 100,
        receive_buffer_bytes: int = 4194304,
        log_period_min: int = -7,
        log_period_max: int = 4,
        duration_max_s: int = 3600,
        contracts_max: int = 100000,
        contracts_per_address: int = 64,
        messages_per_s_address: int = 2048,
        messages_per_s_total: int = 50000,
        requests_per_s_prefix: int = 20000,
        requests_burst_prefix: int = 20000,
        requests_per_s_total: int = 200000,
        requests_burst_total: int = 50000,
        delay_resp_without_contract: bool = False,
        kernel_stamp_ids: bool = False,
    ) -> Server: ...
    def start(self) -> None:
        """Open the ports and start answering.

        ``OSError`` says which address and port, or which interface, and why; then nothing is left open.
        """

    def stop(self) -> None:
        """Cancel the contracts, end the threads, close the ports; within a second. Harmless when stopped."""

    def stats(self) -> dict[str, int]:
        """Counters since the server was made; the names are those of ``counters.h``."""

    def contracts(self) -> list[ContractTuple]:
        """The unicast contracts in force."""

    @property
    def timestamping(self) -> str:
        """``software`` or ``hardware``, as found by ``start``."""

    @property
    def phc_index(self) -> int | None:
        """Which ``/dev/ptpN`` hardware stamps are of; None with software stamps."""

    @property
    def running(self) -> bool:
        """Both threads are alive."""

    @property
    def heartbeat_raw_ns(self) -> int:
        """The older of the threads' last signs of life, CLOCK_MONOTONIC_RAW; one is due every 20 ms."""
