"""Whatever is wrong with an image, it does not get into the card: a table, and mutations of a good one."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.firmware.firmware_world import CARD_ID, CellFlash, firmware, pin_for, updater, world
from timecard.boards import BOARDS
from timecard.card_values import ImageVersion
from timecard.emulator.spi_flash_images import make_image
from timecard.errors import RefusedError
from timecard.firmware.bitstream import IDCODES, SYNC
from timecard.firmware.header import crc16, with_header
from timecard.firmware.image import check_file
from timecard.firmware.pins import Pin, make_pin
from timecard.firmware.update import FirmwareUpdate

GOOD = firmware()
PAYLOAD = GOOD[16:]
FB = BOARDS["fb"]
Make = Callable[[], bytes]


def headered(payload: bytes, vendor: int = 0x1D9B, device: int = 0x0400) -> bytes:
    return with_header(payload, vendor, device)


def with_size(size: int) -> bytes:
    return GOOD[:8] + struct.pack(">I", size) + GOOD[12:]


def with_idcode(idcode: int) -> bytes:
    return headered(PAYLOAD.replace(struct.pack(">I", IDCODES["xc7a100t"]), struct.pack(">I", idcode), 1))


def big(size: int) -> bytes:
    return headered(PAYLOAD + b"\xff" * (size - len(PAYLOAD)))


BAD_FILES: dict[str, tuple[Make, str]] = {
    "empty": (lambda: b"", "empty"),
    "header only": (lambda: GOOD[:16], "truncated"),
    "half a header": (lambda: GOOD[:9], "no OCPC header"),
    "raw bitstream": (lambda: PAYLOAD, "raw bitstream.*pack"),
    "raw, unknown": (lambda: bytes(9000), "no OCPC header"),
    ".bit file": (lambda: b"\x00\x09\x0f\xf0\x0f\xf0" + PAYLOAD, r"\.bit"),
    ".mcs file": (lambda: b":020000040000FA\n" * 400, "hex"),
    "gzip": (lambda: gzip.compress(GOOD), "gzip"),
    "zip": (lambda: b"PK\x03\x04" + GOOD, "ZIP"),
    "xz": (lambda: b"\xfd7zXZ\x00" + GOOD, "xz"),
    "magic in lower case": (lambda: b"ocpc" + GOOD[4:], "no OCPC header"),
    "little-endian header": (
        lambda: struct.pack("<4sHHIHH", b"OCPC", 0x1D9B, 0x0400, len(PAYLOAD), 0, crc16(PAYLOAD)) + PAYLOAD,
        "truncated|too long",
    ),
    "truncated by a byte": (lambda: GOOD[:-1], "truncated"),
    "truncated to a half": (lambda: GOOD[: len(GOOD) // 2], "truncated"),
    "truncated to a sector": (lambda: GOOD[: 16 + 4096], "truncated"),
    "a byte too many": (lambda: GOOD + b"\x00", "too long"),
    "twice": (lambda: GOOD + GOOD, "too long"),
    "size 0": (lambda: with_size(0), "too long"),
    "size of the file": (lambda: with_size(len(GOOD)), "truncated"),
    "size 4 GiB - 1": (lambda: with_size(0xFFFF_FFFF), "truncated"),
    "too small to be an image": (lambda: headered(PAYLOAD[:4092]), "no FPGA image"),
    "wrong CRC": (lambda: GOOD[:14] + bytes((GOOD[14] ^ 1, GOOD[15])) + GOOD[16:], "damaged"),
    "CRC of the whole file": (lambda: GOOD[:14] + struct.pack(">H", crc16(GOOD)) + GOOD[16:], "damaged"),
    "one bit of the payload": (lambda: GOOD[:9000] + bytes((GOOD[9000] ^ 0x10,)) + GOOD[9001:], "damaged"),
    "two bytes swapped": (lambda: GOOD[:9000] + GOOD[9001:9002] + GOOD[9000:9001] + GOOD[9002:], "damaged"),
    "other vendor": (lambda: headered(PAYLOAD, 0x1AD7, 0xA000), "1ad7:a000.*1d9b:0400"),
    "other device": (lambda: headered(PAYLOAD, 0x1D9B, 0x0401), "1d9b:0401"),
    "vendor and device swapped": (lambda: headered(PAYLOAD, 0x0400, 0x1D9B), "0400:1d9b"),
    "blank FPGA's id": (lambda: headered(PAYLOAD, 0x10EE, 0x7011), "10ee:7011"),
    "Celestica's": (lambda: firmware("celestica"), "18d4:1008"),
    "ART's": (lambda: firmware("art"), "1ad7:a000"),
    "ADVA's": (lambda: firmware("adva"), "ad5a:0400"),
    "ADVA x1's": (lambda: firmware("adva-x1"), "ad5a:0410"),
    "header twice": (lambda: headered(GOOD[:16] + bytes(8192)), "no sync word"),
    "blank": (lambda: headered(b"\xff" * 8192), "no sync word"),
    "zeros": (lambda: headered(bytes(8192)), "no sync word"),
    "sync word too late": (lambda: headered(b"\xff" * 0x8000 + PAYLOAD), "no sync word"),
    "for a 200T": (lambda: firmware(fpga="xc7a200t"), "xc7a200t.*xc7a100t"),
    "for another FPGA": (lambda: with_idcode(0x0364_7093), "0x03647093"),
    "without FPGA id": (lambda: headered(SYNC + bytes.fromhex("20000000") * 2000), "does not say which"),
    "a golden image": (
        lambda: headered(make_image(FB, 0, 33, size=20_000, golden=True)),
        "golden image",
    ),
    "a dump of the whole flash": (lambda: big((3 << 21) + 4), "at most"),
    "larger than any bitstream for the FPGA": (lambda: big(3_825_788 + 0x1_0004), "at most 3825788"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_image_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    make, reason = BAD_FILES[name]
    data = make()
    bus = world()
    before = bus.chip.memory.dump()
    # Approved: what is wrong with it is all that keeps it out.
    with pytest.raises(RefusedError, match=reason):
        updater(bus, tmp_path).apply(data, "bad.bin", pin_for(data))
    assert bus.chip.operations == 0
    assert bus.chip.memory.dump() == before
    assert not list(tmp_path.rglob("image-*"))


def test_the_good_one_is_taken(tmp_path: Path) -> None:
    bus = world()
    assert updater(bus, tmp_path).apply(GOOD, "good.bin", pin_for(GOOD)).version == "0.33"


BAD_PINS: dict[str, tuple[Pin | None, str]] = {
    "none": (None, f"not pinned.*{hashlib.sha256(GOOD).hexdigest()}"),
    "of another file": (pin_for(GOOD + b"\x00"), "not pinned"),
    "of the header": (pin_for(GOOD[:16]), "not pinned"),
    "for another board": (pin_for(GOOD, boards=("celestica", "art")), "pinned for celestica, art"),
    "a Production image on a SOM card (E17)": (pin_for(GOOD, version="1.33"), "version 1.33.*vanishes"),
    "an ART image's tag": (pin_for(GOOD, version="2.33"), "version 2.33"),
}


@pytest.mark.parametrize("name", BAD_PINS)
def test_a_pin_that_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    pin, reason = BAD_PINS[name]
    bus = world()
    with pytest.raises(RefusedError, match=reason):
        updater(bus, tmp_path).apply(GOOD, "good.bin", pin)
    assert bus.chip.operations == 0


def test_the_pin_may_name_file_or_payload(tmp_path: Path) -> None:
    bus = world()
    pin = make_pin(hashlib.sha256(PAYLOAD).hexdigest().upper(), "0.33")
    assert updater(bus, tmp_path).apply(GOOD, "good.bin", pin).sectors_written == 5


# board, board id in the EEPROM, tag that runs, tag of the image, taken
KINDS = [
    ("fb", None, 0, 0, True),
    ("fb", None, 1, 0, False),
    ("fb", None, 1, 1, True),
    ("fb", None, None, 0, False),
    ("fb", None, None, 1, False),
    ("fb", "R4006-0001", 0, 1, True),
    ("fb", "R4006-0001", 0, 0, False),
    ("fb", "V9", 0, 1, False),
    ("fb", "V9", None, 0, True),
    ("fb", "V9", 1, 0, False),
    ("fb", "V9", 1, 1, True),
    ("litepcie", "V9", 0, 1, False),
    ("celestica", None, None, 1, True),
    ("celestica", None, 0, 0, False),
    ("celestica", "R4006X", 1, 1, True),
    ("celestica", "R4007", 1, 1, True),
    ("celestica", "V9", 1, 0, False),
    ("art", None, None, 2, True),
    ("art", "R4006", 2, 1, False),
    ("adva", None, None, 3, True),
    ("adva", None, 3, 0, False),
    ("adva-x1", None, None, 3, True),
]


@pytest.mark.parametrize(("board", "board_id", "running", "tag", "taken"), KINDS)
def test_images_for_som_and_production_cards_are_kept_apart(
    board: str, board_id: str | None, running: int | None, tag: int, taken: bool, tmp_path: Path
) -> None:
    bus = world(board)
    data = firmware(board)
    update = updater(bus, tmp_path, board_id=board_id)
    version = None if running is None else ImageVersion(loader=False, tag=running, number=9)
    update._card = dataclasses.replace(update._card, running=version)
    plan = update.plan(check_file("x", data), pin_for(data, board, version=f"{tag}.33"))
    assert (not plan.refusals) is taken, plan.refusals


def test_a_200t_card_takes_200t_images_at_their_own_place(tmp_path: Path) -> None:
    bus = world(fpga="xc7a200t")
    data = firmware(fpga="xc7a200t")
    with pytest.raises(RefusedError, match=r"xc7a100t.*xc7a200t"):
        updater(bus, tmp_path).apply(GOOD, "small.bin", pin_for(GOOD))
    below = bus.chip.memory.read(0, 0x80_0000)
    updater(bus, tmp_path).apply(data, "new.bin", pin_for(data))
    assert bus.chip.memory.read(0x80_0000, len(data) - 16) == data[16:]
    assert bus.chip.memory.read(0, 0x80_0000) == below
    booted = bus.booted()
    assert booted is not None
    assert (booted.golden, booted.number) == (False, 33)


UPDATE = FirmwareUpdate(CellFlash(world()), FB, CARD_ID, Path("/nonexistent"), board_id="V9")


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_mutation_of_a_pinned_image_is_accepted(data: st.DataObject) -> None:
    pin = pin_for(GOOD)
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "header", "swap"]))
    mutant = bytearray(GOOD)
    at = data.draw(st.integers(0, len(GOOD) - 1))
    if kind == "flip":
        mutant[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del mutant[at : at + data.draw(st.integers(1, 5000))]
    elif kind == "insert":
        mutant[at:at] = data.draw(st.binary(min_size=1, max_size=100))
    elif kind == "header":
        # An attacker repairs the header; only the pin is left.
        payload = bytearray(PAYLOAD)
        payload[at % len(payload)] ^= data.draw(st.integers(1, 255))
        mutant = bytearray(headered(bytes(payload)))
    else:
        other = data.draw(st.integers(0, len(GOOD) - 1))
        mutant[at], mutant[other] = mutant[other], mutant[at]
    if bytes(mutant[16:]) == PAYLOAD and mutant[:12] == GOOD[:12] and mutant[14:16] == GOOD[14:16]:
        return  # the same image; its hardware revision is nobody's business
    with pytest.raises(RefusedError):
        UPDATE.apply(bytes(mutant), "mutant.bin", pin)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(RefusedError):
        check_file("fuzz", data)
    with pytest.raises(RefusedError):
        check_file("fuzz", b"OCPC" + data)
