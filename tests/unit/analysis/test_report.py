"""What is shown: every figure with its unit, null where there is none, and a picture that holds it all."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.analysis.analysis import Analysis, Settings, analyse
from appliance.analysis.errors import AnalysisError
from appliance.analysis.masks import MASKS
from appliance.analysis.plot import draw, require
from appliance.analysis.report import document, nanoseconds, seconds, text
from appliance.analysis.series import Detrend, Series
from tests.unit.analysis.worlds import noise, phase

EVERYTHING = Settings(masks=tuple(MASKS.values()), detrend=Detrend.FREQUENCY)


def refuse(word: str) -> Any:
    raise AssertionError(f"{word} is no JSON")


def through_json(analysis: Analysis) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(analysis), allow_nan=False), parse_constant=refuse)
    return found


def test_the_text_has_every_line_that_matters() -> None:
    analysis = analyse(phase(noise(3000, 1, 5.0), noise(900, 2, 5.0)), EVERYTHING)
    shown = text(analysis)
    for part in (
        "3,900 samples at 1 Hz",
        "missing: 10 samples, gaps: 1 (10 after 50.0 min)",
        "all pieces pooled: 3,900 samples, 3,000 in the longest piece",
        "removed before all that follows: frequency (--detrend)",
        "cTE over 1000 s from",
        "dTE below 0.1 Hz",
        "tau s",
        "white PM",
        "confidence interval of 68.3%",
        "1024 *",
        "PRTC-A (ITU-T G.8272): FAIL",
        "TDEV: FAIL, worst at tau = 1 s:",
        "MTIE: FAIL, worst at tau = ",
        "max|TE|: pass",
        " points, tau = 1 to 562 s",
        "ePRTC (ITU-T G.8272.1; figures of one public source): FAIL",
    ):
        assert part in shown, part
    assert max(map(len, shown.splitlines())) < 170


def test_json_has_the_same_figures_and_null_where_there_is_none() -> None:
    analysis = analyse(phase(noise(150, 1, 0.1)), EVERYTHING)
    found = through_json(analysis)
    assert found["passed"] is True
    first, last = found["stability"][0], found["stability"][-1]
    assert first["tau_s"] == 1.0
    assert first["tdev_ns"]["value"] == pytest.approx(first["mdev"]["value"] * 1e9 / np.sqrt(3))
    assert first["noise"]["alpha"] == 2
    assert (last["quotable"], last["mdev"]) == (False, None)
    assert found["time_error"]["constant_max_ns"] is None
    assert found["time_error"]["reasons"] == ["no cTE: no 1000 s without a gap"]
    assert [part["quantity"] for part in found["masks"][0]["parts"]] == ["max|TE|", "MTIE", "TDEV"]
    assert found["masks"][0]["parts"][1]["margin_ns"] > 0


@pytest.mark.parametrize("level", [0.0, 12.5])
def test_a_clock_that_never_moves_is_reported_and_drawn(tmp_path: Path, level: float) -> None:
    series = phase(np.full(300, level))
    analysis = analyse(series, EVERYTHING)
    assert through_json(analysis)["stability"][0]["oadev"]["value"] == pytest.approx(0, abs=1e-20)
    shown = text(analysis)
    assert "PRTC-A (ITU-T G.8272): pass\n" in shown
    assert "this is not the test of the Recommendation" in shown
    if level == 0:
        draw(tmp_path / "flat $100 bill$.png", series, analysis, "flat $x_$ $")


def test_words_for_times_and_sizes() -> None:
    assert [seconds(value) for value in (5.0, 119.0, 7200.0, 90_000.0, 400_000.0)] == [
        "5 s", "119 s", "2.0 h", "25.0 h", "4.6 d",
    ]  # fmt: skip
    assert [nanoseconds(value) for value in (0.1234, 5.0, -12_345.0, 2.5e9)] == [
        "0.123 ns", "5 ns", "-12.35 us", "2.5 s",
    ]  # fmt: skip


def drawn(path: Path, series: Series, **asked: Any) -> bytes:
    pytest.importorskip("matplotlib")
    draw(path, series, analyse(series, Settings(**asked)), "a clock")
    return path.read_bytes()


def test_the_picture_names_axes_masks_and_verdicts(tmp_path: Path) -> None:
    series = phase(np.cumsum(noise(6000, 1)), np.cumsum(noise(50, 2)))
    shown = drawn(tmp_path / "clock.svg", series, masks=(MASKS["PRTC-A"], MASKS["PRC"])).decode()
    for part in (
        "a clock", "time error (ns)", "minutes", "tau (s)", "deviation (fraction)", "TDEV (ns)", "MTIE (ns)",
        "ADEV", "MDEV", "HDEV", "PRTC-A max|TE|", "PRTC-A: FAIL", "PRC: ", "beyond 1/5 of the data",
        "confidence of 68.3%",
    ):  # fmt: skip
        assert part in shown, part
    assert len(shown) < 2_000_000


def test_a_picture_that_cannot_be_made_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AnalysisError, match=r"ends in \.png, \.svg, \.pdf"):
        require(tmp_path / "clock.jpeg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("appliance.analysis.plot.find_spec", lambda name: None)
    with pytest.raises(AnalysisError, match=r"pip install 'timecard-toolkit\[plot\]'"):
        require(tmp_path / "clock.png")
