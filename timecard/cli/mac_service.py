"""``timecard mac upgrade`` and ``timecard mac log``: what an oscillator needs when it is old or ill."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from timecard.cli.common import CardOptions, card_options, plain, rows
from timecard.cli.mac_part import (
    EXIT_REFUSED,
    Line,
    Port,
    check_capability,
    found_on,
    opened_line,
    refusals,
)
from timecard.cli.progress import progress_bar
from timecard.errors import DeviceAbsentError, DeviceLostError, TimeCardError, UnsupportedError
from timecard.mac.driver import OscillatorCapability
from timecard.mac.firmware_image import read_image
from timecard.mac.log import Capture, capture, write_pack
from timecard.mac.upgrade import Preflight, Upgrade
from timecard.mac.wear import WearLedger
from timecard.timebase import HostTimebase

UPGRADE_BAUD: Final = 57_600
MAX_LOG_S: Final = 86_400.0
Image = Annotated[Path, typer.Argument(metavar="FILE", help="Firmware file (.cfw).", show_default=False)]


@card_options("mac upgrade")
def upgrade_command(
    options: CardOptions,
    image: Image,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look whether it may begin.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Take firmware that is not newer.")] = False,
    in_use: Annotated[
        bool, typer.Option("--in-use", help="Go on although a program uses the card: it has been told.")
    ] = False,
    port: Port = None,
) -> None:
    """New firmware for an SA5X; repairs one whose upgrade was cut. Its frequency is wrong meanwhile."""
    with refusals(options), progress_bar(options.as_json) as bar:
        file = read_image(image)
        with opened_line(options, port) as line:
            upgrade = Upgrade(line.open(UPGRADE_BAUD), HostTimebase())
            try:
                plan = upgrade.preflight(file, holders=list if in_use else line.users, force=force)
            except (DeviceAbsentError, UnsupportedError):
                _check_other_part(line)
                raise
            facts = _plan_facts(plan, line.place)
            if dry_run or not plan.go:
                options.emit(facts, _plan_lines(facts))
            if not plan.go:
                raise typer.Exit(EXIT_REFUSED)
            if dry_run:
                return
            try:
                done = upgrade.run(plan, lambda sent, total: bar("blocks", sent, total))
            except TimeCardError as error:
                hint = "; run the same command again, it goes on from whatever state the part is in"
                raise type(error)(error.device, error.operation, error.reason + hint) from error
    facts |= {"ok": True, "after": done.after, "blocks": done.blocks}
    options.emit(facts, rows([("before", plan.running or str(plan.condition)), ("runs now", done.after)]))


@card_options("mac log")
def log_command(
    options: CardOptions,
    pack: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The pack to make.", show_default=False)],
    *,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=MAX_LOG_S, help="How long to listen.")
    ] = 60.0,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.1, max=3600, metavar="S", help="Between rounds of telemetry.")
    ] = 1.0,
    remark: Annotated[str, typer.Option("--remark", help="What the maker should know.")] = "",
    port: Port = None,
) -> None:
    """Write a pack for a repair request: every byte on the line with its time, telemetry, who the part is."""
    if pack.exists():
        raise typer.BadParameter(f"{pack} exists already")
    timebase = HostTimebase()
    with opened_line(options, port) as line, progress_bar(options.as_json) as bar:
        line.record()
        try:
            part = found_on(line, timebase, WearLedger())
        except DeviceLostError:
            raise
        except TimeCardError as error:
            if line.recording is None:
                raise
            heard = Capture.failed(str(error))  # an ill part is what packs are for
        else:
            assert line.recording is not None
            heard = capture(
                part.oscillator,
                line.recording,
                timebase,
                seconds=seconds,
                interval_s=interval_s,
                progress=lambda done, total: bar("rounds", done, total),
            )
        write_pack(pack, line.recording, heard, remark)
    facts = {
        "pack": str(pack),
        "part": plain(heard.identity),
        "rounds": len(heard.rounds),
        "failures": [text for _, text in heard.failures],
    }
    lines = [f"{pack}: {len(heard.rounds)} rounds of telemetry, {len(heard.failures)} failures"]
    options.emit(facts, lines + [f"failure: {text}" for _, text in heard.failures[:5]])


# --- internals ---


def _check_other_part(line: Line) -> None:
    """No SA5X answers: a part that we know is refused by name; returns when nobody else answers either."""
    try:
        part = found_on(line, HostTimebase(), WearLedger())
    except (DeviceAbsentError, UnsupportedError):
        return
    check_capability(part, "upgrade", OscillatorCapability.UPGRADE)


def _plan_facts(plan: Preflight, place: str) -> dict[str, Any]:
    return {
        "ok": plan.go,
        "place": place,
        "image": plan.image.name,
        "image_version": plan.image.label,
        "image_sha256": plan.image.sha256,
        "condition": str(plan.condition),
        "running": plan.running,
        "resumes": plan.resumes,
        "refusals": list(plan.refusals),
    }


def _plan_lines(facts: dict[str, Any]) -> list[str]:
    return rows(
        [
            ("part", f"{facts['running'] or facts['condition']} at {facts['place']}"),
            ("image", f"{facts['image_version']} ({facts['image']}, SHA-256 {facts['image_sha256']})"),
            *(("refused", reason) for reason in facts["refusals"]),
        ]
    )
