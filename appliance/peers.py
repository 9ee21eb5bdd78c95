"""Reading the other sources of time: a peer by SPTP, another clock of this host, a second receiver's pulse.

Each is one ``SourceRunner``: a poll that raises the device's errors, and posts a reading (our card's clock
minus the source) when there is one.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from appliance.clock_map import MapState
from appliance.config_models import Config
from appliance.engine import Engine
from appliance.ensemble.values import Reading, Source
from appliance.events import Event
from appliance.leap.words import LeapWord, peer_word
from appliance.peer_config import PeerConfig
from appliance.ptp.exchange import Lost, Outcome, PathDelayFilter, Sample, utc_offset
from appliance.ptp.primitives import HeaderFlag
from appliance.ptp.sptp import SptpClient
from appliance.ptp.sptp_diagnosis import SptpError, explain
from appliance.serving import clock_identity
from appliance.sources import SourceRunner
from appliance.timescale.clock_quality import ACCURACY_NS
from appliance.witnessing import Witnessing
from timecard.card_protocols import Card
from timecard.errors import DeviceAbsentError, DeviceLostError, DeviceTimeoutError, RefusedError
from timecard.kernel.cross_timestamp import CrossComparer, HostSteppedError
from timecard.kernel.phc import Phc
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

EXCHANGES: Final = 4
"""Per second, of which the one with the least delay counts."""
EXCHANGE_TIMEOUT_S: Final = 0.1
GOOD_CLASSES: Final = frozenset({6, 7})
"""clockClass of a server that follows its reference, or is in holdover within its own specification."""
OTHER_UNCERTAINTY_NS: Final = 50.0
PULSE_SIGMA_NS: Final = 5.0
"""Claimed for a pulse or a clock; what it really scatters is measured."""
LEAST_SIGMA_NS: Final = 5.0
DELAYS_KEPT: Final = 64
LEAP_EVERY_NS: Final = 60 * NS_PER_S
MAX_AGE_NS: Final = NS_PER_S
"""A packet stamp is turned into the host's raw clock this soon after, or not at all."""
BRACKETS: Final = 3
MAX_HALF_WIDTH_NS: Final = 20_000.0
"""Of the better of so many comparisons of the host's two clocks; a busy host's are worth nothing."""

WITNESSES: Final = "witnesses"
"""Key of the case against the reference in the runtime record."""

Post = Callable[[str, int, Reading], None]
HostMap = Callable[[], MapState | None]


class SptpPeer:
    """Another appliance, asked by our own SPTP client. It is asked only, and steers nothing."""

    def __init__(self, peer: PeerConfig, timebase: Timebase, host_map: HostMap, own_identity: bytes) -> None:
        """``own_identity`` is our clockIdentity: a peer that follows us is no witness."""
        self._peer, self._timebase, self._host_map = peer, timebase, host_map
        self._own_identity = own_identity
        self._client: SptpClient | None = None
        self._delays: deque[float] = deque(maxlen=DELAYS_KEPT)
        self._leap: tuple[tuple[int, int], int] | None = None
        """currentUtcOffset and flags as they were told, and when."""

    def open(self) -> None:
        """Resolve the name and open the sockets, anew after a failure."""
        self.close()
        try:
            self._client = SptpClient(
                self._peer.address,
                ports=self._peer.ports,
                domain=self._peer.domain,
                timeout_s=EXCHANGE_TIMEOUT_S,
                path_delay=PathDelayFilter(kind="last"),
                timebase=self._timebase,
            )
        except (SptpError, OSError) as error:
            raise DeviceAbsentError(self._peer.address, "open", str(error)) from None

    def close(self) -> None:
        """Close the sockets."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def read(self) -> tuple[int, Reading] | None:
        """A few exchanges, the best of which counts; None while this host's clocks cannot be related."""
        client = self._client
        if client is None:
            raise DeviceLostError(self._peer.address, "SPTP", "it is not open")
        results = [client.exchange() for _ in range(EXCHANGES)]
        samples = [result for result in results if isinstance(result, Sample)]
        if not samples:
            outcomes = Counter[Outcome](r.outcome for r in results if isinstance(r, Lost))
            reason = explain(client.attempt(outcomes))
            raise DeviceTimeoutError(self._peer.address, "SPTP", reason)
        self._delays.extend(sample.raw_path_delay_ns for sample in samples)
        accuracy_ns, group = self._quality(client)
        sample = min(samples, key=lambda sample: sample.raw_path_delay_ns)
        return self._reading(sample, accuracy_ns, group)

    def _reading(self, sample: Sample, accuracy_ns: float, group: str) -> tuple[int, Reading] | None:
        state = self._host_map()
        now_ns, realtime_ns, half_ns = _host_clocks(self._timebase)
        age_ns = realtime_ns - sample.t2_host_ns
        if state is None or now_ns > state.valid_until_raw_ns or not 0 <= age_ns <= MAX_AGE_NS:
            return None
        if half_ns > MAX_HALF_WIDTH_NS:
            return None
        host_tai_ns = sample.t2_host_ns + sample.utc_offset_s * NS_PER_S
        card_minus_host_ns = state.tai_ns(now_ns - age_ns) - host_tai_ns
        uncertainty_ns = self._peer.uncertainty_ns
        if uncertainty_ns is None:
            uncertainty_ns = max(0.0, sample.raw_path_delay_ns)
        least_ns = min(self._delays)
        reading = Reading(
            offset_ns=card_minus_host_ns + sample.offset_ns - self._peer.delay_ns,
            # Half of what the delay varies by is what one way may vary by unseen.
            sigma_ns=max(LEAST_SIGMA_NS, (statistics.median(self._delays) - least_ns) / 2.0),
            bias_ns=uncertainty_ns + accuracy_ns + state.error_ns + half_ns,
            group=None if self._peer.group else group,
        )
        return now_ns - age_ns, reading

    def leap_words(self) -> list[LeapWord]:
        """What the peer announces of leap seconds: at once when it changes, else once a minute."""
        announce = None if self._client is None else self._client.announce
        state = self._host_map()
        if announce is None or state is None:
            return []
        flags, now_ns = announce.header.flags, self._timebase.mono_ns()
        said = (announce.utc_offset_s, int(flags))
        if self._leap is not None and self._leap[0] == said and now_ns - self._leap[1] < LEAP_EVERY_NS:
            return []
        self._leap = said, now_ns
        return [
            peer_word(
                self._peer.name,
                grandmaster=announce.grandmaster,
                utc_offset_s=announce.utc_offset_s,
                valid=bool(flags & HeaderFlag.UTC_OFFSET_VALID),
                leap61=bool(flags & HeaderFlag.LEAP61),
                leap59=bool(flags & HeaderFlag.LEAP59),
                tai_s=state.tai_ns(now_ns) // NS_PER_S,
                mono_ns=now_ns,
            )
        ]

    def _quality(self, client: SptpClient) -> tuple[float, str]:
        """What the peer promises of itself (ns), and whose time it serves."""
        announce = client.announce
        assert announce is not None
        name = self._peer.address
        if announce.grandmaster == self._own_identity:
            raise RefusedError(name, "SPTP", "it follows this appliance: that is no second source")
        if utc_offset(announce)[1] == "not-ptp-timescale":
            raise RefusedError(name, "SPTP", "it does not serve the PTP timescale")
        accuracy_ns = dict(ACCURACY_NS).get(announce.clock_accuracy)
        if announce.clock_class not in GOOD_CLASSES or accuracy_ns is None:
            raise RefusedError(
                name,
                "SPTP",
                f"it calls itself not good: clockClass {announce.clock_class}, clockAccuracy"
                f" 0x{announce.clock_accuracy:02X}",
            )
        return accuracy_ns, f"grandmaster {announce.grandmaster.hex()}"


class PhcPeer:
    """Another PTP hardware clock of this host that somebody keeps on TAI."""

    def __init__(self, peer: PeerConfig, host_map: HostMap) -> None:
        self._peer, self._host_map = peer, host_map
        self._phc: Phc | None = None
        self._comparer: CrossComparer | None = None

    def open(self) -> None:
        """Open the device, anew after a failure."""
        self.close()
        self._phc = Phc(self._peer.device)
        self._comparer = CrossComparer(self._phc, window_adjust=lambda: 0, tick_ns=0)

    def close(self) -> None:
        """Close the device."""
        if self._phc is not None:
            self._phc.close()
            self._phc = None

    def read(self) -> tuple[int, Reading] | None:
        """Compare both clocks by way of the host's; None while that cannot be done."""
        assert self._comparer is not None
        try:
            seen: CrossTimestamp = self._comparer.cross_timestamp()
        except HostSteppedError:
            return None
        state = self._host_map()
        if state is None or seen.mono_raw_ns > state.valid_until_raw_ns:
            return None
        bias_ns = seen.half_width_ns + state.error_ns + _uncertainty_ns(self._peer)
        offset_ns = float(state.tai_ns(seen.mono_raw_ns) - seen.card_tai_ns) - self._peer.delay_ns
        return seen.mono_raw_ns, Reading(offset_ns=offset_ns, sigma_ns=PULSE_SIGMA_NS, bias_ns=bias_ns)


class PulsePeer:
    """A second receiver's pulse, latched by another timestamper against the same clock.

    A pulse names no second: what is compared is the phase, to the nearest second.
    """

    def __init__(self, peer: PeerConfig, card: Card) -> None:
        self._peer = peer
        self._channel = card.timestamper(peer.address)

    def open(self) -> None:
        """Switch the timestamper on."""
        self._channel.enable()

    def close(self) -> None:
        """Nothing: the timestamper is the card's."""

    def read(self) -> tuple[int, Reading] | None:
        """The newest edge, if there is a new one."""
        stamp = self._channel.poll()
        if stamp is None:
            return None
        half_ns = NS_PER_S // 2
        phase_ns = (stamp.card_tai_ns + half_ns) % NS_PER_S - half_ns
        reading = Reading(
            offset_ns=phase_ns - self._peer.delay_ns,
            sigma_ns=PULSE_SIGMA_NS,
            bias_ns=_uncertainty_ns(self._peer),
        )
        return stamp.read_mono_ns, reading


def peer_runners(
    config: Config, card: Card, engine: Engine, timebase: Timebase, host_map: HostMap
) -> list[SourceRunner]:
    """The sources of all ``[[peers]]``, and in ``engine`` what compares them; none without such rows.

    Raises ``TimeCardError`` when the card has no timestamper of the name that a row gives.
    """
    if not config.peers:
        return []
    witnessing = engine.witnessing = Witnessing(
        engine.discipline,
        [
            Source(name=peer.name, group=peer.group or peer.name, wander_ns=peer.wander)
            for peer in config.peers
        ],
        scheme=config.ensemble.scheme,
        act=config.ensemble.act,
    )
    witnessing.kinds = {peer.name: peer.kind for peer in config.peers}
    identity, runners = clock_identity(card.id), []
    for peer in config.peers:
        source: SptpPeer | PhcPeer | PulsePeer
        if peer.kind == "sptp":
            source = SptpPeer(peer, timebase, host_map, identity)
        elif peer.kind == "phc":
            source = PhcPeer(peer, host_map)
        else:
            source = PulsePeer(peer, card)
        runners.append(
            SourceRunner(
                f"peer {peer.name}",
                partial(_poll, peer.name, source, witnessing.post),
                timebase,
                period_s=0.2 if peer.kind == "receiver" else 1.0,
                start=source.open,
                stop=source.close,
            )
        )
    return runners


def _poll(name: str, source: SptpPeer | PhcPeer | PulsePeer, post: Post) -> Iterable[Event]:
    found = source.read()
    if found is not None:
        post(name, *found)
    return source.leap_words() if isinstance(source, SptpPeer) else ()


def _uncertainty_ns(peer: PeerConfig) -> float:
    return OTHER_UNCERTAINTY_NS if peer.uncertainty_ns is None else peer.uncertainty_ns


def _host_clocks(timebase: Timebase) -> tuple[int, int, float]:
    """The raw clock, CLOCK_REALTIME at the same instant, and what that may be wrong by, all in ns."""
    brackets = [(timebase.mono_ns(), time.time_ns(), timebase.mono_ns()) for _ in range(BRACKETS)]
    before_ns, realtime_ns, after_ns = min(brackets, key=lambda bracket: bracket[2] - bracket[0])
    return (before_ns + after_ns) // 2, realtime_ns, (after_ns - before_ns) / 2
