"""The 16550 as the kernel's 8250 driver uses it."""

from __future__ import annotations

from tests.fpga_world import START_NS, EchoDevice
from timecard.emulator.uart16550 import SilentDevice, Uart16550

RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(0, 0x20, 4)
BYTE_NS = 86_400


def opened(device: EchoDevice | SilentDevice) -> Uart16550:
    uart = Uart16550(device, START_NS)
    for reg, value in ((LCR, 0x83), (RBR, 27), (IER, 0), (LCR, 0x03), (IIR, 0xC1)):
        assert uart.write(reg, value, START_NS)
    return uart


def test_reset_values_are_sane_for_an_open() -> None:
    uart = Uart16550(SilentDevice(), START_NS)
    assert uart.read(LSR, START_NS) == 0x60
    assert uart.read(IIR, START_NS) == 0x01
    assert uart.read(MSR, START_NS) == 0xB0
    assert uart.read(RBR, START_NS) == 0
    assert uart.read(0x20, START_NS) is None
    assert uart.read(0x01, START_NS) is None
    assert not uart.write(0x20, 0, START_NS)


def test_divisor_scratch_and_line_control_read_back() -> None:
    uart = opened(SilentDevice())
    uart.write(LCR, 0x83, START_NS)
    assert (uart.read(RBR, START_NS), uart.read(IER, START_NS)) == (27, 0)
    uart.write(SCR, 0x5A, START_NS)
    uart.write(MCR, 0xFF, START_NS)
    assert (uart.read(SCR, START_NS), uart.read(MCR, START_NS)) == (0x5A, 0x1F)


def test_the_transmit_interrupt_rises_when_enabled_and_after_each_batch() -> None:
    uart = opened(EchoDevice())
    raised: list[int] = []
    uart.raise_interrupt = lambda: raised.append(1)
    uart.write(IER, 0x02, START_NS)
    assert len(raised) == 1
    assert uart.read(IIR, START_NS) == 0xC2
    assert uart.read(IIR, START_NS) == 0xC1, "reading it cleared it"
    for byte in b"0123456789abcdef":
        uart.write(RBR, byte, START_NS)
    assert uart.read(LSR, START_NS) == 0x00
    due_ns = uart.next_event_ns(START_NS)
    assert due_ns is not None
    t_ns = START_NS + 16 * BYTE_NS
    uart.poll(t_ns)
    assert len(raised) == 2
    assert uart.read(LSR, t_ns) == 0x60
    assert bytes(uart.device.heard) == b"0123456789abcdef"  # type: ignore[attr-defined]  # the test's own device


def test_a_byte_too_many_for_the_transmit_fifo_is_lost() -> None:
    device = EchoDevice()
    uart = opened(device)
    for byte in range(20):
        uart.write(RBR, byte, START_NS)
    uart.poll(START_NS + 100 * BYTE_NS)
    assert bytes(device.heard) == bytes(range(17))


def test_trigger_level_and_character_timeout() -> None:
    device = EchoDevice(to_say=[(START_NS, bytes(range(20)))])
    uart = opened(device)
    uart.write(IER, 0x01, START_NS)
    assert uart.read(IIR, START_NS + 14 * BYTE_NS - 1) == 0xC1
    t_ns = START_NS + 14 * BYTE_NS
    assert uart.read(IIR, t_ns) == 0xC4
    assert [uart.read(RBR, t_ns) for _ in range(14)] == list(range(14))
    t_ns = START_NS + 20 * BYTE_NS
    assert uart.read(IIR, t_ns) == 0xC1
    t_ns += 4 * BYTE_NS
    assert uart.read(IIR, t_ns) == 0xCC
    assert [uart.read(RBR, t_ns) for _ in range(6)] == list(range(14, 20))
    assert uart.read(IIR, t_ns) == 0xC1


def test_received_data_raise_the_vector_again_while_they_wait() -> None:
    device = EchoDevice(to_say=[(START_NS, b"hello")])
    uart = opened(device)
    raised: list[int] = []
    uart.raise_interrupt = lambda: raised.append(1)
    uart.write(IER, 0x01, START_NS)
    t_ns = START_NS
    for _ in range(20):
        due_ns = uart.next_event_ns(t_ns)
        assert due_ns is not None
        t_ns = due_ns
        uart.poll(t_ns)
    assert len(raised) > 3
    for _ in range(5):
        uart.read(RBR, t_ns)
    count = len(raised)
    uart.poll(t_ns + 2_000_000)
    assert len(raised) == count


def test_nothing_happens_by_itself_without_interrupts() -> None:
    uart = opened(EchoDevice(to_say=[(START_NS, b"hello")]))
    uart.write(IER, 0x0F, START_NS)
    assert uart.next_event_ns(START_NS) is None


def test_many_reads_at_once_are_the_same_as_one_by_one() -> None:
    uart = opened(EchoDevice(to_say=[(START_NS, bytes(range(10)))]))
    t_ns = START_NS + 100 * BYTE_NS
    assert uart.read_queue(4, t_ns) == [0, 1, 2, 3]
    assert uart.read(RBR, t_ns) == 4
    assert uart.read_queue(8, t_ns) == [5, 6, 7, 8, 9, 0, 0, 0], "an empty FIFO reads 0"
    uart.write(LCR, 0x83, t_ns)
    assert uart.read_queue(2, t_ns) == [27, 27]


def test_clearing_the_fifos() -> None:
    device = EchoDevice(to_say=[(START_NS, b"hello")])
    uart = opened(device)
    t_ns = START_NS + 10 * BYTE_NS
    uart.write(RBR, 1, t_ns)
    uart.write(RBR, 2, t_ns)
    assert uart.read(LSR, t_ns) == 0x01
    uart.write(IIR, 0xC7, t_ns)
    assert uart.read(LSR, t_ns) == 0x20, "only the shift register is still busy"
    uart.poll(t_ns + 10 * BYTE_NS)
    assert bytes(device.heard) == b"\x01"
