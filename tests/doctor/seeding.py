"""Seeds a fault of ``faults.toml``: an emulated card in virtual time behind a host made of files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pyubx2 import UBXMessage

from tests.doctor.host_tree import ADDRESS, FakeHost, HostOptions, build_host
from timecard.boards import BOARDS, Board, Role
from timecard.card import card_on_bus
from timecard.card_protocols import Card
from timecard.discovery import CardDescriptor, list_cards, vfio_user_card
from timecard.doctor import Surroundings, SystemFacts, examine
from timecard.emulator.eeprom_factory import factory_contents
from timecard.emulator.options import DEFAULT_START_TAI_NS
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.errors import CardPermissionError, RefusedError
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

FAULTS: Final = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))["fault"]
SETTLE_S: Final = 60.0
"""Until the healthy card has a fix and is in sync."""


def examine_fault(fault: Mapping[str, Any], folder: Path) -> SystemFacts:
    """Facts about a machine with this fault."""
    board = fault.get("board", "fb")
    host = build_host(folder, HostOptions(board=board, **fault.get("host", {})))
    seed = fault.get("card", {})
    emulated = None if seed.get("absent") else seeded_card(board, {**seed, "folder": folder})
    return examine_host(host, emulated)


def seeded_card(board: str, seed: Mapping[str, Any]) -> InProcessCard:
    """A card that runs, with what ``seed`` does to it."""
    options = dict(seed.get("options", {}))
    if "eeprom" in seed:
        options["eeprom_file"] = _eeprom_file(BOARDS[board], seed["eeprom"], seed["folder"])
    if not BOARDS[board].has("tod"):
        # Nothing in hardware gives such a card its date: whoever uses it has loaded the time before.
        options["clock_start_tai_ns"] = DEFAULT_START_TAI_NS
    emulated = build_in_process(board=board, **options)
    timebase = emulated.timebase
    card = card_on_bus(emulated.bus, timebase)
    if seed.get("configure"):
        UbloxReceiver(card.serial(Role.GNSS), timebase, UbloxOptions()).start()
    timebase.sleep_s(SETTLE_S)
    if "receiver_baud" in seed:
        values = [("CFG_UART1_BAUDRATE", seed["receiver_baud"])]
        stream = card.serial(Role.GNSS)
        stream.write(UBXMessage.config_set(1, 0, values).serialize())
        stream.read(1, 1.0)
    for injected in seed.get("inject", ()):
        emulated.inject(injected["fault"], **{k: v for k, v in injected.items() if k != "fault"})
    for name, value in seed.get("registers", {}).items():
        block, register = name.strip().split(".")
        emulated.bus.write32(emulated.bus.board.at(block, register), value)
    if "step_s" in seed:
        card.clock.step_ns(seed["step_s"] * NS_PER_S)
    timebase.sleep_s(seed.get("run_s", 0.0))
    return emulated


def _eeprom_file(board: Board, chips: Mapping[str, str], folder: Path) -> Path:
    """Contents for the emulator's ``eeprom_file``: as from the factory but for the chips named."""
    contents = {f"{address:#x}": bytearray(image) for address, image in factory_contents(board).items()}
    for address, state in chips.items():
        if state == "blank":
            contents[address] = bytearray(b"\xff" * len(contents[address]))
        else:  # damaged: one bit of the serial number's field
            field = board.i2c.fields["serial"]
            contents[address][field.offset] ^= 0x01
    file = folder / "eeprom.json"
    file.write_text(
        json.dumps({address: image.hex() for address, image in contents.items()}), encoding="ascii"
    )
    return file


def examine_host(host: FakeHost, emulated: InProcessCard | None) -> SystemFacts:
    """Examine a host made of files whose card, if it can be opened, is ``emulated``."""
    facts = examine(list_cards(sysfs=host.root / "sys"), around(host, emulated))
    known = replace(facts.host, tai_offset_s=host.options.kernel_tai_offset_s)
    return replace(facts, host=known)


def around(host: FakeHost, emulated: InProcessCard | None) -> Surroundings:
    """This host, on which every card that is opened is ``emulated``, or none can be opened."""

    def opener(choice: CardDescriptor, timebase: Timebase) -> Card:
        if emulated is not None:
            return card_on_bus(emulated.bus, timebase)
        if host.user.uid:
            raise CardPermissionError(choice.address, "open", "Permission denied")
        raise RefusedError(choice.address, "open", "it cannot be opened")

    if emulated is None:
        return Surroundings(root=host.root, user=host.user, opener=opener)
    return Surroundings(
        root=host.root,
        user=host.user,
        opener=opener,
        timebase=emulated.timebase,
        realtime_ns=lambda: emulated.truth().host_realtime_ns,
    )


def examine_card_of(emulated: InProcessCard, root: Path) -> SystemFacts:
    """Examine a card behind a socket: there is no PCI device on this host."""
    host = build_host(root, HostOptions(present=False))
    return examine([vfio_user_card(root / "card.sock")], around(host, emulated))


__all__ = ["ADDRESS", "FAULTS", "around", "examine_card_of", "examine_fault", "examine_host", "seeded_card"]
