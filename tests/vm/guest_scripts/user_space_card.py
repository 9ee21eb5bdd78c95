"""In the guest: a card without kernel driver, by ``resource0`` or by VFIO; facts as one line of JSON."""

import itertools
import json
import select
import sys
from pathlib import Path

from timecard.boards import Role
from timecard.card import find_card, open_card
from timecard.card_values import Access, GeneratorSettings
from timecard.cli.common import Choice
from timecard.pcie.register_card import RegisterCard
from timecard.pcie.vfio import VfioBus
from timecard.timebase import HostTimebase
from timecard.values import EdgeStamp

ADDRESS, WAY = sys.argv[1], Access(sys.argv[2])
PCI = Path("/sys/bus/pci")
DEVICE = PCI / "devices" / ADDRESS
S = 1_000_000_000


def write(path: Path, text: str) -> None:
    path.write_text(text)


def bind() -> None:
    """Hand the card over to whoever is to have it."""
    if (DEVICE / "driver").exists():
        write(DEVICE / "driver/unbind", ADDRESS)
    write(DEVICE / "driver_override", "vfio-pci" if WAY is Access.VFIO else "\n")
    if WAY is Access.VFIO:
        write(PCI / "drivers_probe", ADDRESS)
    elif (DEVICE / "enable").read_text().strip() == "0":
        write(DEVICE / "enable", "1")


def main() -> None:
    bind()
    timebase = HostTimebase()
    descriptor = find_card(Choice(id=None, vfio_user=None, pci=ADDRESS))
    with open_card(descriptor, timebase) as card:
        assert isinstance(card, RegisterCard)
        facts = card.facts()
        told: dict[str, object] = {
            "access": card.access.value,
            "id": card.id,
            "image": facts.image_version,
            "sma": dict(facts.sma),
            "missing": sorted(card.missing()),
        }
        servo = "steering" not in card.missing()
        if servo:
            card.clock.select_source("REGS")
        stamps = [card.clock.cross_timestamp() for _ in range(20)]
        told["method"] = sorted({stamp.method for stamp in stamps})
        offsets = [stamp.card_tai_ns - stamp.mono_raw_ns for stamp in stamps]
        told["spread_ns"] = max(offsets) - min(offsets)
        told["half_width_ns"] = max(stamp.half_width_ns for stamp in stamps)
        told["span_ns"] = stamps[-1].mono_raw_ns - stamps[0].mono_raw_ns
        card.clock.step_ns(5 * S)
        told["stepped_ns"] = card.clock.now_tai_ns() - stamps[-1].card_tai_ns

        edge = card.timestamper("ts5")
        edge.enable()
        told["wakes"] = edge.wakes
        seen: list[EdgeStamp] = []
        deadline_ns = timebase.mono_ns() + 8 * S
        while len(seen) < 2 and timebase.mono_ns() < deadline_ns:
            edge.wait(2.0 if edge.wakes else 0.02)
            stamp = edge.poll()
            if stamp is not None:
                seen.append(stamp)
        told["edges"] = [b.card_tai_ns - a.card_tai_ns for a, b in itertools.pairwise(seen)]
        edge.disable()

        stream = card.serial(Role.GNSS)
        heard = b""
        deadline_ns = timebase.mono_ns() + 8 * S
        while b"\xb5b" not in heard and timebase.mono_ns() < deadline_ns:
            heard += stream.read(4096, 1.0)
        told["receiver"] = b"\xb5b" in heard

        if card.board.generators:
            state = card.generator(1).start(GeneratorSettings(period_ns=S, pulse_ns=S // 2))
            told["generator"] = state.running and state.start_tai_ns % S == 0
            card.generator(1).stop()
        connector = card.sma.read()[2]
        card.sma.set(3, "out", ["GNSS1"])
        told["routed"] = str(card.sma.read()[2])
        card.sma.set(3, connector.direction, connector.functions)
        identity = card.identity()
        told["serial"], told["board_id"] = identity.serial, identity.board_id
        flash = card.flash()
        told["flash"] = [flash.size, len(flash.read(card.board.flash.update_start, 256))]
        told["lost"] = card.lost
        if isinstance(card.bus, VfioBus):
            told["noiommu"] = card.bus.noiommu
            fd = card.bus.irq_eventfd(card.board.blocks["pps"].vector or 0)
            card.timestamper("ts5").enable()
            told["interrupt"] = bool(select.select([fd], [], [], 3.0)[0])
    print(json.dumps(told))


main()
