"""A rate that the card's own UART cannot make: refused before the receiver has heard of it."""

from __future__ import annotations

import pytest

from tests.unit.gnss.rated_wire import RatedWire, wire_to
from timecard.boards import Role
from timecard.card import card_on_bus
from timecard.emulator.virtual_card import build_in_process
from timecard.errors import DeviceTimeoutError, RefusedError
from timecard.gnss.detect import detect
from timecard.gnss.intent import GnssIntent
from timecard.gnss.line_rate import try_rate
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.receivers.septentrio_dialogue import SeptentrioReceiver
from timecard.pcie.uart import UartStream

KINDS = ("f9t", "m8t", "mosaic")


def on_a_card(kind: str) -> tuple[UbloxReceiver | SeptentrioReceiver, UartStream]:
    """A receiver behind the emulated 16550 of a card, over the UART driver of the product."""
    virtual = build_in_process(receiver=kind)
    card = card_on_bus(virtual.bus, virtual.timebase)
    virtual.timebase.sleep_s(5)
    stream = card.serial(Role.GNSS)
    assert isinstance(stream, UartStream)
    receiver = detect(stream, virtual.timebase).driver.open(stream, virtual.timebase, None)
    assert isinstance(receiver, UbloxReceiver | SeptentrioReceiver)
    receiver.start()
    return receiver, stream


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_that_the_uart_cannot_make_leaves_the_receiver_as_it_is(kind: str) -> None:
    receiver, stream = on_a_card(kind)
    before, rate = receiver.settings(), stream.baud
    with pytest.raises(RefusedError, match="460800 baud cannot be made from 50000000 Hz"):
        receiver.apply(receiver.plan(GnssIntent(baud=460_800, cable_delay_ns=44)))
    assert stream.baud == rate
    assert receiver.settings() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_that_it_can_make_is_taken(kind: str) -> None:
    receiver, stream = on_a_card(kind)
    rate = 57_600 if kind == "mosaic" else 38_400
    receiver.apply(receiver.plan(GnssIntent(baud=rate)))
    assert stream.baud == rate
    assert receiver.settings().intent.baud == rate


def test_trying_a_rate_sends_nothing_and_ends_where_it_began() -> None:
    wire = wire_to("f9t")
    wire.impossible = frozenset({460_800})
    try_rate(wire, 57_600)
    with pytest.raises(RefusedError, match="not with this clock"):
        try_rate(wire, 460_800)
    assert wire.baud == 115_200
    assert not wire.written


class DeafAtTheNewRate(RatedWire):
    """The receiver hears at 230400 baud, and is not heard."""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        data = super().read(max_bytes, timeout_s)
        return b"" if self.baud == 230_400 else data


def test_a_mosaic_that_is_not_heard_at_the_new_rate_is_told_there_to_go_back() -> None:
    found = wire_to("mosaic")
    wire = DeafAtTheNewRate(found.device, found.time)
    receiver = SeptentrioReceiver(wire, wire.time)
    before = receiver.settings()
    with pytest.raises(DeviceTimeoutError, match="no reply"):
        receiver.apply(receiver.plan(GnssIntent(baud=230_400, cable_delay_ns=44)))
    assert wire.baud == 115_200
    assert receiver.settings() == before
