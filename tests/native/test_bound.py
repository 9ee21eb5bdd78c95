"""The bound page's C code without Python, as plain programs under the sanitizers."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
NATIVE: Final = ROOT / "appliance" / "bound" / "native"
SOURCES: Final = (NATIVE / "time_bound.c", NATIVE / "page_writer.c")
FLAGS: Final = (
    "-std=c11",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-missing-field-initializers",
    "-pthread",
)
ADDRESS: Final = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD: Final = ("-O1", "-fsanitize=thread", "-fno-sanitize-recover=all")
PLAIN: Final = ("-O2",)
PAGE_SIZE: Final = 432
GENERATION_AT: Final = 56
READS: Final = 2_000_000
READS_FULL: Final = 100_000_000
OK, NO_PAGE, FOREIGN, VERSION, OTHER_CLOCKS, STALE = 0, 1, 2, 3, 4, 7


def compile_program(target: Path, *arguments: str | Path) -> Path:
    """A C program; skips the test where there is no compiler or no library of the sanitizer."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc not found: the C tests are compiled on the spot")
    command = [
        "gcc",
        *FLAGS,
        "-pthread",
        f"-I{NATIVE}",
        f"-I{HERE}",
        *map(str, arguments),
        "-lm",
        "-o",
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the library of the sanitizer is not installed")
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bound")
    return compile_program(folder / "driver", *PLAIN, HERE / "bound_driver.c", *SOURCES)


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=280)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run with this kernel's address randomisation")
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@contextmanager
def serving(driver: Path, path: Path, period_us: int) -> Iterator[subprocess.Popen[str]]:
    """A process that writes a page until the end of the block."""
    command = [str(driver), "serve", str(path), str(period_us)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_unit(tmp_path: Path, sanitizer: tuple[str, ...]) -> None:
    wrap = "-Wl,--wrap=clock_gettime"
    run(compile_program(tmp_path / "unit", *sanitizer, HERE / "test_bound_page.c", *SOURCES, wrap))


@pytest.mark.parametrize(
    ("reads", "period_us"),
    [
        (READS, 1000),
        (READS, 0),
        pytest.param(READS_FULL, 1000, marks=pytest.mark.full),
        pytest.param(READS_FULL, 0, marks=pytest.mark.full),
    ],
)
def test_no_read_is_torn(tmp_path: Path, driver: Path, reads: int, period_us: int) -> None:
    """Every word follows from the number of the write; the driver ends at the first one that does not."""
    counted = json.loads(run(driver, "torn", tmp_path / "page", str(reads), str(period_us)))
    assert counted["changes"] >= 100, "the writer wrote meanwhile"


def test_what_is_read_belongs_to_one_write(tmp_path: Path, driver: Path) -> None:
    with serving(driver, tmp_path / "page", 1000):
        counted = json.loads(run(driver, "latency", tmp_path / "page", "300000"))
    assert counted["reads"] > 0


class Reader:
    """One reader under the address sanitizer, asked line by line."""

    def __init__(self, program: Path, path: Path) -> None:
        self._process = subprocess.Popen(
            [str(program), "read", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def refusal(self) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            pytest.fail(f"the reader died:\n{self._process.stderr.read()[-4000:]}")
        return int(line)

    def close(self) -> None:
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, errors[-4000:]


@pytest.fixture(scope="session")
def reading_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bound-reader")
    return compile_program(folder / "driver", *ADDRESS, HERE / "bound_driver.c", *SOURCES)


@pytest.fixture
def good_page(tmp_path: Path, driver: Path) -> bytes:
    """A page as it is in the middle of its life."""
    path = tmp_path / "good"
    with serving(driver, path, 1000):
        while True:
            data = path.read_bytes()
            if struct.unpack_from("=Q", data, GENERATION_AT)[0] % 2 == 0:
                return data


@pytest.fixture
def reader(tmp_path: Path, reading_program: Path) -> Iterator[Reader]:
    opened = Reader(reading_program, tmp_path / "page")
    yield opened
    opened.close()


def put(path: Path, data: bytes) -> None:
    """As the daemon does: a new file under the old name."""
    temporary = path.with_name("new")
    temporary.write_bytes(data)
    temporary.rename(path)


def write_behind_the_head(path: Path, data: bytes) -> None:
    """In place, where a reader has it mapped."""
    with path.open("r+b") as file:
        file.seek(GENERATION_AT)
        file.write(data[GENERATION_AT:])


def test_files_that_are_no_page_are_refused_for_their_reason(
    tmp_path: Path, reader: Reader, good_page: bytes
) -> None:
    path = tmp_path / "page"
    assert reader.refusal() == NO_PAGE
    older = good_page[:8] + struct.pack("=I", 0) + good_page[12:]
    for data, refusal in (
        (b"", FOREIGN),
        (b"T", FOREIGN),
        (good_page[:100], FOREIGN),
        (good_page[: PAGE_SIZE - 1], FOREIGN),
        (good_page + b"\0", FOREIGN),
        (bytes(PAGE_SIZE), FOREIGN),
        (b"\xff" * 100_000, FOREIGN),
        (older, VERSION),
        (older[:64], VERSION),
        (good_page[:16] + bytes(16) + good_page[32:], OTHER_CLOCKS),
        (good_page[:32] + b"\1" * 8 + good_page[40:], OTHER_CLOCKS),
    ):
        put(path, data)
        assert reader.refusal() == refusal, (len(data), data[:20])
    path.unlink()
    path.mkdir()
    assert reader.refusal() == FOREIGN
    path.rmdir()
    os.mkfifo(path)
    assert reader.refusal() == FOREIGN, "and it does not wait for a writer"


@pytest.mark.parametrize("rounds", [3000, pytest.param(100_000, marks=pytest.mark.full)])
def test_no_bytes_upset_the_reader(tmp_path: Path, reader: Reader, good_page: bytes, rounds: int) -> None:
    """New files with changed bytes, and bytes changed under the reader's own mapping."""
    path, source = tmp_path / "page", random.Random(5)
    found = set()
    for number in range(rounds):
        data = bytearray(good_page)
        for _ in range(source.randrange(1, 6)):
            at = source.randrange(PAGE_SIZE)
            data[at] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
        if number % 4 < 2:  # a reader opens the file anew when the one it has says nothing
            path.touch()
            write_behind_the_head(path, bytes(PAGE_SIZE))
            put(path, good_page if number % 4 else bytes(data))
        else:
            write_behind_the_head(path, bytes(data))
        found.add(reader.refusal())
    assert len(found) >= 5, found


def test_a_killed_writer_is_found_out(tmp_path: Path, driver: Path, reader: Reader) -> None:
    path = tmp_path / "page"
    with serving(driver, path, 1000) as process:
        assert reader.refusal() == OK
        process.kill()
        process.wait()
        last = reader.refusal()
        while last == OK:  # until the page has expired, two seconds after the last write
            last = reader.refusal()
        assert last == STALE
    with serving(driver, path, 1000):  # a new page in a new file
        assert reader.refusal() == OK


def test_the_example_compiles_and_says_what_it_should(tmp_path: Path, driver: Path) -> None:
    example = ROOT / "docs" / "examples" / "bound.c"
    program = compile_program(tmp_path / "example", *ADDRESS, example, NATIVE / "time_bound.c")
    with serving(driver, tmp_path / "page", 1000):
        text = run(program, tmp_path / "page")
    assert "TAI" in text and "locked" in text
    refused = subprocess.run([program, str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "start the time appliance" in refused.stderr
