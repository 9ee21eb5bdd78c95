"""``[ensemble]`` and ``[[peers]]`` of the configuration: other sources of time, and what they may do."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic import model_validator as _model_validator
from pydantic_core import PydanticCustomError

RESERVED: Final = frozenset({"gnss", "own clock"})
MAX_PEERS: Final = 15
_HOST: Final = re.compile(r"[A-Za-z0-9.:_%-]{1,253}")
_PHC: Final = re.compile(r"/dev/ptp[0-9]{1,3}")
_CHANNEL: Final = re.compile(r"ts[1-46-9]")
WANDER_NS: Final = {"sptp": 20.0, "phc": 20.0, "receiver": 5.0}

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")]
Ns = Annotated[float, Field(ge=0, le=1e9)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class EnsembleConfig(_Section):
    """``[ensemble]``: how several sources are compared. Without ``[[peers]]`` nothing is."""

    scheme: Literal["interval", "chauvenet"] = "interval"
    """``interval``: votes on intervals and rates; ``chauvenet``: the published two-stage scheme, which takes
    a step for the new normal and never sees a ramp."""
    act: bool = True
    """Sources that contradict the reference cost it: holdover. False only reports it."""


class PeerConfig(_Section):
    """``[[peers]]``: one other source of time."""

    name: Annotated[Name, Field(examples=["rack-2"])]
    kind: Literal["sptp", "receiver", "phc"] = "sptp"
    """``sptp``: another appliance over the network; ``receiver``: a second receiver's pulse on a timestamper
    of this card; ``phc``: another clock of this host that keeps TAI, such as a second card's."""
    address: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Host name or address of the peer; channel of the timestamper (``ts1``); ``/dev/ptpN``."""
    ports: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65_535)], Annotated[int, Field(ge=1, le=65_535)]],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    ] = (319, 320)
    """UDP ports of the peer for event and general messages."""
    domain: Annotated[int, Field(ge=0, le=255)] = 0
    group: Name | None = None
    """Sources of one group count once: give those on one antenna the same (``gnss`` is our own receiver's).
    Without it a source is a group of its own, and SPTP peers of one grandmaster are one."""
    delay_ns: Annotated[float, Field(ge=-1e9, le=1e9)] = 0.0
    """How much later than its time the source is seen: cable, half the known asymmetry of the path."""
    uncertainty_ns: Ns | None = None
    """What is not known of the constant delay. Without it an SPTP path counts its whole measured delay,
    which no asymmetry can exceed, and anything else 50 ns."""
    wander_ns: Ns | None = None
    """How far the reading may wander in minutes and hours with nothing wrong, one sigma. Without it 20 ns
    for the network and other clocks, 5 ns for a receiver."""

    @_model_validator(mode="after")
    def _fitting_address(self) -> PeerConfig:
        pattern, wanted = {
            "sptp": (_HOST, "a host name or an address"),
            "receiver": (_CHANNEL, "a timestamper such as ts1 (ts0 and ts5 are in use)"),
            "phc": (_PHC, "a clock such as /dev/ptp1"),
        }[self.kind]
        if not pattern.fullmatch(self.address):
            raise PydanticCustomError(
                "order",
                "address: {given} is not {wanted}, as kind = {kind} wants",
                {"given": repr(self.address), "wanted": wanted, "kind": self.kind},
            )
        if self.name in RESERVED:
            raise PydanticCustomError("order", "name: {name} is our own", {"name": self.name})
        return self

    @property
    def device(self) -> Path:
        """Of a ``phc``."""
        return Path(self.address)

    @property
    def wander(self) -> float:
        """``wander_ns`` or what stands for it."""
        return WANDER_NS[self.kind] if self.wander_ns is None else self.wander_ns


def _different(peers: tuple[PeerConfig, ...]) -> tuple[PeerConfig, ...]:
    twice = [name for name, count in Counter(peer.name for peer in peers).items() if count > 1]
    if twice:
        raise PydanticCustomError("order", "name {names} is used twice", {"names": ", ".join(twice)})
    return peers


Peers = Annotated[
    tuple[PeerConfig, ...],
    Field(max_length=MAX_PEERS),
    AfterValidator(_different),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
]
