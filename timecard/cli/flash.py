"""``timecard flash``: what an update would do, the update, its check, and the way back.

Exit status: 0 done, 1 the hardware failed (run the same command again), 2 the command was wrong, 3 refused, 4
the flash holds something else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from timecard.boards import BOARDS
from timecard.card import open_card
from timecard.card_protocols import Card
from timecard.cli.common import AsJson, CardId, Pci, VfioUser, choose
from timecard.cli.flash_users import users_of
from timecard.cli.progress import progress_bar
from timecard.errors import DeviceAbsentError, RefusedError
from timecard.firmware.header import MAGIC, with_header
from timecard.firmware.image import MAX_FILE, check_file, read_file
from timecard.firmware.pins import PINS_FILE, Pin, find_pin, make_pin, read_pins
from timecard.firmware.plan import Outcome, Plan
from timecard.firmware.update import FirmwareUpdate
from timecard.firmware.writer import Progress
from timecard.timebase import HostTimebase

EXIT_REFUSED: Final = 3
EXIT_DIFFERS: Final = 4
SYSTEM_STATE: Final = Path("/var/lib/time-appliance")
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


def plan_command(
    image: ImageFile,
    sha256: Sha256 = None,
    image_version: ImageVersionText = None,
    pins: Pins = PINS_FILE,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Say what `apply` would do and why it would refuse; changes nothing."""
    with _refusals(as_json):
        checked = check_file(str(image), read_file(image))
        pin = _pin(checked.digests, sha256, image_version, pins)
        with (
            open_card(choose(card_id, pci, vfio_user, "flash plan"), HostTimebase()) as card,
            progress_bar(as_json) as bar,
        ):
            plan = _update(card, state, bar).plan(checked, pin)
            users = [str(user) for user in users_of(card)]
    if as_json:
        typer.echo(json.dumps(plan.to_json() | {"ok": not plan.refusals, "in_use_by": users}))
    else:
        for line in _plan_lines(plan, users):
            typer.echo(line)
    if plan.refusals:
        raise typer.Exit(EXIT_REFUSED)


def apply_command(
    image: OptionalImage = None,
    sha256: Sha256 = None,
    image_version: ImageVersionText = None,
    pins: Pins = PINS_FILE,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    state: State = None,
    in_use: InUse = False,
    as_json: AsJson = False,
) -> None:
    """Write an approved image; without IMAGE, finish an update that a power cut ended."""
    if image is None and (sha256 is not None or image_version is not None):
        raise typer.BadParameter("--sha256 and --image-version need an IMAGE")
    with _refusals(as_json):
        data = None if image is None else read_file(image)
        checked = None if image is None or data is None else check_file(str(image), data)
        pin = None if checked is None else _pin(checked.digests, sha256, image_version, pins)
        with (
            open_card(choose(card_id, pci, vfio_user, "flash apply"), HostTimebase()) as card,
            progress_bar(as_json) as bar,
        ):
            update = _update(card, state, bar)
            drain = _drain(card, in_use)
            outcome = update.resume(drain) if data is None else update.apply(data, str(image), pin, drain)
    _tell(outcome, as_json)


def verify_command(
    image: OptionalImage = None,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Compare the flash with an image, or with what was written last."""
    with _refusals(as_json):
        checked = None if image is None else check_file(str(image), read_file(image))
        with (
            open_card(choose(card_id, pci, vfio_user, "flash verify"), HostTimebase()) as card,
            progress_bar(as_json) as bar,
        ):
            update = _update(card, state, bar)
            name, wrong = update.verify(checked)
            running = str(card.image())
    if as_json:
        typer.echo(
            json.dumps({"ok": not wrong, "compared_with": name, "differs_at": wrong, "running": running})
        )
    elif wrong:
        places = ", ".join(f"{offset:#x}" for offset in wrong[:_SHOWN])
        typer.echo(
            f"the flash differs from {name} in {len(wrong)} sectors: {places}{' ...' * (len(wrong) > _SHOWN)}"
        )
    else:
        typer.echo(f"the flash holds {name}; the card runs {running}")
    if wrong:
        raise typer.Exit(EXIT_DIFFERS)


def rollback_command(
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    state: State = None,
    in_use: InUse = False,
    as_json: AsJson = False,
) -> None:
    """Write back what the flash held before the last `apply`, whether that was finished or not."""
    with (
        _refusals(as_json),
        open_card(choose(card_id, pci, vfio_user, "flash rollback"), HostTimebase()) as card,
        progress_bar(as_json) as bar,
    ):
        outcome = _update(card, state, bar).rollback(_drain(card, in_use))
    _tell(outcome, as_json)


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
        try:
            with out.open("xb") as file:
                file.write(data)
        except FileExistsError as error:
            raise RefusedError(str(out), "pack", "exists already; nothing was written") from error
    facts = {"file": str(out), "sha256": checked.sha256, "payload_sha256": checked.payload_sha256}
    typer.echo(json.dumps(facts) if as_json else f"{out}: SHA-256 {checked.sha256}")


def state_root(state: Path | None) -> Path:
    """Where state is kept: as told, else the system's folder for root, the user's XDG folder for others."""
    if state is not None:
        return state
    if os.geteuid() == 0:
        return SYSTEM_STATE
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / SYSTEM_STATE.name


# --- internals ---


def _update(card: Card, state: Path | None, progress: Progress) -> FirmwareUpdate:
    return FirmwareUpdate.of_card(card, state_root(state), progress)


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
    rows = [
        ("card", f"{plan.card} ({plan.board})"),
        ("flash", plan.flash),
        ("runs", plan.running or "unknown"),
        ("image", f"{plan.image}, {plan.size} bytes, SHA-256 {plan.sha256}"),
        ("version", plan.version or "unknown: not pinned"),
        ("place", f"{plan.offset:#x}; the golden image below is not touched"),
        ("sectors", f"{plan.sectors_to_write} of {plan.sectors} to write, about {plan.seconds:g} s"),
    ]
    if plan.resumes:
        rows.append(("resumes", "an update with this image was cut, and goes on"))
    if users:
        rows.append(("in use by", ", ".join(users)))
    rows += [("refused", reason) for reason in plan.refusals]
    return [f"{name:12} {text}" for name, text in rows]


def _tell(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": True} | dataclasses.asdict(outcome)))
        return
    if not outcome.sectors_written:
        typer.echo("nothing to do: the flash holds it already")
        return
    what = "rolled back" if outcome.action == "rollback" else f"version {outcome.version} is in the flash"
    typer.echo(f"{what}, verified ({outcome.sectors_written} sectors written); {POWER_CYCLE}")
