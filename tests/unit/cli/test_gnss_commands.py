"""`timecard gnss status | configure | survey | capture | replay | tap`, on emulated receivers."""

from __future__ import annotations

import functools
import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import COMMAND, LIMIT_S, Answer, answer_of, emulated, eventually, facts_of
from timecard.gnss.capture import replay
from timecard.gnss.framing import Framer, UbxFrame
from timecard.gnss.picture import TOPICS

Run = Callable[..., Answer]


@pytest.fixture(scope="module")
def f9t(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("f9t") / "tty"
    with emulated("--pty", path, "--receiver", "f9t"):
        yield path


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("mosaic") / "tty"
    with emulated("--pty", path, "--receiver", "mosaic"):
        yield path


@pytest.fixture(scope="module")
def nmea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("nmea") / "tty"
    with emulated("--pty", path, "--receiver", "nmea", "--receiver-baud", "38400"):
        yield path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return functools.partial(answer_of, capsys, "gnss")


def status_of(run: Run, *argv: str | Path, topics: int = len(TOPICS)) -> Any:
    """A status in which at least so many topics were heard."""
    return eventually(
        lambda: facts_of(run("status", *argv, "--json")),
        lambda facts: len(facts["not_heard"].keys() - {"settings"}) <= len(TOPICS) - topics,
    )


# --- status ---


def test_status_of_a_card_receiver(tmp_path: Path, run: Run) -> None:
    with emulated("--vfio-user", tmp_path / "card.sock"):
        facts = status_of(run, "--vfio-user", tmp_path / "card.sock")
    assert (facts["driver"], facts["baud"], facts["receiver"]["model"]) == ("ublox", 115_200, "ZED-F9T")
    assert facts["fix"]["time_valid"] is True
    assert abs(int(facts["fix"]["epoch_tai_ns"])) > 10**18
    assert facts["leap"] == {"tai_minus_utc_s": 37, "change_s": 0, "seconds_to_event": None, "source": "GPS"}
    assert facts["pulse"]["pulse_locked"] is True
    assert facts["survey"] is not None
    assert facts["rf"]["antenna"] == "OK"
    assert facts["rf"]["spoofing"] == "NONE"
    assert facts["not_heard"] == {}
    assert set(facts["cno_dbhz"]) >= {"GPS", "GAL"} or any(
        name.startswith("GPS ") for name in facts["cno_dbhz"]
    )
    assert facts["settings"]["cable_delay_ns"] == 0
    assert "sawtooth" in facts["capabilities"]


def test_status_as_text_on_a_plain_port(f9t: Path, run: Run) -> None:
    status, out, err = eventually(
        lambda: run("status", "--port", f9t), lambda said: "not heard" not in said[1]
    )
    assert (status, err) == (0, "")
    shown = {line[:12].strip(): line[13:] for line in out.splitlines()}
    assert shown["receiver"] == "ZED-F9T TIM 2.20 29.20"
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, valid", shown["time"])
    assert shown["jamming"].startswith("monitor off")
    assert shown["leap second"] == "TAI-UTC 37 s (GPS), none announced"
    assert shown["antenna"] == "OK, powered"
    assert "dBHz" in out


def test_status_of_a_mosaic(mosaic: Path, run: Run) -> None:
    facts = status_of(run, "--port", mosaic, topics=6)
    assert facts["driver"] == "septentrio"
    assert facts["fix"]["time_valid"] is True
    assert "pulse" not in facts["not_heard"]
    assert facts["corrupt_bytes"] == 0, "the prompt that answers our own question"
    assert facts["receiver"]["serial"] == "3600001"
    assert facts["settings"]["elevation_mask_deg"] == 10


def test_the_receiver_of_an_undo_is_known_by_its_number(mosaic: Path, tmp_path: Path, run: Run) -> None:
    at = ("--port", mosaic, "--state", tmp_path)
    intent = tmp_path / "intent.toml"
    intent.write_text('[gnss]\ncable_delay_ns = 12\nstore = "ram"\n', encoding="utf-8")
    assert facts_of(run("configure", intent, *at, "--json"))["written"] is True
    (kept,) = (tmp_path / "gnss-undo").iterdir()
    text = kept.read_text()
    kept.write_text(text.replace("3600001", "3600002"))
    status, _, err = run("configure", "--undo", *at)
    assert status == 1
    assert "about a mosaic-T 3600002, and a mosaic-T 3600001 answers" in err
    kept.write_text(text)
    assert facts_of(run("configure", "--undo", *at, "--json"))["written"] is True


def test_an_undo_is_for_one_chip_and_an_older_file_says_so(f9t: Path, tmp_path: Path, run: Run) -> None:
    at = ("--port", f9t, "--baud", 115_200, "--state", tmp_path)
    facts_of(run("configure", "--time-card", *at, "--json"))
    (kept,) = (tmp_path / "gnss-undo").iterdir()
    document = json.loads(kept.read_text())
    assert len(bytes.fromhex(document["serial"])) == 5
    kept.write_text(json.dumps(document | {"serial": "0102030405"}))
    status, out, err = run("configure", "--undo", *at)
    assert (status, out) == (1, "")
    assert f"about a ZED-F9T 0102030405, and a ZED-F9T {document['serial']} answers" in err
    kept.write_text(json.dumps(document | {"serial": None}))  # as it was written before chips were asked
    status, out, err = run("configure", "--undo", *at, "--json")
    assert (status, json.loads(out)["written"]) == (0, True)
    assert "does not say which ZED-F9T" in err


def test_status_without_a_word_to_the_receiver(nmea: Path, run: Run) -> None:
    facts = status_of(run, "--port", nmea, "--listen", topics=4)
    assert (facts["driver"], facts["baud"]) == ("nmea", 38_400)
    assert facts["fix"]["time_valid"] is True
    assert facts["receiver"] is None
    assert facts["not_heard"]["survey"].startswith("not heard in ")


# --- configure ---


def test_configure_shows_writes_once_and_takes_back(f9t: Path, tmp_path: Path, run: Run) -> None:
    at = ("--port", f9t, "--state", tmp_path, "--json")
    status, out, err = run("configure", "--time-card", "--check", *at)
    assert (status, err) == (3, "")
    planned = json.loads(out)
    assert planned["written"] is False
    keys = {change["key"] for change in planned["changes"]}
    assert "CFG_MSGOUT_UBX_TIM_TP_UART1" in keys
    assert "CFG_TP_ANT_CABLEDELAY" not in keys, "a delay that is set stays"

    done = facts_of(run("configure", "--time-card", *at))
    assert done["written"] is True
    assert done["changes"] == planned["changes"]
    again = facts_of(run("configure", "--time-card", *at))
    assert (again["changes"], again["written"]) == ([], False)

    intent = tmp_path / "intent.toml"
    intent.write_text('[gnss]\nprofile = "time-card"\ncable_delay_ns = 251\n', encoding="utf-8")
    one = facts_of(run("configure", intent, *at))
    assert [(each["key"], each["before"], each["after"]) for each in one["changes"]] == [
        ("CFG_TP_ANT_CABLEDELAY", 50, 251)
    ]
    back = facts_of(run("configure", "--undo", *at))
    assert [each["key"] for each in back["changes"]] == ["CFG_TP_ANT_CABLEDELAY"]
    assert facts_of(run("configure", "--time-card", *at))["changes"] == []
    status, out, err = run("configure", "--undo", *at)
    assert (status, out) == (1, "")
    assert "nothing was configured from here" in err


def test_a_ucenter_export_says_what_it_sets_beside(f9t: Path, shared_dir: Path, run: Run) -> None:
    export = shared_dir / "data/gnss/timingCardUBXG9_PPS_TMODE.txt"
    status, out, err = run("configure", export, "--check", "--port", f9t)
    assert (status, err) in ((0, ""), (3, ""))
    assert "not modelled: CFG_" in out
    assert "BAUDRATE" not in out.partition("to be changed")[0]


def test_what_an_nmea_receiver_cannot_is_said(nmea: Path, tmp_path: Path, run: Run) -> None:
    facts = facts_of(
        run("configure", "--time-card", "--port", nmea, "--baud", 38_400, "--state", tmp_path, "--json")
    )
    assert facts["changes"] == []
    assert "messages: an NMEA receiver is only read" in facts["unsupported"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("configure",), "say one of"),
        (("configure", "--time-card", "--undo"), "say one of"),
        (("survey", "--fixed", "48,11"), "expected LAT,LON,HEIGHT"),
        (("survey", "--fixed", "98,11,500"), "latitude is -90 to 90"),
        (("survey", "--fixed", "nan,11,500"), "expected LAT,LON,HEIGHT"),
        (("survey", "--watch", "--detach"), "choose one of"),
        (("tap", "0.0.0.0:2950"), "other hosts could reach that"),
        (("tap", "gnss.sock"), "expected the path of a UNIX socket"),
        (("status", "--port", "/dev/ttyS0", "--id", "x"), "--port is a serial port of its own"),
    ],
)
def test_wrong_commands(argv: tuple[str, ...], message: str, run: Run) -> None:
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert message in err


def test_a_file_with_mistakes_names_them_all(tmp_path: Path, run: Run) -> None:
    intent = tmp_path / "intent.toml"
    intent.write_text("[gnss]\nrate_hz = 3\ncable_delay = 1\n", encoding="utf-8")
    status, out, err = run("configure", intent, "--port", "/dev/nothing-here")
    assert (status, out) == (2, "")
    assert "rate_hz" in err
    assert "cable_delay" in err


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"version": 2}', '{"version": 1, "model": "x", "store": "disk", "changes": []}',
     '{"version": 1, "model": "x", "store": "ram", "changes": [{"key": 1}]}',
     '{"version": 1, "model": "x", "store": "ram", "changes": [], "stored": {"ram": {"k": true}}}'],
)  # fmt: skip
def test_a_damaged_undo_file_is_refused(text: str, f9t: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "gnss-undo"
    folder.mkdir()
    (folder / f"{str(f9t).strip('/').replace('/', '-')}.json").write_text(text, encoding="utf-8")
    status, out, err = run("configure", "--undo", "--port", f9t, "--baud", 115_200, "--state", tmp_path)
    assert (status, out) == (1, "")
    assert "remove the file" in err


# --- survey ---


def test_a_fixed_position_is_set_and_a_survey_followed(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "tty"
    with emulated("--pty", path, "--receiver", "f9t"):
        at = ("--port", path, "--json")
        kept = ("--state", tmp_path)
        facts = facts_of(run("survey", "--fixed", "47.3769,8.5417,470.0", *kept, *at))
        assert {change["setting"] for change in facts["changes"]} == {"position"}
        assert (
            facts_of(run("survey", "--min-seconds", 60, "--sigma", 50, "--detach", *kept, *at))["started"]
            is True
        )
        facts = status_of(run, "--port", path)
        assert facts["survey"]["active"] is True
        facts_of(run("configure", "--undo", *kept, *at))
        assert facts_of(run("survey", "--fixed", "47.3769,8.5417,470.0", *kept, *at))["changes"] == []


# --- capture and replay ---


def test_a_capture_replays_to_what_was_heard(f9t: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "capture"
    facts = facts_of(run("capture", file, "--seconds", 2.5, "--port", f9t, "--json"))
    assert facts["baud"] == 115_200
    assert 2.4 < facts["seconds"] < 30
    capture = replay(file)
    events = list(capture)
    assert capture.counts.good > 3
    assert facts["bytes"] == sum(len(piece.data) for piece in capture.capture)

    status, out, err = run("replay", file, "--json")
    assert status == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == [type(event).__name__ for event in events]
    assert [line["read_mono_ns"] for line in lines] == [str(event.read_mono_ns) for event in events]
    summary = json.loads(err)
    assert (summary["header_lines"], summary["format"]) == (1, "timecard")
    assert summary["frames"]["good"] == capture.counts.good
    status, out, err = run("capture", file, "--seconds", 1, "--port", f9t)
    assert (status, out) == (2, "")
    assert "exists already" in err


def test_every_recording_replays_line_by_line(shared_dir: Path, run: Run) -> None:
    folder = shared_dir / "data/gnss"
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        status, out, err = run("replay", path, "--json")
        assert status == 0, path
        events = [json.loads(line) for line in out.splitlines()]
        assert sum(json.loads(err)["events"].values()) == len(events)
        assert all(event["event"] for event in events)


def test_replay_as_a_series_of_seconds(shared_dir: Path, run: Run) -> None:
    path = shared_dir / "data/gnss/u-blox-m8t-time.log"
    status, out, err = run("replay", path, "--series", "--json")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    seconds = [int(row["tai_ns"]) for row in rows if row["tai_ns"] is not None]
    assert len(seconds) > 50
    assert seconds == sorted(set(seconds))
    assert any(row["qerr_ns"] is not None and row["fix_ok"] for row in rows)
    assert json.loads(err)["events"]["PulseLabel"] > 50
    status, out, _ = run("replay", path, "--series")
    assert (status, len(out.splitlines())) == (0, len(rows))


def test_replay_skips_the_header_and_names_what_is_foreign(shared_dir: Path, run: Run) -> None:
    status, out, err = run("replay", shared_dir / "data/gnss/u-blox-m8t-time.log")
    assert status == 0
    assert "GnssFix" in out
    assert "9 header lines skipped" in err
    assert "1511 good, 0 unknown, 1 bad (21 bytes)" in err
    status, _, err = run("replay", shared_dir / "data/gnss/trimble-res720.log")
    assert status == 0
    assert "this is Trimble TSIP: there is no driver for it" in err
    status, out, err = run("replay", "/nowhere/at-all")
    assert (status, out) == (1, "")
    assert "/nowhere/at-all" in err


def test_replay_into_a_pipe_that_closes(shared_dir: Path) -> None:
    path = shared_dir / "data/gnss/u-blox-m8t-time.log"
    replaying = subprocess.Popen(
        [*COMMAND, "gnss", "replay", str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert replaying.stdout is not None
    assert replaying.stdout.readline()
    replaying.stdout.close()
    assert replaying.stderr is not None
    errors = replaying.stderr.read()
    replaying.stderr.close()
    assert (replaying.wait(LIMIT_S), errors) == (0, b"")


# --- tap ---


def test_a_tap_gives_the_line_to_several_and_nothing_to_the_receiver(
    f9t: Path, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "tap.sock"
    tapping = subprocess.Popen(
        [*COMMAND, "gnss", "tap", str(path), "127.0.0.1:0", "--port", str(f9t), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert tapping.stderr is not None
        ready, unix, tcp = tapping.stderr.readline().split()
        assert (ready, unix) == ("ready", str(path))
        host, _, port = tcp.rpartition(":")
        with socket.socket(socket.AF_UNIX) as first, socket.create_connection((host, int(port))) as second:
            first.connect(unix)
            # A reset, which must not get through.
            first.sendall(bytes.fromhex("b56206040400ffff00000c5d"))
            for reader in (first, second):
                reader.settimeout(LIMIT_S)
                framer, frames = Framer(), 0
                while frames < 8:
                    data = reader.recv(4096)
                    assert data
                    frames += sum(isinstance(item, UbxFrame) for item in framer.feed(data, 0))
        status, _, err = run("status", "--port", f9t)
        assert status == 1
        assert f"process {tapping.pid}" in err
        tapping.send_signal(signal.SIGTERM)
        out, err = tapping.communicate(timeout=LIMIT_S)
    finally:
        if tapping.poll() is None:
            tapping.kill()
            tapping.communicate()
    assert (tapping.returncode, err) == (0, "")
    assert json.loads(out)["bytes"] > 100
    assert not path.exists()
    facts = status_of(run, "--port", f9t)
    assert facts["fix"]["time_valid"] is True
