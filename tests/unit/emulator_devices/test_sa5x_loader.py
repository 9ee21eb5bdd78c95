"""The boot loader of the emulated SA5X, byte by byte: when it listens, what it takes, every error code."""

from __future__ import annotations

from binascii import crc_hqx
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.emulator_devices.part import Bench
from tests.unit.emulator_devices.wire import START_NS
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.sa5x_loader import FirmwareFlash, build_image

OLD = "V1.1.30.0.635AC64C"
IMAGE = build_image("V1.6.5.669A7202", 2_500)
ACK, NAK, EOT, CAN = "\x06", "\x15", b"\x04", b"\x18"


class Loader(Bench):
    """An SA5X and somebody at its port."""

    part: EmulatedSa5x

    def __init__(self, **options: Any) -> None:
        super().__init__(
            lambda oscillator, pulses: EmulatedSa5x(oscillator, pulses, START_NS, seed=1, **options)
        )

    def enter(self) -> None:
        assert self.send("{reset}") == "[>Loading...]\r\n"
        assert self.send("{bsl}") == "[=BSL]\r\n"

    def begin(self) -> None:
        self.enter()
        assert self.send("{upload,cpu}", wait_s=1.0) == "C"

    def upload(self, data: bytes) -> str:
        """Send a whole file; what is said behind the last acknowledgement."""
        self.begin()
        for number in range(-(-len(data) // 1024)):
            assert self.send(packet(number + 1, data[number * 1024 : (number + 1) * 1024])) == ACK
        answer = self.send(EOT, wait_s=0.3)
        assert answer[0] == ACK
        return answer[1:]


def packet(number: int, content: bytes, size: int = 1024) -> bytes:
    content = content.ljust(size, b"\x1a")
    start = bytes((2 if size == 1024 else 1, number & 0xFF, 255 - (number & 0xFF)))
    return start + content + crc_hqx(content, 0).to_bytes(2, "big")


def test_start_up_notices() -> None:
    loader = Loader()
    assert loader.send("{reset}") == "[>Loading...]\r\n"
    assert loader.send("{swrev?}{get,Phase}", wait_s=2.7) == ""
    assert loader.wait(0.5) == "[>Microchip SA5X]\r\n"
    assert loader.send("{swrev?}") == f"[={OLD},V1.0]\r\n"


def test_the_loader_is_entered_directly_after_a_reset_only() -> None:
    loader = Loader()
    assert loader.send("{bsl}") == "[!1]\r\n"
    assert loader.send("{upload,cpu}") == "[!1]\r\n"
    loader.enter()
    assert loader.wait(60) == ""
    assert loader.send("{swrev?}") == "[!1]\r\n"
    assert loader.send("{upload}{upload,fpga}") == "[!2]\r\n[!101]\r\n"
    assert not loader.part.locked
    loader.send("{reset}")
    assert loader.wait(5) == "[>Microchip SA5X]\r\n"
    loader.wait(60)
    assert loader.part.locked


def test_a_file_becomes_the_firmware() -> None:
    loader = Loader()
    assert loader.upload(IMAGE) == "[=1]\r\n"
    loader.send("{reset}")
    assert loader.wait(4) == "[>Microchip SA5X]\r\n"
    assert loader.send("{swrev?}") == "[=V1.6.5.0.669A7202,V1.0]\r\n"


def test_the_receiver_asks_until_it_gives_up() -> None:
    loader = Loader()
    loader.begin()
    assert loader.wait(10) == "C" * 10
    assert loader.wait(60).endswith("C[!311]\r\n")
    assert loader.part.flash.version == OLD
    assert loader.send("{upload,cpu}", wait_s=1.0) == "C"


def test_small_blocks_are_taken_too() -> None:
    loader = Loader()
    loader.begin()
    for number in range(-(-len(IMAGE) // 128)):
        content = IMAGE[number * 128 : (number + 1) * 128]
        assert loader.send(packet(number + 1, content, 128)) == ACK
    assert loader.send(EOT, wait_s=0.3) == ACK + "[=1]\r\n"


def test_a_repeated_block_is_acknowledged_and_not_written_twice() -> None:
    loader = Loader()
    loader.begin()
    assert loader.send(packet(1, IMAGE[:1024]) * 2, wait_s=0.3) == ACK * 2
    assert loader.part.upload is not None
    assert loader.part.upload.blocks == 1


@pytest.mark.parametrize("what", ["crc", "number", "content"])
def test_damaged_blocks_are_refused_ten_times(what: str) -> None:
    loader = Loader()
    loader.begin()
    block = bytearray(packet(1, IMAGE[:1024]))
    block[{"crc": -1, "number": 2, "content": 500}[what]] ^= 1
    for _ in range(9):
        assert loader.send(bytes(block)) == NAK
    assert loader.send(bytes(block), wait_s=0.3) == "[!310]\r\n"
    assert loader.part.flash.version == OLD  # nothing was written yet


def test_a_block_out_of_order_ends_it() -> None:
    loader = Loader()
    loader.begin()
    assert loader.send(packet(2, IMAGE[1024:2048]), wait_s=0.3) == "\x18\x18[!311]\r\n"


def test_a_block_that_stops_is_refused_after_a_second() -> None:
    loader = Loader()
    loader.begin()
    assert loader.send(packet(1, IMAGE[:1024])[:700], wait_s=0.9) == ""
    assert loader.wait(0.3) == NAK
    assert loader.send(packet(1, IMAGE[:1024])) == ACK


def test_the_host_may_cancel() -> None:
    loader = Loader()
    loader.begin()
    assert loader.send(CAN * 2, wait_s=0.3) == "[!311]\r\n"


def test_silence_in_the_middle_ends_with_too_many_tries() -> None:
    loader = Loader()
    loader.begin()
    loader.send(packet(1, IMAGE[:1024]))
    heard = loader.wait(120)
    assert heard == NAK * 9 + "[!310]\r\n"
    assert loader.part.flash.version is None
    loader.send("{reset}")
    assert loader.wait(10) == ""  # no firmware, no notice


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (bytes(3_000), 301),
        (IMAGE[:1000] + b"x" + IMAGE[1001:], 302),
        (build_image("V1.6.5.669A7202", 3_000, platform="sa3x"), 303),
        (build_image("V1.6.5.669A7202", 3_000, target="fpga"), 303),
        (IMAGE[:1024], 304),
    ],
)
def test_wrong_files(image: bytes, code: int) -> None:
    loader = Loader()
    assert loader.upload(image) == f"[!{code}]\r\n"
    assert loader.part.flash.version is None
    assert loader.upload(IMAGE) == "[=1]\r\n"


@pytest.mark.parametrize("code", [320, 321])
def test_flash_faults(code: int) -> None:
    loader = Loader()
    loader.part.flash.fault = code
    loader.begin()
    assert loader.send(packet(1, IMAGE[:1024]), wait_s=0.3) == f"\x18\x18[!{code}]\r\n"


def test_a_power_cut_leaves_a_part_without_firmware() -> None:
    loader = Loader()
    loader.begin()
    loader.send(packet(1, IMAGE[:1024]))
    loader.part.power_cycle(loader.t_ns, off_s=2.0)
    assert loader.send("{swrev?}", wait_s=1.9) == ""
    assert loader.wait(0.2) == "[>Loading...]\r\n"
    assert loader.wait(10) == ""
    assert loader.send("{swrev?}") == "[!1]\r\n"
    assert not loader.part.locked
    assert loader.upload(IMAGE) == "[=1]\r\n"
    loader.send("{reset}")
    loader.wait(60)
    assert loader.part.locked


def test_an_image_needs_room_for_its_footer() -> None:
    with pytest.raises(ValueError, match="too small"):
        build_image("V1.6.5.669A7202", 50)
    assert FirmwareFlash(OLD).check(IMAGE + b"\x1a" * 700) == 0


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=300), st.just(packet(1, IMAGE[:1024]))), max_size=8))
def test_nothing_that_is_sent_keeps_it_from_being_repaired(pieces: list[bytes]) -> None:
    loader = Loader()
    loader.begin()
    for piece in pieces:
        loader.send(piece, wait_s=0.3)
    loader.wait(2)
    loader.send(CAN * 3)
    loader.send("}{reset}")
    loader.wait(200)
    assert loader.upload(IMAGE) == "[=1]\r\n"
