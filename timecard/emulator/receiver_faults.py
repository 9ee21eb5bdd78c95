"""Faults of an emulated receiver itself: its antenna's supply, its sky, and what it says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from timecard.emulator.faults import Start, Stop
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.receiver_navigation import Start as ReceiverStart
from timecard.timescale import NS_PER_S
from timecard.values import AntennaStatus, SpoofingState

Arguments = Mapping[str, float]
Changes = Callable[[Arguments, int], dict[str, Any]]
"""Attributes and their values while the fault lasts, from its arguments and the second in which it begins."""


def _leap_announced(arguments: Arguments, tai_s: int) -> dict[str, Any]:
    return {"leap_change": int(arguments["change"]) or 1, "leap_at_tai_s": tai_s + int(arguments["in_s"])}


_OF_RECEIVER: Final[Mapping[str, Changes]] = {
    "antenna-short": lambda arguments, tai_s: {"antenna": AntennaStatus.SHORT},
    "antenna-unpowered": lambda arguments, tai_s: {"antenna_supply": False},
    "signal-drop": lambda arguments, tai_s: {"quiet_loss_db": arguments["drop_db"]},
    "spoof": lambda arguments, tai_s: {"spoofing": SpoofingState(int(arguments["state"]))},
    "few-satellites": lambda arguments, tai_s: {"satellites_visible": int(arguments["count"])},
    "receiver-silent": lambda arguments, tai_s: {"silent": True},
}
_OF_WORDS: Final[Mapping[str, Changes]] = {
    "position-jump": lambda arguments, tai_s: {"north_m": arguments["north_m"]},
    "survey-lost": lambda arguments, tai_s: {"survey_lost": True},
    "leap-wrong": lambda arguments, tai_s: {"leap_off_s": int(arguments["off_s"])},
    "leap-announced": _leap_announced,
    "leap-hidden": lambda arguments, tai_s: {"leap_hidden": True},
    "leap-unknown": lambda arguments, tai_s: {"leap_unknown": True},
    "time-invalid": lambda arguments, tai_s: {"time_invalid": True},
    "time-frozen": lambda arguments, tai_s: {"frozen_tai_s": tai_s},
    "time-inaccurate": lambda arguments, tai_s: {"accuracy_ns": int(arguments["accuracy_ns"])},
    "date-unset": lambda arguments, tai_s: {"unset": True},
    "label-wrong": lambda arguments, tai_s: {"label_off_s": int(arguments["off_s"])},
    "label-missing": lambda arguments, tai_s: {"without_labels": True},
    "pulse-unlocked": lambda arguments, tai_s: {"pulse_unlocked": True},
    "qerr-invalid": lambda arguments, tai_s: {"qerr_invalid": True},
    "epochs-missing": lambda arguments, tai_s: {"without_epochs": True},
    "epochs-repeated": lambda arguments, tai_s: {"repeated": True},
    "epochs-late": lambda arguments, tai_s: {"late_ns": round(arguments["late_s"] * NS_PER_S)},
}
_STARTS: Final = (ReceiverStart.COLD, ReceiverStart.WARM, ReceiverStart.HOT)


def receiver_handlers(receiver: ReceiverCore) -> dict[str, Start]:
    """The faults that a receiver can have by itself."""
    handlers: dict[str, Start] = {"receiver-restart": partial(_restart, receiver)}
    for target, table in ((receiver, _OF_RECEIVER), (receiver.troubles, _OF_WORDS)):
        named = {name for changes in table.values() for name in changes(defaultdict(float), 0)}
        healthy = {name: getattr(target, name) for name in named}
        for name, changes in table.items():
            handlers[name] = partial(_begin, receiver, target, healthy, changes)
    return handlers


def _begin(
    receiver: ReceiverCore,
    target: Any,
    healthy: Mapping[str, Any],
    changes: Changes,
    t_ns: int,
    arguments: Arguments,
) -> Stop:
    receiver.advance(t_ns)
    values = changes(arguments, t_ns // NS_PER_S)
    for name, value in values.items():
        setattr(target, name, value)

    def end(t_ns: int) -> None:
        receiver.advance(t_ns)
        for name, value in values.items():
            if getattr(target, name) == value:  # else another fault has changed it meanwhile
                setattr(target, name, healthy[name])

    return end


def _restart(receiver: ReceiverCore, t_ns: int, arguments: Arguments) -> Stop:
    receiver.restart(t_ns, _STARTS[int(arguments["start"])])
    return lambda t_ns: None
