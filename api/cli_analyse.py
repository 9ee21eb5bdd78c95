"""``time-appliance analyse``: how good was a recorded clock.

Exit status: 0 done, and every mask that was asked for is kept; 1 a mask is broken; 2 the input is unusable;
64 the command line is wrong.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from api.cli_errors import CommandError
from api.cli_values import JsonOption, duration_s, writable_place

if TYPE_CHECKING:
    from appliance.analysis.masks import Mask

BROKEN: Final = 1
BAD_INPUT: Final = 2
TAU_LISTS: Final = ("octave", "decade", "many")


def analyse_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recorded clock; - is standard input.")],
    mask: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Limits to hold: PRTC-A, PRTC-B, ePRTC or PRC; may be repeated."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: .png, .svg or .pdf.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of the picture.")] = None,
    data: Annotated[
        Literal["phase", "frequency"] | None, typer.Option(help="What the values are; else by their unit.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="Of the values: s, ns, ppb, Hz, ...")
    ] = None,
    nominal: Annotated[
        float | None,
        typer.Option(metavar="HZ", min=1e-6, max=1e15, help="Nominal frequency of values in Hz."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="HZ", min=1e-9, max=1e9, help="Samples a second.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of the values, by name or number.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of the times, or none.")] = None,
    time_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="Of the times: s, ns, mjd, ...")
    ] = None,
    clock: Annotated[str | None, typer.Option(metavar="NAME", help="Which clock of a log.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Leave out the start: 30m after the first.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Leave out what is later: 2h after the first.")
    ] = None,
    tau: Annotated[
        str, typer.Option(metavar="LIST", help="octave, decade, many, or seconds: 1,10,100.")
    ] = "octave",
    statistics: Annotated[
        str, typer.Option(metavar="LIST", help="oadev, mdev, ohdev, tdev; adev, hdev, totdev.")
    ] = "oadev,mdev,ohdev,tdev",
    gaps: Annotated[
        Literal["pool", "longest"], typer.Option(help="Pool gap-free pieces, or take the longest alone.")
    ] = "pool",
    detrend: Annotated[
        Literal["none", "phase", "frequency", "drift"],
        typer.Option(help="Remove this and what is before it."),
    ] = "none",
    remove_outliers: Annotated[bool, typer.Option("--remove-outliers", help="Make gaps of them.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take bad samples as missing.")] = False,
    confidence: Annotated[float, typer.Option(min=0.01, max=0.9999, help="Of the intervals.")] = 0.683,
    as_json: JsonOption = False,
) -> int:
    """Stability and time error of a recorded clock; exit status 1 when a mask is broken, 2 for bad input."""
    # Here, not above: other commands shall not wait for numpy.
    from appliance.analysis.analysis import Gaps, Settings, analyse
    from appliance.analysis.errors import AnalysisError
    from appliance.analysis.reading import read_recording
    from appliance.analysis.recording import ReadOptions
    from appliance.analysis.report import document, text
    from appliance.analysis.series import Detrend, to_series
    from appliance.analysis.units import Kind, parse_unit

    writable_place(plot, "--plot")
    try:
        options = ReadOptions(
            kind=None if data is None else Kind(data),
            unit=None if unit is None else parse_unit(unit),
            nominal_hz=nominal,
            rate_hz=rate,
            column=column,
            time_column=time_column,
            time_unit=time_unit,
            clock=clock,
            skip_bad=skip_bad,
            from_s=0.0 if since is None else duration_s(since),
            to_s=None if until is None else duration_s(until),
        )
        settings = Settings(
            taus=_taus(tau),
            statistics=_statistics(statistics),
            gaps=Gaps(gaps),
            detrend=Detrend(detrend),
            remove_outliers=remove_outliers,
            confidence=confidence,
            masks=_masks(mask or []),
        )
        if plot is not None:
            from appliance.analysis.plot import draw, require

            require(plot)
        series = to_series(read_recording(file, options), options)
        analysis = analyse(series, settings)
        if plot is not None:
            draw(plot, series, analysis, title or _title(file, analysis.name))
    except AnalysisError as error:
        raise CommandError(str(error), BAD_INPUT) from error
    except OSError as error:
        raise CommandError(f"{plot}: {error.strerror or error}", BAD_INPUT) from error
    typer.echo(json.dumps(document(analysis), indent=2) if as_json else text(analysis), nl=as_json)
    if analysis.verdicts and analysis.passed is None:
        raise CommandError(f"{file}: too short to test a mask", BAD_INPUT)
    return BROKEN if analysis.passed is False else 0


def _title(file: Path, name: str) -> str:
    """Name of the clock without the folders of its file."""
    return name.replace(str(file), file.name)


def _taus(text: str) -> str | tuple[float, ...]:
    if text in TAU_LISTS:
        return text
    try:
        taus = tuple(float(part) for part in text.split(","))
    except ValueError:
        taus = ()
    if not taus or not all(0 < tau < math.inf for tau in taus):
        raise typer.BadParameter(f"--tau {text}: write octave, decade, many, or seconds such as 1,10,100")
    return taus


def _statistics(text: str) -> tuple[str, ...]:
    from appliance.analysis.deviations import STATISTICS

    names = tuple(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in STATISTICS]
    if unknown:
        raise typer.BadParameter(f"--statistics {unknown[0]}: there is {', '.join(STATISTICS)}")
    return names


def _masks(names: list[str]) -> tuple[Mask, ...]:
    from appliance.analysis.masks import MASKS

    by_name = {name.lower(): mask for name, mask in MASKS.items()}
    unknown = [name for name in names if name.lower() not in by_name]
    if unknown:
        raise typer.BadParameter(f"--mask {unknown[0]}: there is {', '.join(MASKS)}")
    return tuple(by_name[name.lower()] for name in dict.fromkeys(names))
