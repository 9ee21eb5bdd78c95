"""``timecard flash``: what an update would do, the update, its check, and the way back.

Exit status: 0 done, 1 the hardware failed (run the same command again), 2 the command was wrong, 3 refused, 4
the flash holds something else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from timecard.boards import BOARDS
from timecard.card_protocols import Card
from timecard.cli.common import AsJson, CardOptions, card_options, emit, rows, state_root
from timecard.cli.flash_users import users_of
from timecard.cli.progress import progress_bar
from timecard.errors import DeviceAbsentError, RefusedError, from_oserror
from timecard.firmware.header import MAGIC, with_header
from timecard.firmware.image import MAX_FILE, check_file, read_file
from timecard.firmware.pins import PINS_FILE, Pin, find_pin, make_pin, read_pins
from timecard.firmware.plan import Outcome, Plan
from timecard.firmware.update import FirmwareUpdate

EXIT_REFUSED: Final = 3
EXIT_DIFFERS: Final = 4
POWER_CYCLE: Final = "the card goes on with its old image until its next power cycle (a cold boot)"
_SHOWN: Final = 8

ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="Firmware file.", show_default=False)]
OptionalImage = Annotated[
    Path | None, typer.Argument(metavar="[IMAGE]", help="Firmware file.", show_default=False)
]
Sha256 = Annotated[
    str | None, typer.Option("--sha256", metavar="HEX", help="Approve the image by its SHA-256.")
]
ImageVersionText = Annotated[
    str | None,
    typer.Option(
        "--image-version",
        metavar="TAG.NUMBER",
        help="With --sha256: version that the image reports, such as 0.28 (SOM) or 1.14 (Production).",
    ),
]
Pins = Annotated[Path, typer.Option("--pins", metavar="FILE", help="Approved images.")]
State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="Where snapshots and journals are kept.")
]
InUse = Annotated[
    bool, typer.Option("--in-use", help="Go on although a program uses the card: it has been told.")
]


def register(app: typer.Typer) -> None:
    """Add the group ``flash``."""
    group = typer.Typer(help="FPGA image in the card's flash.", no_args_is_help=True)
    group.command("plan")(plan_command)
    group.command("apply")(apply_command)
    group.command("verify")(verify_command)
    group.command("rollback")(rollback_command)
    group.command("pack")(pack_command)
    app.add_typer(group, name="flash")


@card_options("flash plan", way=False)
def plan_command(
    options: CardOptions,
    image: ImageFile,
    sha256: Sha256 = None,
    image_version: ImageVersionText = None,
    pins: Pins = PINS_FILE,
    *,
    state: State = None,
) -> None:
    """Say what `apply` would do and why it would refuse; changes nothing."""
    with _refusals(options.as_json):
        checked = check_file(str(image), read_file(image))
        pin = _pin(checked.digests, sha256, image_version, pins)
        with _opened(options, state) as (card, update):
            plan = update.plan(checked, pin)
            users = [str(user) for user in users_of(card)]
    facts = plan.to_json() | {"ok": not plan.refusals, "in_use_by": users}
    options.emit(facts, _plan_lines(plan, users))
    if plan.refusals:
        raise typer.Exit(EXIT_REFUSED)


@card_options("flash apply", way=False)
def apply_command(
    options: CardOptions,
    image: OptionalImage = None,
    sha256: Sha256 = None,
    image_version: ImageVersionText = None,
    pins: Pins = PINS_FILE,
    *,
    state: State = None,
    in_use: InUse = False,
) -> None:
    """Write an approved image; without IMAGE, finish an update that a power cut ended."""
    if image is None and (sha256 is not None or image_version is not None):
        raise typer.BadParameter("--sha256 and --image-version need an IMAGE")
    with _refusals(options.as_json):
        data = None if image is None else read_file(image)
        checked = None if image is None or data is None else check_file(str(image), data)
        pin = None if checked is None else _pin(checked.digests, sha256, image_version, pins)
        with _opened(options, state) as (card, update):
            drain = _drain(card, in_use)
            outcome = update.resume(drain) if data is None else update.apply(data, str(image), pin, drain)
    _tell(options, outcome)


@card_options("flash verify", way=False)
def verify_command(options: CardOptions, image: OptionalImage = None, *, state: State = None) -> None:
    """Compare the flash with an image, or with what was written last."""
    with _refusals(options.as_json):
        checked = None if image is None else check_file(str(image), read_file(image))
        with _opened(options, state) as (card, update):
            name, wrong = update.verify(checked)
            running = str(card.image())
    line = f"the flash holds {name}; the card runs {running}"
    if wrong:
        places = ", ".join(f"{offset:#x}" for offset in wrong[:_SHOWN])
        more = " ..." * (len(wrong) > _SHOWN)
        line = f"the flash differs from {name} in {len(wrong)} sectors: {places}{more}"
    options.emit({"ok": not wrong, "compared_with": name, "differs_at": wrong, "running": running}, [line])
    if wrong:
        raise typer.Exit(EXIT_DIFFERS)


@card_options("flash rollback", way=False)
def rollback_command(options: CardOptions, *, state: State = None, in_use: InUse = False) -> None:
    """Write back what the flash held before the last `apply`, whether that was finished or not."""
    with _refusals(options.as_json), _opened(options, state) as (card, update):
        outcome = update.rollback(_drain(card, in_use))
    _tell(options, outcome)


def pack_command(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="Raw image (.bin).", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="IMAGE", help="Firmware file to make.", show_default=False)],
    board: Annotated[str, typer.Option("--board", metavar="NAME", help=f"One of {', '.join(BOARDS)}.")],
    revision: Annotated[int, typer.Option("--revision", min=0, max=0xFFFF, help="Hardware revision.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Put the header of a board in front of a raw image. Opens no card."""
    if board not in BOARDS:
        raise typer.BadParameter(f"--board {board[:40]}: must be one of {', '.join(BOARDS)}")
    with _refusals(as_json):
        payload = read_file(raw)
        if payload.startswith(MAGIC):
            raise RefusedError(str(raw), "pack", "has a header already")
        vendor, device = BOARDS[board].pci_ids[0]
        data = with_header(payload[:MAX_FILE], vendor, device, revision)
        checked = check_file(str(out), data)
        _write_new(out, data)
    facts = {"file": str(out), "sha256": checked.sha256, "payload_sha256": checked.payload_sha256}
    emit(facts, [f"{out}: SHA-256 {checked.sha256}"], as_json)


# --- internals ---


def _write_new(path: Path, data: bytes) -> None:
    """A file that was not there before, whole or not at all."""
    try:
        file = path.open("xb")
    except FileExistsError as error:
        raise RefusedError(str(path), "pack", "exists already; nothing was written") from error
    except OSError as error:
        raise from_oserror(str(path), "pack", error) from error
    try:
        with file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise from_oserror(str(path), "pack", error) from error


@contextlib.contextmanager
def _opened(options: CardOptions, state: Path | None) -> Iterator[tuple[Card, FirmwareUpdate]]:
    with options.opened() as card, progress_bar(options.as_json) as bar:
        yield card, FirmwareUpdate.of_card(card, state_root(state), bar)


def _pin(digests: tuple[str, str], sha256: str | None, version: str | None, pins: Path) -> Pin | None:
    """The approval of an image: from the command line, else from the file of pins."""
    if (sha256 is None) != (version is None):
        raise typer.BadParameter("--sha256 and --image-version belong together")
    if sha256 is not None and version is not None:
        try:
            return make_pin(sha256, version)
        except ValueError as error:
            raise typer.BadParameter(f"--sha256, --image-version: {error}") from error
    try:
        return find_pin(read_pins(pins), digests)
    except DeviceAbsentError:
        if pins != PINS_FILE:
            raise
        return None


def _drain(card: Card, in_use: bool) -> Callable[[], None]:
    def drain() -> None:
        users = users_of(card)
        if users and not in_use:
            names = ", ".join(str(user) for user in users)
            raise RefusedError(
                card.name, "drain", f"in use by {names}: stop it, or tell it and repeat with --in-use"
            )

    return drain


@contextlib.contextmanager
def _refusals(as_json: bool) -> Iterator[None]:
    """A refusal is an answer, with an exit status of its own."""
    try:
        yield
    except RefusedError as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "refusals": [str(error)]}))
        typer.echo(f"timecard: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(EXIT_REFUSED) from error


def _plan_lines(plan: Plan, users: list[str]) -> list[str]:
    told = [
        ("card", f"{plan.card} ({plan.board})"),
        ("flash", plan.flash),
        ("runs", plan.running or "unknown"),
        ("image", f"{plan.image}, {plan.size} bytes, SHA-256 {plan.sha256}"),
        ("version", plan.version or "unknown: not pinned"),
        ("place", f"{plan.offset:#x}; the golden image below is not touched"),
        ("sectors", f"{plan.sectors_to_write} of {plan.sectors} to write, about {plan.seconds:g} s"),
    ]
    if plan.resumes:
        told.append(("resumes", "an update with this image was cut, and goes on"))
    if users:
        told.append(("in use by", ", ".join(users)))
    told += [("refused", reason) for reason in plan.refusals]
    return rows(told)


def _tell(options: CardOptions, outcome: Outcome) -> None:
    what = "rolled back" if outcome.action == "rollback" else f"version {outcome.version} is in the flash"
    line = f"{what}, verified ({outcome.sectors_written} sectors written); {POWER_CYCLE}"
    if not outcome.sectors_written:
        line = "nothing to do: the flash holds it already"
    options.emit({"ok": True} | dataclasses.asdict(outcome), [line])
