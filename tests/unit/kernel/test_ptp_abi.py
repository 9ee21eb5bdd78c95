"""Request numbers and structures against the data sheet and against the kernel's own header."""

from __future__ import annotations

import ctypes
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from timecard.kernel import mtd
from timecard.kernel import ptp_abi as abi

HEADER = Path("/usr/include/linux/ptp_clock.h")
REQUESTS = [name for name in vars(abi) if name.startswith("PTP_")]
PROGRAM = r"""
#include <stdio.h>
#include <stddef.h>
#include <sys/timex.h>
#include <linux/ptp_clock.h>
#include <mtd/mtd-user.h>
#define AT(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(struct type, field))
int main(void) {
    @PRINTS@
    printf("MEMGETINFO %lu\nMEMERASE %lu\n", (unsigned long)MEMGETINFO, (unsigned long)MEMERASE);
    printf("timex %zu\n", sizeof(struct timex));
    AT(timex, freq); AT(timex, time.tv_sec); AT(timex, time.tv_usec); AT(timex, tai);
    AT(ptp_perout_request, period); AT(ptp_perout_request, index); AT(ptp_perout_request, flags);
    AT(ptp_perout_request, on); AT(ptp_pin_desc, func); AT(ptp_pin_desc, chan);
    AT(ptp_clock_caps, cross_timestamping); AT(ptp_extts_event, index); AT(ptp_sys_offset_extended, ts);
    AT(ptp_sys_offset_precise, sys_monoraw);
    printf("event %zu\n", sizeof(struct ptp_extts_event));
    return 0;
}
"""


def test_the_numbers_are_those_of_the_data_sheet(shared_dir: Path) -> None:
    facts = json.loads((shared_dir / "reference/time-card-registers.json").read_text())
    wanted = facts["phc"]["ioctls_lp64"]
    assert {name: getattr(abi, name) for name in REQUESTS} == {name: wanted[name] for name in REQUESTS}


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the C compiler makes of the kernel's header."""
    if not HEADER.exists() or shutil.which("cc") is None:
        pytest.skip("no C compiler, or no kernel headers")
    folder = tmp_path_factory.mktemp("abi")
    prints = "".join(f'printf("{name} %lu\\n", (unsigned long){name});' for name in REQUESTS)
    (folder / "abi.c").write_text(PROGRAM.replace("@PRINTS@", prints))
    subprocess.run(["cc", "-o", folder / "abi", folder / "abi.c"], check=True, timeout=60)
    lines = subprocess.run([folder / "abi"], check=True, capture_output=True, text=True, timeout=10).stdout
    return {name: int(value) for name, value in (line.split() for line in lines.splitlines())}


def test_the_numbers_are_those_of_the_header(header: dict[str, int]) -> None:
    assert {name: getattr(abi, name) for name in REQUESTS} == {name: header[name] for name in REQUESTS}
    assert header["MEMGETINFO"] == mtd.MEMGETINFO
    assert header["MEMERASE"] == mtd.MEMERASE


def test_the_fields_are_where_the_header_has_them(header: dict[str, int]) -> None:
    timex = abi.Timex
    assert ctypes.sizeof(timex) == header["timex"]
    assert timex.freq.offset == header["timex.freq"]
    assert timex.time_sec.offset == header["timex.time.tv_sec"]
    assert timex.time_usec.offset == header["timex.time.tv_usec"]
    assert timex.tai.offset == header["timex.tai"]
    perout = abi.PEROUT.pack(1, 2, 3, 4, 5, 6, 7, 8)
    for field, value in (("period", 3), ("index", 5), ("flags", 6), ("on", 7)):
        assert struct.unpack_from("=I", perout, header[f"ptp_perout_request.{field}"])[0] == value
    pin = abi.PIN.pack(b"sma1", 1, 2, 3)
    assert struct.unpack_from("=II", pin, header["ptp_pin_desc.func"]) == (2, 3)
    assert header["ptp_pin_desc.chan"] == header["ptp_pin_desc.func"] + 4
    caps = struct.pack("=8i48x", *range(8))
    assert abi.CAPS.unpack(caps)[6] * 4 == header["ptp_clock_caps.cross_timestamping"]
    assert abi.EVENT.size == header["event"]
    assert struct.unpack_from("=I", abi.EVENT.pack(1, 2, 3, 4), header["ptp_extts_event.index"])[0] == 3
    assert abi.SAMPLES_HEADER.size == header["ptp_sys_offset_extended.ts"]
    assert 2 * abi.TIME.size == header["ptp_sys_offset_precise.sys_monoraw"]


def test_a_dynamic_clock_id_is_that_of_the_kernel() -> None:
    # FD_TO_CLOCKID of Documentation/driver-api/ptp.rst for descriptor 3.
    assert abi.clock_id(3) == (~3 << 3) | 3 == -29
