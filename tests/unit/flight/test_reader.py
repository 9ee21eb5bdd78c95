"""Whatever became of a file: what is whole is used, and nothing else than our error comes out."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.main import app
from appliance.events import Action, Event, SourceFault, Steer
from appliance.flight.checkpoint import capture
from appliance.flight.decision import VOCABULARY, Decision, End
from appliance.flight.errors import FlightError
from appliance.flight.files import FRAME, MAGIC
from appliance.flight.reader import FlightFile
from appliance.flight.recorder import NOT_STATE
from appliance.flight.replay import Replay, replay
from appliance.flight.shapes import Packer
from appliance.flight.timeline import MAX_ENTRIES
from appliance.printable import MAX_TEXT
from appliance.timescale.discipline import Discipline
from tests.unit.flight.flights import fly, recorded_loop, recorder
from timecard.values import Alarm

SECONDS = 45


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small flight, from the start to locked."""
    (path,) = fly(tmp_path_factory.mktemp("flight"), SECONDS)
    return path


def frames(data: bytes) -> list[int]:
    """Where each frame ends."""
    ends, at = [], len(MAGIC)
    while at < len(data):
        length, _ = FRAME.unpack_from(data, at)
        at += FRAME.size + length
        ends.append(at)
    return ends


def tried(path: Path, data: bytes) -> Replay | None:
    """What a replay makes of these bytes; None when it refuses them."""
    path.write_bytes(data)
    try:
        return replay(path)
    except FlightError as error:
        assert str(path) in str(error) or "does not fit" in str(error)
        return None


def test_a_whole_file_is_read_to_its_end(whole: Path) -> None:
    found = replay(whole)
    assert (found.decisions, found.difference, found.cut, found.ended) == (SECONDS, None, None, "stopped")
    assert [entry.text.split(":")[0] for entry in found.timeline.entries if entry.kind == "state"] == [
        "free-run",
        "acquiring",
        "locked",
    ]


def test_the_header_can_be_read_by_anybody(whole: Path) -> None:
    data = whole.read_bytes()
    length, _ = FRAME.unpack_from(data, len(MAGIC))
    header = json.loads(data[len(MAGIC) + FRAME.size :][:length])
    assert header["card"] == "emulated"
    assert header["config"]["topology"] == "B"
    assert header["previous"] is None
    assert {"format", "product", "start_mono_ns", "machine", "written_utc"} <= header.keys()


def test_a_file_cut_at_any_byte_gives_all_whole_seconds_before(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    ends = frames(data)
    assert len(ends) == 2 + SECONDS + 1  # header, start, seconds, end
    cut = tmp_path / "cut.flight"
    # Every byte of the beginning and of two frames; of the others each 97th.
    places = {*range(60), *range(ends[0] - 4, ends[0] + 40), *range(ends[10], ends[12] + 1)}
    places |= set(range(60, len(data), 97)) | {end + step for end in ends for step in (-1, 0, 1)}
    for place in sorted(place for place in places if place < len(data)):
        cut.write_bytes(data[:place])
        if place < ends[1]:
            with pytest.raises(FlightError):
                FlightFile(cut)
            continue
        with FlightFile(cut) as file:
            seconds = sum(type(value).__name__ == "Decision" for value in file.values())
            assert file.cut is not None
        assert seconds == sum(end <= place for end in ends[2:])


def test_replay_of_a_cut_file_is_identical_as_far_as_it_goes(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    found = tried(tmp_path / "cut.flight", data[: frames(data)[20] + 30])
    assert found is not None
    assert (found.decisions, found.difference, found.ended) == (19, None, None)
    assert found.cut is not None
    assert found.cut.startswith("cut at byte")


def test_a_flipped_bit_is_seen_wherever_it_is(whole: Path, tmp_path: Path) -> None:
    data, chance = whole.read_bytes(), random.Random(1)
    for _ in range(60):
        spoilt, at = bytearray(data), chance.randrange(len(data))
        spoilt[at] ^= 1 << chance.randrange(8)
        found = tried(tmp_path / "flipped.flight", bytes(spoilt))
        if found is not None:
            assert found.cut is not None
            assert found.difference is None
            assert found.decisions < SECONDS + (at >= frames(data)[-2])


def test_random_bytes_are_no_flight_record(tmp_path: Path) -> None:
    chance = random.Random(2)
    for length in (0, 1, 7, 8, 9, 100, 5_000):
        assert tried(tmp_path / "noise.flight", chance.randbytes(length)) is None
        assert tried(tmp_path / "noise.flight", MAGIC + chance.randbytes(length)) is None


def frame(payload: bytes) -> bytes:
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def test_frames_with_a_good_checksum_and_nonsense_inside_are_refused(whole: Path, tmp_path: Path) -> None:
    """What no accident does, but somebody might."""
    data, chance = whole.read_bytes(), random.Random(3)
    header, start = (data[at + FRAME.size : end] for at, end in ((8, frames(data)[0]), frames(data)[:2]))
    path = tmp_path / "made.flight"
    good = json.loads(header)

    def made(changed: object, begin: bytes = start, *rest: bytes) -> bytes:
        head = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        return MAGIC + frame(head) + frame(begin) + b"".join(map(frame, rest))

    assert tried(path, made(good)) is not None
    config = good["config"]
    for bad in (
        b"[]",
        b"{",
        b"[" * 100_000,
        b"\xff",
        good | {"format": 2},
        good | {"start_mono_ns": None},
        good | {"start_mono_ns": "1"},
        good | {"config": None},
        good | {"config": [1]},
        good | {"config": config | {"topology": "E"}},
        good | {"config": config | {"later": 1}},
        good | {"config": config | {"p": "x"}},
    ):
        assert tried(path, made(bad)) is None
    for begin in (b"", b"x", zlib.compress(b"[]"), zlib.compress(b"{}"), zlib.compress(b"0" * 10_000)):
        assert tried(path, made(good, begin)) is None
    for document in (
        '{"begin": 1}',
        '{"begin": {"later": 1}}',
        '{"begin": {"resume": [1]}}',
        '{"checkpoint": []}',
        '{"checkpoint": 5}',
    ):
        assert tried(path, made(good, zlib.compress(document.encode()))) is None
    for _ in range(40):
        assert tried(path, made(good, start, chance.randbytes(chance.randrange(1, 80)))) is None


def test_a_frame_that_inflates_without_end_is_refused(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = whole.read_bytes()
    monkeypatch.setattr("appliance.flight.reader.MAX_FRAME_BYTES", 100_000)
    bomb = frame(zlib.compress(bytes(10_000_000)))
    path = tmp_path / "bomb.flight"
    path.write_bytes(data[: frames(data)[1]] + bomb)
    with FlightFile(path) as file, pytest.raises(FlightError, match="too large"):
        list(file.values())


@pytest.mark.parametrize(
    "begin",
    [
        zlib.compress(b'{"begin": [' + b"[]," * 6_000_000 + b"1]}"),
        zlib.compress(b'{"checkpoint": "' + bytes(100_000_000)),
    ],
)
def test_a_beginning_that_is_a_bomb_is_refused(whole: Path, tmp_path: Path, begin: bytes) -> None:
    data = whole.read_bytes()
    path = tmp_path / "bomb.flight"
    path.write_bytes(data[: frames(data)[0]] + frame(begin))
    tracemalloc.start()
    try:
        with pytest.raises(FlightError, match="too large"):
            FlightFile(path)
        path.write_bytes(MAGIC + frame(b'{"a": [' + b"[]," * 1_000_000 + b"1]}"))
        with pytest.raises(FlightError, match="too large"):
            FlightFile(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 40 << 20


def test_texts_of_a_file_do_nothing_to_a_terminal(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    ends, packer, path = frames(data), Packer(VOCABULARY), tmp_path / "made.flight"
    with FlightFile(whole) as file:
        decision = next(value for value in file.values() if isinstance(value, Decision))
    items = packer.pack(dataclasses.replace(decision, alarms=("\x1b[2J alarm",)))
    items += packer.pack(End(reason="\x1b]0;title\x07"))
    path.write_bytes(data[: ends[1]] + frame(zlib.compress(items)))
    shown = CliRunner().invoke(app, ["replay", str(path)])
    assert "?[2J alarm" in shown.output
    assert "closed: ?]0;title?" in shown.output
    header = json.loads(data[len(MAGIC) + FRAME.size : ends[0]]) | {"format": "\x9b2J"}
    path.write_bytes(MAGIC + frame(json.dumps(header).encode()))
    refused = CliRunner().invoke(app, ["replay", str(path)])
    assert refused.exit_code == 2
    for text in (shown.output, refused.output):
        assert text.replace("\n", "").isprintable()


def test_the_place_that_was_changed_is_named(whole: Path, tmp_path: Path) -> None:
    """A record whose steering was changed in one place differs there, and in nothing before."""
    flight = recorder(tmp_path / "other")
    played = recorded_loop(flight, seconds=SECONDS)
    played.play(30)
    clean = Discipline.handle

    def meddled(self: Discipline, event: Event) -> list[Action]:
        return [
            Steer(frequency_ppb=action.frequency_ppb + 2**-40) if isinstance(action, Steer) else action
            for action in clean(self, event)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Discipline, "handle", meddled)
        played.play(5)
    flight.close()
    found = replay(next((tmp_path / "other").iterdir()))
    assert found.difference is not None
    assert found.difference.field == "action"
    assert found.difference.recorded != found.difference.recomputed
    assert 28.0 < found.difference.at_s < 31.0
    assert found.differing >= 5


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FlightError, match="No such file"):
        replay(tmp_path / "none.flight")
    with pytest.raises(FlightError, match="Is a directory"):
        replay(tmp_path)


def test_struct_sizes_are_those_that_the_manual_gives() -> None:
    assert FRAME.size == struct.calcsize("<II") == 8


def written(whole: Path, path: Path, items: bytes, begin: bytes | None = None) -> Path:
    """A record with the beginning of a whole one, and these items."""
    data = whole.read_bytes()
    ends = frames(data)
    head = data[: ends[1]] if begin is None else data[: ends[0]] + frame(zlib.compress(begin))
    path.write_bytes(head + frame(zlib.compress(items)))
    return path


def decision_of(whole: Path) -> Decision:
    with FlightFile(whole) as file:
        return next(value for value in file.values() if isinstance(value, Decision))


@pytest.mark.parametrize("compare", [True, False])
@pytest.mark.parametrize("field", ["reasons", "alarms", "not_ready_reasons"])
@pytest.mark.parametrize(("length", "times"), [(15_000, 60_000), (1, 60_000), (15_000, 2)])
def test_one_text_that_is_there_very_often_takes_no_memory(
    whole: Path, tmp_path: Path, compare: bool, field: str, length: int, times: int
) -> None:
    texts = {field: ("x" * length,) * times}
    items = Packer(VOCABULARY).pack(dataclasses.replace(decision_of(whole), **texts))  # type: ignore[arg-type]  # the field's name is a parameter
    path = written(whole, tmp_path / "made.flight", items)
    assert path.stat().st_size < 20_000
    tracemalloc.start()
    try:
        with pytest.raises(
            FlightError, match=f"{field} of a decision|texts of a value are too long"
        ) as caught:
            replay(path, compare=compare)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 << 20
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "value",
    [
        Steer(frequency_ppb=("x" * 15_000,) * 60_000),  # type: ignore[arg-type]  # what a file may say
        SourceFault(source=("x" * 15_000,) * 60_000, reason="", mono_ns=0),  # type: ignore[arg-type]  # the same
    ],
)
def test_texts_where_none_belong_take_no_memory(whole: Path, tmp_path: Path, value: Event | Action) -> None:
    path = written(whole, tmp_path / "made.flight", Packer(VOCABULARY).pack(value))
    tracemalloc.start()
    try:
        with pytest.raises(FlightError, match="texts of a value are too long"):
            replay(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 << 20


def test_alarms_without_end_are_refused(whole: Path, tmp_path: Path) -> None:
    packer, evidence = Packer(VOCABULARY), "x" * 15_000
    items = b"".join(
        packer.pack(
            Alarm(name=f"n{number}", active=True, unusable=False, evidence=evidence, read_mono_ns=number)
        )
        for number in range(2_000)
    )
    with pytest.raises(FlightError, match="more alarms than there are"):
        replay(written(whole, tmp_path / "made.flight", items))


def test_counters_that_stand_for_more_than_fits_are_refused(whole: Path, tmp_path: Path) -> None:
    """A list of pairs of pairs: its text would have 2 ** 50 letters."""
    flight = recorder(tmp_path / "other")
    played = recorded_loop(flight, seconds=40)
    played.play(30)
    flight.close()
    nodes = capture(played.discipline, NOT_STATE)
    (counters,) = nodes[0]["counters"]
    first = len(nodes)
    nodes[counters] = ["Counter", [["edges", [first]]]]
    nodes += [["tuple", [[first + k], [first + k]]] for k in range(1, 51)] + [["tuple", []]]
    begin = json.dumps({"checkpoint": nodes}).encode()
    items = Packer(VOCABULARY).pack(decision_of(whole))
    with pytest.raises(FlightError, match=r"does not fit this version \(values are nested too deeply\)"):
        replay(written(whole, tmp_path / "made.flight", items, begin))


def test_the_story_of_a_flight_has_an_end(whole: Path, tmp_path: Path) -> None:
    packer, decision = Packer(VOCABULARY), decision_of(whole)
    said = [dataclasses.replace(decision, epoch=epoch, alarms=("y" * 499,) * epoch) for epoch in (0, 1)]
    first, both = (packer.pack(said[0]) + packer.pack(said[1]) for _ in range(2))
    # A state, then a step and an alarm that begins or ends with each decision.
    path = written(whole, tmp_path / "made.flight", first + both * (MAX_ENTRIES // 4 + 5))
    found = replay(path, compare=False)
    assert len(found.timeline.entries) == MAX_ENTRIES
    assert found.timeline.left_out == 23
    assert max(len(entry.text) for entry in found.timeline.entries) <= MAX_TEXT
    shown = CliRunner().invoke(app, ["replay", "--no-compare", str(path)])
    assert "... 23 more left out" in shown.output


def test_a_text_that_no_reader_would_take_stops_the_record_and_is_said(tmp_path: Path) -> None:
    flight = recorder(tmp_path)
    played = recorded_loop(flight, seconds=40)
    played.play(10)
    alarm = Alarm(
        name="test", active=True, unusable=False, evidence="A" * 1_000_000, read_mono_ns=played.mono_ns(10.0)
    )
    played.discipline.handle(alarm)
    assert flight.problem == "a record cannot be written (a text of 1000000 bytes)"
    flight.close()
    (path,) = tmp_path.iterdir()
    assert replay(path).difference is None


def test_a_long_alarm_of_the_clock_is_recorded_in_short(tmp_path: Path) -> None:
    flight = recorder(tmp_path)
    played = recorded_loop(flight, seconds=40)
    played.discipline.alarms["own"] = "B" * 3_000
    played.play(10)
    flight.close()
    (path,) = tmp_path.iterdir()
    with FlightFile(path) as file:
        decisions = [value for value in file.values() if isinstance(value, Decision)]
    assert {len(text) for decision in decisions for text in decision.alarms if text[0] == "B"} == {MAX_TEXT}
    assert replay(path, compare=False).decisions == 10
