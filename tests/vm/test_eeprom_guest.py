"""Stock ``at24`` on stock I2C drivers reads and writes the virtual card's EEPROMs; then our masters do.

ART has the OpenCores core, whose driver Debian builds; for the Facebook card's AXI IIC the module is built
from Debian's source of 6.12. Neither driver knows of us: that they agree with our masters is the point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.build_modules import built_modules
from tests.vm.card import CardProcess, card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware
from timecard.boards import ART, BOARDS, FB, Board
from timecard.emulator.eeprom_factory import factory_contents

Setup = tuple[Guest, Board, Path, CardProcess]
OCP = "/sys/class/timecard/ocp0"
BUS = "/sys/bus/i2c/devices"
ADDRESS = "0000:01:00.0"
EUI48 = "02:ac:cd:11:22:33"
BEFORE_CARD = ("at24", "i2c-ocores", "i2c-dev")


@pytest.fixture(scope="module", params=["art-6.12", "art-7", "fb-6.12"])
def setup(
    request: pytest.FixtureRequest, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    """A guest with one card, and the file in which the card keeps its EEPROMs."""
    name, kernel = str(request.param).split("-")
    board = BOARDS[name]
    file = tmp_path_factory.mktemp("eeprom") / "eeprom.json"
    options = ("--board", name, "--eeprom-file", str(file), "--eeprom-serial", EUI48, "--strict")
    with (
        card_processes(options) as (card,),
        Guest.boot(machine, kernel, Hardware(cards=(card.path,)), modules=BEFORE_CARD) as guest,
    ):
        if board is FB:
            guest.write("/tmp/i2c-xiic.ko", (built_modules(machine) / "i2c-xiic.ko").read_bytes())
            guest.run("insmod /tmp/i2c-xiic.ko")
        guest.load("ptp_ocp")
        yield guest, board, file, card


def stored(file: Path, board: Board) -> dict[int, bytes]:
    """What the chips hold: the file is written when a page is."""
    if not file.exists():
        return factory_contents(board, EUI48)
    return {int(at, 16): bytes.fromhex(text) for at, text in json.loads(file.read_text()).items()}


def test_the_driver_reads_what_is_stored(setup: Setup) -> None:
    guest, board, file, _ = setup
    expected = stored(file, board)
    memory = guest.run(f"cat {BUS}/0-0050/eeprom", limit_s=120).output
    assert memory == expected[0x50]
    serial = board.i2c.fields["serial"]
    raw = expected[serial.chip][serial.offset : serial.offset + serial.size]
    assert guest.run(f"cat {OCP}/serialnum").stdout.strip() == raw.hex(":")
    if board is FB:
        assert guest.run(f"cat {BUS}/0-0058/eeprom").output == raw
    field = board.i2c.fields["board_id"]
    board_id = expected[field.chip][field.offset : field.offset + field.size].rstrip(b"\0").decode()
    assert f"board.id {board_id}" in guest.run("devlink dev info").stdout
    log = guest.kernel_log()
    assert "could not read eeprom" not in log
    assert "timed out" not in log


def test_a_board_without_the_part_shows_none(setup: Setup) -> None:
    guest, *_ = setup
    assert guest.run("i2cget -y 0 0x22 0", check=False).status != 0
    assert guest.run("i2cget -f -y 0 0x50 0x00").status == 0, "the bus is free again"


def test_what_the_driver_writes_is_stored(setup: Setup) -> None:
    guest, board, file, _ = setup
    data = bytes(range(0x30, 0x30 + 40))
    guest.run(f"dd of={BUS}/0-0050/eeprom bs=1 seek=5 conv=notrunc", data=data, limit_s=120)
    assert stored(file, board)[0x50][5:45] == data
    if board is not FB:
        areas = {
            "disciplining_config": bytes(range(144)),
            "temperature_table": bytes(i % 251 for i in range(368)),
        }
        for name, contents in areas.items():
            field = board.i2c.fields[name]
            guest.run(f"cat >{OCP}/{name}", data=contents, limit_s=120)
            assert stored(file, board)[0x50][field.offset : field.offset + field.size] == contents
            assert guest.run(f"cat {OCP}/{name}", limit_s=120).output == contents
        factory = factory_contents(board, EUI48)[0x50]
        for name in areas:
            field = board.i2c.fields[name]
            guest.run(
                f"cat >{OCP}/{name}", data=factory[field.offset : field.offset + field.size], limit_s=120
            )
    else:
        guest.run(f"dd of={BUS}/0-0050/eeprom bs=1 seek=5 conv=notrunc", data=b"\xff" * 40, limit_s=120)
    assert stored(file, board) == factory_contents(board, EUI48)


def test_our_masters_read_and_write_the_same(setup: Setup) -> None:
    guest, board, file, card = setup
    commands = ("show --json", "backup /tmp/backup.json", "restore --identity /tmp/backup.json")
    bound, _, restored = run_commands(guest, *commands, coarse=4_186_611 if board is ART else None)
    if board is ART:
        assert restored.startswith("restored and read back: disciplining_config")
        assert stored(file, board)[0x50][112:116] == (4_186_611).to_bytes(4, "little")
    guest.run(f"echo {ADDRESS} >/sys/bus/pci/drivers/ptp_ocp/unbind")
    guest.run(f"echo 1 >/sys/bus/pci/devices/{ADDRESS}/enable")
    narrow_before = card.ask(do="status")["narrow_accesses"]
    try:
        shown, _, restored = run_commands(guest, *commands, coarse=4_186_612 if board is ART else None)
        status = card.ask(do="status")
        assert status["narrow_accesses"] == narrow_before, "our masters use whole words only"
    finally:
        guest.run(f"echo {ADDRESS} >/sys/bus/pci/drivers/ptp_ocp/bind", check=False)
    facts = json.loads(shown)
    assert facts["problems"] == []
    assert facts["board"] == board.name
    # The kernel driver does not show the card's own protection line.
    same = {"board", "serial", "board_id", "fields", "problems"}
    seen_bound = json.loads(bound)
    if board is ART:
        assert facts["parameters"]["disciplining_config"].pop("coarse_equilibrium") == 4_186_611
        assert seen_bound["parameters"]["disciplining_config"].pop("coarse_equilibrium") == -1
        assert facts["parameters"] == seen_bound["parameters"]
    assert {name: facts[name] for name in same} == {name: seen_bound[name] for name in same}
    if board is FB:
        assert facts["serial"] == EUI48
        assert "nothing was written" in restored
        return
    assert facts["serial"] == stored(file, board)[0x50][0x260:0x269].decode()
    assert restored.startswith("restored and read back: disciplining_config")
    assert stored(file, board)[0x50][112:116] == (4_186_612).to_bytes(4, "little")
    config = guest.run(f"cat {OCP}/disciplining_config", limit_s=120).output
    assert config == stored(file, board)[0x50][:144], "the stock driver reads what we wrote"


def run_commands(guest: Guest, *commands: str, coarse: int | None) -> list[str]:
    """Output of ``timecard eeprom`` commands, in one process; before the last, the backup may be edited."""
    script = f"""
import contextlib, io, json, pathlib
from timecard.cli.main import main
said = []
for number, command in enumerate({list(commands)!r}):
    if {coarse!r} is not None and number == {len(commands) - 1}:
        path = pathlib.Path("/tmp/backup.json")
        values = json.loads(path.read_text())
        values["parameters"]["disciplining_config"]["coarse_equilibrium"] = {coarse!r}
        del values["hex"]["disciplining_config"], values["hex"]["temperature_table"]
        path.write_text(json.dumps(values))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(["eeprom", *command.split()])
    assert status == 0, command
    said.append(out.getvalue())
print(json.dumps(said))
"""
    said: list[str] = json.loads(guest.python(script, limit_s=300).stdout)
    return said
