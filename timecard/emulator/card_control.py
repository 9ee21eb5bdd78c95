"""What the control socket of a running emulator can ask of its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from timecard.emulator.faults import FaultError
from timecard.emulator.fpga_latches import MAX_PAGE, Latch
from timecard.emulator.virtual_card import VirtualCard


def control_handler(card: VirtualCard) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What the control socket does with a request."""

    def truth(request: dict[str, Any]) -> dict[str, Any]:
        now = card.truth()
        return {**asdict(now), "host_realtime_ns": now.host_realtime_ns}

    def status(request: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": card.fpga.name,
            "board": card.options.board,
            "seed": card.options.seed,
            "oscillator": str(card.options.oscillator_source),
            "mac": card.options.mac,
            "temperature_c": card.oscillator.temperature_c(card.world.true_tai_ns()),
            "steering_ppb": card.oscillator.steering_ppb,
            "world_offset_ns": -card.world.host_offset_ns(),
            "world_rate_ppb": card.world.rate_ppb,
            "series_end_tai_ns": card.series_end_tai_ns,
            "interrupts": "msix" if card.fpga.msix else "msi",
            "image": None if card.fpga.image is None else card.fpga.image.word(card.fpga.board),
            "loader": card.fpga.image is not None and card.fpga.image.golden,
            "eui48": card.options.eui48.hex(":"),
            "unmapped_accesses": card.fpga.accesses.unmapped,
            "narrow_accesses": card.fpga.accesses.narrow,
            "strict": card.fpga.accesses.strict,
            "violations": [violation._asdict() for violation in card.fpga.accesses.newest()],
            "faults": card.faults.in_force(),
            "supported_faults": card.faults.supported(),
        }

    def inject(request: dict[str, Any]) -> dict[str, Any]:
        arguments = {key: value for key, value in request.items() if key not in ("do", "fault", "seconds")}
        card.faults.inject(_text(request, "fault"), request.get("seconds"), **arguments)
        return {"faults": card.faults.in_force()}

    def clear(request: dict[str, Any]) -> dict[str, Any]:
        _only(request, "fault")
        card.faults.clear(_text(request, "fault") if "fault" in request else None)
        return {"faults": card.faults.in_force()}

    def set_world(request: dict[str, Any]) -> dict[str, Any]:
        _only(request, "offset_ns", "rate_ppb")
        offset_ns, rate_ppb = request.get("offset_ns"), request.get("rate_ppb")
        if offset_ns is not None and (not isinstance(offset_ns, int) or isinstance(offset_ns, bool)):
            raise FaultError("offset_ns: must be a whole number of ns")
        if rate_ppb is not None and (not isinstance(rate_ppb, int | float) or isinstance(rate_ppb, bool)):
            raise FaultError("rate_ppb: must be a number")
        return {"slews_for_s": card.set_world(offset_ns, rate_ppb)}

    def latches(request: dict[str, Any]) -> dict[str, Any]:
        _only(request, "since", "limit")
        since, limit = _count(request, "since", 0), _count(request, "limit", MAX_PAGE)
        log = card.fpga.latches
        page = log.since(since, min(limit, MAX_PAGE))
        return {"fields": Latch._fields, "latches": page, "next": log.next_sequence}

    def power_cycle(request: dict[str, Any]) -> dict[str, Any]:
        _only(request)
        card.fpga.power_cycle()
        return {"image": status(request)["image"], "loader": status(request)["loader"]}

    actions = {
        "truth": truth,
        "status": status,
        "inject": inject,
        "clear": clear,
        "set-world": set_world,
        "latches": latches,
        "power-cycle": power_cycle,
    }

    def handle(request: dict[str, Any]) -> dict[str, Any]:
        action = actions.get(_text(request, "do"))
        if action is None:
            raise FaultError(f"do={str(request['do'])[:40]!r}: must be one of {', '.join(actions)}")
        return action(request)

    return handle


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise FaultError(f"{key}: is missing, or no text")
    return value


def _count(request: Mapping[str, Any], key: str, default: int) -> int:
    value = request.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FaultError(f"{key}: must be a number from 0 on")
    return value


def _only(request: Mapping[str, Any], *keys: str) -> None:
    for key in request:
        if key not in ("do", *keys):
            raise FaultError(f"{key[:40]!r}: unknown (this request takes {', '.join(keys)})")
