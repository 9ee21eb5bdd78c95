"""``timecard gnss configure`` and ``survey``: settings by difference, verified, and how to take them back."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from timecard.cli.common import CardOptions, Facts, card_options, state_root, usage
from timecard.cli.gnss_events import told
from timecard.cli.gnss_line import Baud, Found, Port, Second, opened_receiver
from timecard.cli.progress import progress_bar
from timecard.errors import DeviceTimeoutError, ProtocolError, RefusedError, TimeCardError, from_oserror
from timecard.gnss.driver import Capability
from timecard.gnss.geodesy import ecef_m
from timecard.gnss.intent import (
    MAX_SURVEY_S,
    TIME_CARD,
    FixedPosition,
    GnssIntent,
    NotModelled,
    Plan,
    Store,
    Survey,
)
from timecard.gnss.intent_file import load_gnss_intent
from timecard.gnss.plan_file import load_plan, save_plan
from timecard.gnss.ucenter import load_ucenter
from timecard.timescale import NS_PER_S
from timecard.toml_reader import IntentError
from timecard.values import AntennaPosition, SurveyStatus

EXIT_DIFFERS: Final = 3
AS_TIME_CARD: Final = dataclasses.replace(TIME_CARD, cable_delay_ns=None)
"""The delay is a property of the place, not of Time Cards: one that is set stays."""
UNDO_FOLDER: Final = "gnss-undo"
SILENCE_S: Final = 30.0
"""So long nothing may be heard of a survey."""
POLL_S: Final = 0.5
ASK_EVERY_NS: Final = 2 * NS_PER_S

StateDir = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="Where it is kept what to undo.")
]


class Memory(StrEnum):
    """How lasting settings are."""

    RAM = "ram"
    BATTERY = "battery"
    FLASH = "flash"


InMemory = Annotated[Memory, typer.Option("--store", help="How lasting.")]


@card_options("gnss configure")
def configure_command(
    options: CardOptions,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="What it shall be: INTENT.toml, or a u-center export (.txt).",
            show_default=False,
        ),
    ] = None,
    *,
    time_card: Annotated[bool, typer.Option("--time-card", help="As a Time Card needs it.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Show what differs; write nothing.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back the last configure.")] = False,
    port: Port = None,
    second: Second = False,
    baud: Baud = None,
    state: StateDir = None,
) -> None:
    """Make the receiver as a file says: only what differs is written, without a reset, and verified."""
    if sum((file is not None, time_card, undo)) != 1:
        raise typer.BadParameter("say one of FILE, --time-card and --undo")
    try:
        intent, left_over = (AS_TIME_CARD, ()) if file is None else _intent_of(file)
    except IntentError as error:
        raise usage(error.errors) from None
    with opened_receiver(options, port, second, baud) as found:
        kept = state_root(state) / UNDO_FOLDER / f"{found.line.key}.json"
        plan = _plan_to_undo(found, kept) if undo else found.receiver.plan(intent)
        facts = _plan_facts(found, plan, left_over)
        if not check and plan.changes:
            if undo:
                found.receiver.undo(plan)
                kept.unlink(missing_ok=True)
            else:
                _apply(found, plan, intent, kept)
            facts |= {"written": True}
    options.emit(facts, _plan_lines(facts, check=check, undo=undo))
    if check and plan.changes:
        raise typer.Exit(EXIT_DIFFERS)


@card_options("gnss survey")
def survey_command(
    options: CardOptions,
    *,
    min_s: Annotated[
        int, typer.Option("--min-seconds", min=60, max=MAX_SURVEY_S, help="Shortest survey.")
    ] = Survey().min_s,
    sigma_m: Annotated[
        float, typer.Option("--sigma", min=0.01, max=1_000, metavar="M", help="It lasts until it is so good.")
    ] = Survey().sigma_m,
    fixed: Annotated[
        str | None,
        typer.Option(
            "--fixed", metavar="LAT,LON,HEIGHT", help="No survey: this is the antenna's place (deg, deg, m)."
        ),
    ] = None,
    fixed_sigma_m: Annotated[
        float, typer.Option("--fixed-sigma", min=0.001, max=100, metavar="M", help="How well it is known.")
    ] = 0.1,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the survey that goes on; start none.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and do not wait for its end.")] = False,
    memory: InMemory = Memory.BATTERY,
    port: Port = None,
    second: Second = False,
    baud: Baud = None,
    state: StateDir = None,
) -> None:
    """Find the antenna's position anew and follow how far it is, or set a position that is known."""
    store: Store = memory.value
    if (fixed is not None and (watch or detach)) or (watch and detach):
        raise typer.BadParameter("choose one of --fixed, --watch and --detach")
    position = None if fixed is None else _fixed_of(fixed, fixed_sigma_m)
    with opened_receiver(options, port, second, baud) as found:
        kept = state_root(state) / UNDO_FOLDER / f"{found.line.key}.json"
        if position is not None:
            found.need("set a fixed position", Capability.FIXED_POSITION)
            intent = GnssIntent(position=position, store=store)
            plan = found.receiver.plan(intent)
            if plan.changes:
                _apply(found, plan, intent, kept)
            facts = _plan_facts(found, plan, ()) | {"written": bool(plan.changes)}
            options.emit(facts, _plan_lines(facts, check=False, undo=False))
            return
        found.need("survey", Capability.SURVEY)
        if not watch:
            _start_survey(found, Survey(min_s=min_s, sigma_m=sigma_m), store, kept)
        if detach:
            options.emit({"place": found.line.place, "started": True}, ["the survey goes on in the receiver"])
            return
        with progress_bar(options.as_json) as bar:
            survey, place = _follow(
                found, lambda each: bar("survey", each.duration_s, max(min_s, each.duration_s))
            )
    facts = {"place": found.line.place, "survey": told(survey), "position": told(place)}
    lines = [f"done after {survey.duration_s} s, good to {survey.position_sigma_m:.3g} m"]
    if place is not None:
        lines.append(f"{place.latitude_deg:.7f},{place.longitude_deg:.7f},{place.height_m:.2f}")
    options.emit(facts, lines)


# --- plans ---


def _intent_of(file: Path) -> tuple[GnssIntent, Sequence[NotModelled]]:
    """Raises ``IntentError``. An export's rate is not taken: it is that of the line it was made on."""
    if file.suffix == ".toml":
        return load_gnss_intent(file), ()
    export = load_ucenter(file)
    return dataclasses.replace(export.intent, baud=None), export.not_modelled


def _plan_to_undo(found: Found, kept: Path) -> Plan:
    plan, *of = load_plan(kept)
    now = _who(found)
    if of[1] is None and now[1] is not None and of[0] == now[0]:
        typer.echo(f"timecard: {kept} does not say which {of[0]} it is about: only the model fits", err=True)
    if of[0] != now[0] or (None not in (of[1], now[1]) and of[1] != now[1]):
        was, answers = (" ".join(filter(None, each)) for each in (of, now))
        raise RefusedError(found.line.place, "undo", f"{kept} is about a {was}, and a {answers} answers")
    return plan


def _who(found: Found) -> tuple[str, str | None]:
    return (found.identity.model, found.identity.serial) if found.identity else ("", None)


@contextlib.contextmanager
def _kept(found: Found, plan: Plan, kept: Path) -> Iterator[None]:
    """Keep what is overwritten: in place of what is kept already only when it was really written.

    Of a receiver that fell silent meanwhile nobody knows what it has: then there are both.
    """
    aside = kept.with_name(f"{kept.name}.unfinished")
    save_plan(aside, plan, *_who(found))
    try:
        yield
    except DeviceTimeoutError as error:
        reason = f"{error.reason}; {aside} has what was there before"
        raise DeviceTimeoutError(error.device, error.operation, reason) from error
    except TimeCardError:
        aside.unlink(missing_ok=True)
        raise
    try:
        aside.replace(kept)
    except OSError as error:
        raise from_oserror(str(kept), "keep what to undo", error) from error


def _apply(found: Found, plan: Plan, intent: GnssIntent, kept: Path) -> None:
    """Write, and read all of it again as a new plan, which has to be empty."""
    with _kept(found, plan, kept):
        found.receiver.apply(plan)
    left = found.receiver.plan(intent).changes
    if left:
        keys = ", ".join(change.key for change in left[:6])
        raise ProtocolError(
            found.line.place, "configure", f"written and acknowledged, but differs again: {keys}"
        )


def _plan_facts(found: Found, plan: Plan, left_over: Sequence[NotModelled]) -> Facts:
    return {
        "place": found.line.place,
        "receiver": told(found.identity),
        "store": plan.store,
        "changes": told(plan.changes),
        "unsupported": list(plan.unsupported),
        "not_modelled": told(list(left_over)),
        "written": False,
    }


def _plan_lines(facts: Facts, *, check: bool, undo: bool) -> list[str]:
    head = ("setting", "key", "now", "then") if check else ("setting", "key", "before", "after")
    cells = [tuple(map(str, head))]
    for each in facts["changes"]:
        before, after = (each["after"], each["before"]) if undo else (each["before"], each["after"])
        if not undo and each["stored"] is not None and before == after:
            before = f"{before} (stored: {each['stored']})"
        cells.append((each["setting"], each["key"], str(before), str(after)))
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in cells
    ]
    if not facts["changes"]:
        lines = ["as intended: nothing to write"]
    elif check:
        lines.append(
            f"{len(facts['changes'])} to be changed; nothing was written: without --check it would be"
        )
    elif undo:
        lines.append(f"{len(facts['changes'])} taken back")
    else:
        lines.append(f"{len(facts['changes'])} changed and verified, kept in {facts['store']}")
    lines += [f"not as asked: {text}" for text in facts["unsupported"]]
    lines += [
        f"not modelled: {each['key']} = {each['value']} ({each['reason']})" for each in facts["not_modelled"]
    ]
    return lines


# --- survey ---


def _fixed_of(text: str, sigma_m: float) -> FixedPosition:
    try:
        latitude, longitude, height = (float(word) for word in text.split(","))
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise ValueError("latitude is -90 to 90, longitude -180 to 180")
        x_m, y_m, z_m = ecef_m(latitude, longitude, height)
        return FixedPosition(x_m=round(x_m, 4), y_m=round(y_m, 4), z_m=round(z_m, 4), sigma_m=sigma_m)
    except ValueError as error:
        raise typer.BadParameter(
            f"--fixed {text}: expected LAT,LON,HEIGHT in degrees and metres: {error}"
        ) from None


def _start_survey(found: Found, survey: Survey, store: Store, kept: Path) -> None:
    receiver = found.receiver
    if not hasattr(receiver, "survey_again"):
        intent = GnssIntent(position=survey, store=store)
        plan = receiver.plan(intent)
        if plan.changes:
            _apply(found, plan, intent, kept)
        return
    plan = receiver.plan_survey(survey, store)
    with _kept(found, plan, kept) if plan.changes else contextlib.nullcontext():
        receiver.survey_again(survey, store)


def _follow(found: Found, seen: Any) -> tuple[SurveyStatus, AntennaPosition | None]:
    """Until the survey has a valid end. Raises ``DeviceTimeoutError`` when nothing is heard of it."""
    timebase = found.line.timebase
    place: AntennaPosition | None = None
    heard_ns = asked_ns = timebase.mono_ns()
    running = False
    while (now_ns := timebase.mono_ns()) - heard_ns < SILENCE_S * NS_PER_S:
        if now_ns - max(heard_ns, asked_ns) > ASK_EVERY_NS:
            for frame in found.driver.poll_messages.get("survey", ()):  # it may not say so by itself
                found.line.stream.write(frame)
            asked_ns = now_ns
        for event in found.receiver.poll(POLL_S):
            if isinstance(event, AntennaPosition):
                place = event
            elif isinstance(event, SurveyStatus):
                heard_ns = timebase.mono_ns()
                seen(event)
                running |= event.active
                if event.valid and not event.active:
                    return event, place
                if running and not event.active:
                    raise RefusedError(found.line.place, "survey", "it ended without a position")
    raise DeviceTimeoutError(found.line.place, "survey", f"nothing heard of it for {SILENCE_S:g} s")
