"""The command line of ``timecard emulate``: arguments to options, and requests to a running emulator."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from timecard.emulator.faults import FAULTS
from timecard.emulator.mac_names import MAC_FIRMWARES
from timecard.emulator.models import GNSS_RECEIVERS, OSCILLATORS
from timecard.emulator.options import BOARDS, INTERRUPTS, MACS, STARTS, CardOptions, OptionError
from timecard.emulator.receiver_kinds import RECEIVER_KINDS

PROGRAM: Final = "timecard emulate"
_REQUESTS: Final = ("inject", "clear", "set_world", "truth", "status", "latches", "power_cycle")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What the command line asks for."""

    path: Path
    """The card's socket, or the link to the receiver's terminal."""
    receiver_only: bool = False
    """No card, just a receiver behind a pseudo terminal."""
    requests: tuple[dict[str, Any], ...]
    """For the emulator that runs at ``path``; empty: be one."""
    options: CardOptions


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message} (see {PROGRAM} --help)")


def parse(argv: Sequence[str]) -> Arguments:
    """Parse a command line; raises ``OptionError`` with one line, exits 0 after ``--help``."""
    parser = _parser()
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    receiver_only = "pty" in given
    path = Path(given.pop("pty" if receiver_only else "vfio_user"))
    requests = [
        request for name in _REQUESTS if name in given for request in _requests(name, given.pop(name))
    ]
    if requests and receiver_only:
        raise OptionError("requests go to the emulator of a card: give --vfio-user")
    if requests and given:
        raise OptionError(f"--{next(iter(given)).replace('_', '-')} belongs to the start of an emulator")
    for switch, option in (("end_series", "repeat_series"), ("no_ptm", "ptm")):
        if switch in given:
            given[option] = not given.pop(switch)
    for name, option in (("cable", "cables"), ("signal", "signals")):
        if name in given:
            given[option] = tuple(given.pop(name))
    options = CardOptions(**given)
    return Arguments(path=path, requests=tuple(requests), options=options, receiver_only=receiver_only)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="A virtual Time Card behind a vfio-user socket, for this toolkit and for QEMU.",
        epilog="Faults: " + "; ".join(f"{name} ({_usage(name)})" for name in FAULTS),
        allow_abbrev=False,
    )
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    add("--vfio-user", metavar="PATH", help="the card's socket; PATH.ctl takes control requests")
    add("--pty", metavar="PATH", help="no card: the receiver alone, behind a terminal that PATH leads to")
    card = parser.add_argument_group("the card").add_argument
    card("--seed", type=int, help="same seed, same card (default 1)")
    card("--board", help=f"board family: {', '.join(BOARDS)}")
    card("--interrupts", help=f"what the card offers: {', '.join(INTERRUPTS)} (default msix)")
    card("--no-ptm", action="store_true", default=None, help="the FPGA has no PTM requester")
    card("--image-version", type=_register_word, metavar="N", help="number of the running image (0x800E)")
    card("--loader", action="store_true", default=None, help="the golden image runs")
    card("--cable", action="append", metavar="smaN:smaM[:NS]", help="cable between connectors, with delay")
    card("--signal", action="append", metavar="smaN:HZ", help="frequency from outside at a connector")
    card("--flash-file", type=Path, metavar="FILE", help="keeps the flash's content between runs")
    card("--eeprom-file", type=Path, metavar="FILE", help="keeps the EEPROM's content between runs")
    card("--eeprom-serial", metavar="EUI48", help="the card's number (default: made from the seed)")
    card("--board-id", metavar="TEXT", help="board id in the EEPROM")
    card("--strict", action="store_true", default=None, help="keep accesses that no driver should make")
    card(
        "--oscillator",
        metavar="MODEL|FILE",
        help=f"10 MHz: {', '.join(OSCILLATORS)}, or a 1 s frequency series",
    )
    card("--mac", help=f"oscillator module: {', '.join(MACS)}")
    card("--mac-firmware", metavar="VERSION", help=f"of an SA5X: {', '.join(MAC_FIRMWARES)}")
    card("--receiver", help="; ".join(f"{name}: {kind.says}" for name, kind in RECEIVER_KINDS.items()))
    card("--receiver-baud", type=int, metavar="BAUD", help="rate of its port (default: the board's)")
    card("--gnss", metavar="MODEL", help=f"its pulse: {', '.join(GNSS_RECEIVERS)} (default: its usual one)")
    card("--gnss-phase", type=Path, metavar="FILE", help="1 Hz phase series (s) instead of the model's pulse")
    card("--gnss-capture", type=Path, metavar="FILE", help="bytes of a real receiver on the GNSS port")
    card("--end-series", action="store_true", default=None, help="recorded series end instead of repeating")
    card("--start", help=f"state at the start: {', '.join(STARTS)}")
    card("--y0", type=float, help="fractional frequency error at the start, such as 1e-8")
    card("--antenna-delay-ns", type=float, help="uncompensated delay of antenna and cable")
    card("--temperature-c", type=float, help="temperature of the air (default 35)")
    card("--daily-temperature-c", type=float, help="amplitude of its daily wave (default 0)")
    card("--clock-core-version", type=_register_word, help="version word of the clock core (0x02000000)")
    card("--world-offset-ns", type=int, help="true TAI minus the host's clock at the start")
    card("--world-rate-ppb", type=float, help="how fast that grows")
    card("--faults", type=Path, metavar="FILE", help="schedule of faults (TOML)")
    ask = parser.add_argument_group("requests to the emulator that runs at PATH").add_argument
    ask("--inject", action="append", metavar="FAULT[,KEY=VALUE...]", help="begin a fault; seconds=N ends it")
    ask("--clear", nargs="?", const="", metavar="FAULT", help="end a fault, or all")
    ask("--set-world", metavar="offset_ns=N,rate_ppb=N", help="another offset or rate of true time")
    ask("--truth", action="store_true", default=None, help="print the true time and the card's error")
    ask("--latches", type=int, metavar="N", help="print the clock's snapshots from number N on")
    ask("--power-cycle", action="store_true", default=None, help="off and on: the FPGA boots from its flash")
    ask("--status", action="store_true", default=None, help="print what runs and which faults are in force")
    return parser


def _requests(name: str, value: Any) -> list[dict[str, Any]]:
    if name == "inject":
        return [_inject(text) for text in value]
    if name == "clear":
        return [{"do": "clear", "fault": value} if value else {"do": "clear"}]
    if name == "set_world":
        pairs = {key: _number(key, text) for key, text in _pairs("--set-world", value.split(","))}
        return [{"do": "set-world", **pairs}]
    if name == "latches":
        return [{"do": name, "since": value}]
    return [{"do": name.replace("_", "-")}]


def _inject(text: str) -> dict[str, Any]:
    fault, *rest = text.split(",")
    request: dict[str, Any] = {"do": "inject", "fault": fault}
    for key, value in _pairs("--inject", rest):
        if key in request:
            raise OptionError(f"--inject: {key!r} is no argument of a fault")
        request[key] = _number(key, value)
    return request


def _pairs(option: str, texts: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise OptionError(f"{option}: {text[:40]!r} is not KEY=VALUE")
        pairs.append((key, value))
    return pairs


def _number(key: str, text: str) -> float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"{key}={text[:40]!r}: must be a number") from None


def _usage(name: str) -> str:
    kind = FAULTS[name]
    arguments = ", ".join(f"{argument.name}={argument.default:g}" for argument in kind.arguments)
    return f"{kind.says}: {arguments}" if arguments else kind.says


def _register_word(text: str) -> int:
    return int(text, 0)
