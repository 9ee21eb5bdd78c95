"""What a series of SPTP exchanges says, as values and as JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from appliance.ptp.exchange import Outcome, Sample
from appliance.ptp.primitives import PortIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of a series in nanoseconds. ``p99_abs`` is the 99th percentile (nearest rank) of the magnitude."""

    count: int
    mean: float
    median: float
    std: float
    min: float
    max: float
    p99: float
    p99_abs: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Statistics of at least one value; ``ValueError`` for none."""
        if not values:
            raise ValueError("statistics of no values")
        mean = math.fsum(values) / len(values)
        return cls(
            count=len(values),
            mean=mean,
            median=statistics.median(values),
            std=math.sqrt(math.fsum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)),
            min=min(values),
            max=max(values),
            p99=percentile(values, 0.99),
            p99_abs=percentile([abs(v) for v in values], 0.99),
        )


def percentile(values: Sequence[float], fraction: float) -> float:
    """Nearest rank: the smallest value that at least ``fraction`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerQuality:
    """What the server said about itself in the last Announce."""

    port_identity: str
    grandmaster_identity: str
    clock_class: int
    clock_accuracy: int
    offset_scaled_log_variance: int
    priority1: int
    priority2: int
    steps_removed: int
    time_source: int
    flags: int
    utc_offset_s: int
    """As announced, whether declared valid or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SptpReport:
    """A measured server. At least one exchange was complete."""

    server: str
    address: str
    event_port: int
    mode: str
    client_identity: PortIdentity
    samples: tuple[Sample, ...]
    outcomes: dict[Outcome, int]
    """Every exchange, by how it ended."""
    refused: dict[str, int]
    """Datagrams that did not count, by reason."""
    quality: ServerQuality
    utc_offset_s: int
    utc_offset_source: str
    """``announced``, ``announced-unconfirmed``, ``fallback``, ``not-ptp-timescale`` or ``given``."""
    elapsed_s: float

    @property
    def sent(self) -> int:
        """Exchanges that were started."""
        return sum(self.outcomes.values())

    @property
    def lost(self) -> int:
        """Exchanges that gave no sample."""
        return self.sent - len(self.samples)

    @property
    def offset(self) -> Statistics:
        """Of the offsets, client minus server."""
        return Statistics.of([s.offset_ns for s in self.samples])

    @property
    def path_delay(self) -> Statistics:
        """Of the unfiltered mean path delays."""
        return Statistics.of([s.raw_path_delay_ns for s in self.samples])

    def summary(self) -> dict[str, Any]:
        """Everything but the samples, ready for ``json.dumps``; times in nanoseconds unless named."""
        paths = sorted({s.path for s in self.samples})
        return {
            "server": self.server,
            "address": self.address,
            "event_port": self.event_port,
            "mode": self.mode,
            "client_identity": str(self.client_identity),
            "exchanges": self.sent,
            "complete": len(self.samples),
            "lost": self.lost,
            "loss": self.lost / self.sent,
            "outcomes": {outcome.value: count for outcome, count in self.outcomes.items()},
            "refused": dict(self.refused),
            "elapsed_s": self.elapsed_s,
            "offset_ns": asdict(self.offset),
            "path_delay_ns": asdict(self.path_delay),
            "delays_rejected": sum(s.delay_rejected for s in self.samples),
            "corrections_negative": sum(s.cf1_ns < 0 or s.cf2_ns < 0 for s in self.samples),
            "paths": {str(path): self._path(path) for path in paths},
            "quality": asdict(self.quality),
            "utc_offset_s": self.utc_offset_s,
            "utc_offset_source": self.utc_offset_source,
        }

    def _path(self, path: int) -> dict[str, Any]:
        chosen = [s for s in self.samples if s.path == path]
        return {
            "count": len(chosen),
            "server_ports": sorted({s.server_port for s in chosen}),
            "offset_median_ns": statistics.median(s.offset_ns for s in chosen),
            "path_delay_median_ns": statistics.median(s.raw_path_delay_ns for s in chosen),
        }
