"""The C code without Python, as plain programs under the sanitizers."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

HERE: Final = Path(__file__).parent
NATIVE: Final = HERE.parents[1] / "appliance" / "ptp" / "native"
SOURCES: Final = sorted(path for path in NATIVE.glob("*.c") if not path.name.startswith("module"))
FLAGS: Final = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers")
WRAPPED: Final = ("clock_gettime", "recvmmsg", "sendmsg", "setsockopt", "ioctl")
ADDRESS: Final = "address,undefined"
THREAD: Final = "thread"
SERVER_IDENTITY: Final = "b8cef6fffe0210e4"
OTHER_IDENTITY: Final = "020000fffe000001"

Build = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile a program of this folder with a sanitizer, once."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc not found: the C tests are compiled on the spot")
    folder = tmp_path_factory.mktemp("native")
    objects: dict[str, list[Path]] = {}

    def compile_objects(sanitizer: str) -> list[Path]:
        made = []
        for source in SOURCES:
            target = folder / f"{source.stem}-{sanitizer.split(',')[0]}.o"
            _gcc(sanitizer, "-c", str(source), "-o", str(target))
            made.append(target)
        return made

    def make(program: str, sanitizer: str) -> Path:
        target = folder / f"{program}-{sanitizer.split(',')[0]}"
        if target.exists():
            return target
        if sanitizer not in objects:
            objects[sanitizer] = compile_objects(sanitizer)
        wraps = [f"-Wl,--wrap={name}" for name in WRAPPED] if program == "server_driver" else []
        _gcc(
            sanitizer,
            str(HERE / f"{program}.c"),
            *map(str, objects[sanitizer]),
            *wraps,
            "-o",
            str(target),
        )
        return target

    return make


def _gcc(sanitizer: str, *arguments: str) -> None:
    command = ["gcc", *FLAGS, f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-pthread"]
    done = subprocess.run(
        [*command, f"-I{NATIVE}", f"-I{HERE}", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip(f"the library of -fsanitize={sanitizer} is not installed")
    assert done.returncode == 0, done.stderr


def run(program: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [program, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=120
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run with this kernel's address randomisation")
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def free_ports() -> tuple[str, str]:
    """Two neighbouring UDP ports, free on every address and outside what the kernel hands out by itself."""
    for _ in range(100):
        port = random.randrange(12_000, 32_000)
        with (
            suppress(OSError),
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as event,
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as general,
        ):
            event.bind(("::", port))
            general.bind(("::", port + 1))
            return str(port), str(port + 1)
    raise AssertionError("no two free UDP ports")


@pytest.fixture(scope="session")
def vectors(shared_dir: Path) -> list[dict[str, Any]]:
    path = shared_dir / "reference" / "ptp-vectors.json"
    if not path.is_file():
        pytest.skip(f"no PTP vectors at {path}")
    loaded: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    return loaded


@pytest.mark.parametrize("program", ["test_clock_page", "test_host_clock", "test_contracts", "test_limiter"])
@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD])
def test_unit(build: Build, program: str, sanitizer: str) -> None:
    run(build(program, sanitizer))


def parse_all(build: Build, identity: str, datagrams: list[str]) -> list[dict[str, str]]:
    stdin = "".join(f"parse {datagram}\n" for datagram in datagrams)
    lines = run(build("wire_driver", ADDRESS), identity, stdin=stdin).splitlines()
    assert len(lines) == len(datagrams)
    return [dict(part.split("=", 1) for part in line.split(" ")) for line in lines]


FIELDS: Final = (
    "messageType",
    "minorVersion",
    "messageLength",
    "flags",
    "sequenceId",
    "control",
    "logMessageInterval",
    "correction_raw",
    "clockIdentity",
    "portNumber",
    "targetClock",
    "targetPort",
)


def test_every_valid_vector_is_decoded(build: Build, vectors: list[dict[str, Any]]) -> None:
    valid = [v for v in vectors if v["valid"] and v["origin"] == "encoded" and v["transport"] != "uds"]
    compared = 0
    assert len(valid) >= 50
    datagrams = [v["hex"][:8] + "00" + v["hex"][10:] for v in valid]  # all in our domain
    for vector, found in zip(valid, parse_all(build, OTHER_IDENTITY, datagrams), strict=True):
        name, expect = vector["name"], vector["expect"]
        assert found["verdict"] == "ok", name
        for field in FIELDS:
            if field in expect and field in found:
                assert str(expect[field]) == found[field], (name, field)
                compared += 1
        for prefix in ("origin", "precise", "recv"):
            if f"{prefix}_sec" in expect:
                assert str(expect[f"{prefix}_sec"]) == found["timestamp_sec"], name
                assert str(expect[f"{prefix}_ns"]) == found["timestamp_ns"], name
        if "tlvs" in expect:
            tlvs = [[int(n) for n in tlv.split(":")[:2]] for tlv in found["tlvs"].split(",")]
            assert tlvs == expect["tlvs"], name
    assert compared > 150


def test_every_observed_datagram_is_decoded(build: Build, vectors: list[dict[str, Any]]) -> None:
    observed = [v["hex"] for v in vectors if v["group"] == "observed"]
    assert len(observed) == 20
    assert {found["verdict"] for found in parse_all(build, OTHER_IDENTITY, observed)} == {"ok"}


MALFORMED: Final = {
    "bad_short_header": "size",
    "bad_short_body": "size",
    "bad_length_over": "length",
    "bad_length_under": "length",
    "bad_length_zero": "length",
    "bad_version1": "version",
    "bad_version3": "version",
    "bad_message_type_4": "type",
    "bad_domain": "domain",
    "bad_sdoid": "sdo_id",
    "bad_own_identity": "own_identity",
    "bad_nanoseconds": "nanoseconds",
    "bad_tlv_overrun": "tlv",
    "bad_tlv_odd": "tlv",
    "bad_tlv_short_request": "tlv",
    "bad_sig_no_tlv": "tlv",
    "bad_path_trace_len": "tlv",
    "bad_trailing4": "trailer",
    # refused, or cut short, by the server rather than by the decoder
    "bad_tlv_flood": "ok",
    "bad_request_rate": "ok",
    "bad_request_type": "ok",
}


def test_every_malformed_vector_is_refused_for_its_reason(
    build: Build, vectors: list[dict[str, Any]]
) -> None:
    malformed = [v for v in vectors if v["group"] == "malformed"]
    from_server = {"bad_nanoseconds", "bad_path_trace_len"}  # so the receiver is somebody else
    for vector in malformed:
        identity = OTHER_IDENTITY if vector["name"] in from_server else SERVER_IDENTITY
        (found,) = parse_all(build, identity, [vector["hex"]])
        assert found["verdict"] == MALFORMED[vector["name"]], vector["name"]
        if vector["name"] == "bad_tlv_flood":
            assert found["tlv_excess"] == "32"
    assert {v["name"] for v in malformed} == set(MALFORMED)


def test_the_response_port_offset_is_read(build: Build, vectors: list[dict[str, Any]]) -> None:
    by_name = {v["name"]: v["hex"] for v in vectors}
    names = ("sptp_delay_req_v6", "sptp_delay_req_altport3", "sptp_delay_req_plain44")
    found = parse_all(build, OTHER_IDENTITY, [by_name[name] for name in names])
    assert [f["offset"] for f in found] == ["0", "3", "0"]


T4: Final = 1790000000_123456789
T1: Final = 1790000000_123500001
CF2: Final = 0x18A98000
QUALITY: Final = "8 6 33 23008 37"
BUILT: Final = {
    "sptp_sync_v6": f"sync 46495 {T4}",
    "sptp_sync_v4_trailer": f"sync 26619 {T4}",
    "sptp_announce_v6": f"announce 46495 {T1} {CF2} 0 {QUALITY}",
    "sptp_announce_v4_trailer": f"announce 26619 {T1} 0 0 {QUALITY}",
    "sptp_announce_cf_negative": f"announce 9 {T1} -16384000 0 {QUALITY}",
    "sptp_announce_holdover": "announce 11 1790000000000000001 0 0 8 7 35 23008 37",
    "sptp_announce_uncalibrated": "announce 12 1790000000000000001 0 0 8 52 254 23008 37",
    "ptp_sync_twostep": "sync 0 0",
    "ptp_follow_up": "follow_up 0 1790000000999999999 0",
    "ptp_announce": f"announce 4 0 0 0 {QUALITY}",
    "sig_grant_announce": "grant 0c42a1fffe6d7ca6 1 0 11 0 300",
    "sig_grant_sync_128": "grant 0c42a1fffe6d7ca6 1 1 0 -7 300",
    "sig_grant_denied": "grant 0c42a1fffe6d7ca6 1 2 0 -7 0",
    "sig_grant_two_tlvs": "grant 0c42a1fffe6d7ca6 1 3 0 -4 60 9 -4 60",
    "sig_cancel_from_grantor": "cancel 0c42a1fffe6d7ca6 1 5 11",
}
TRANSPARENT_CLOCK: Final = {"sptp_sync_v6", "ptp_follow_up"}
"""As seen behind a transparent clock, which wrote into correctionField."""


@pytest.mark.parametrize("name", sorted(BUILT))
def test_built_messages_are_the_vectors(build: Build, vectors: list[dict[str, Any]], name: str) -> None:
    (vector,) = [v for v in vectors if v["name"] == name]
    expected = bytearray.fromhex(vector["hex"])
    del expected[len(expected) - vector["trailer_bytes"] :]
    if name in TRANSPARENT_CLOCK:
        expected[8:16] = bytes(8)
    output = run(build("wire_driver", ADDRESS), SERVER_IDENTITY, stdin=BUILT[name] + "\n").strip()
    assert output == expected.hex()


def test_a_delay_resp_echoes_its_request(build: Build, vectors: list[dict[str, Any]]) -> None:
    by_name = {v["name"]: v["hex"] for v in vectors}
    request = bytearray.fromhex(by_name["ptp_delay_req"])
    request[8:16] = (0x18A90000).to_bytes(8, "big")  # what transparent clocks added
    command = f"delay_resp {request.hex()} 1790000000000000077\n"
    output = run(build("wire_driver", ADDRESS), SERVER_IDENTITY, stdin=command).strip()
    assert output == by_name["ptp_delay_resp"]


def test_no_byte_sequence_upsets_the_decoder(build: Build, vectors: list[dict[str, Any]]) -> None:
    """Mutated vectors and noise, each in a buffer of exactly its size."""
    source = random.Random(1)
    seeds = [bytes.fromhex(v["hex"]) for v in vectors if v["transport"] != "uds"]
    datagrams = []
    for _ in range(4000):
        data = bytearray(source.choice(seeds))
        for _ in range(source.randrange(4)):
            data[source.randrange(len(data))] = source.randrange(256)
        del data[source.randrange(1, len(data) + 40) :]
        datagrams.append(data.hex())
    verdicts = {found["verdict"] for found in parse_all(build, OTHER_IDENTITY, datagrams)}
    assert {"ok", "size", "length", "tlv", "trailer"} <= verdicts


@pytest.mark.parametrize("scenario", ["late", "jump", "step", "stamps", "failed-send", "hardware"])
@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD])
def test_server_scenario(build: Build, sanitizer: str, scenario: str) -> None:
    run(build("server_driver", sanitizer), *free_ports(), scenario)


@pytest.mark.parametrize(("sanitizer", "rounds"), [(ADDRESS, 60_000), (THREAD, 15_000)])
def test_server_survives_fuzzing(
    build: Build, vectors: list[dict[str, Any]], sanitizer: str, rounds: int
) -> None:
    seeds = "".join(f"{v['hex']}\n" for v in vectors if v["transport"] != "uds")
    output = run(build("server_driver", sanitizer), *free_ports(), "fuzz", str(rounds), stdin=seeds)
    totals = {name: int(value) for name, value in (line.split("=") for line in output.splitlines())}
    assert totals["signaling.granted"] > 0
    assert totals["dropped.tlv"] > 0
