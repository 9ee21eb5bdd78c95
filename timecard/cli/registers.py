"""``timecard registers``: documented registers by name, where no kernel driver holds the card.

An address that no block decodes may hang the host, so that there are names only. What a read or a write sets
off besides is said, and what could destroy something is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from timecard.bringup.card_settings import registers_of
from timecard.card_protocols import Card
from timecard.cli.common import Answer, CardOptions, Facts, card_options, on_card
from timecard.pcie.safe_registers import (
    NamedRegister,
    find_register,
    registers,
    why_not_read,
    why_not_write,
    write_effect,
)
from timecard.protocols import RegisterBus

app = typer.Typer(help="Documented registers, by name.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="BLOCK.REGISTER", help="As `timecard registers dump` has it.")]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="registers")


@app.command("dump")
@on_card("registers dump")
def dump_command(
    card: Card,
    blocks: Annotated[list[str] | None, typer.Argument(metavar="BLOCK...", help="Else all.")] = None,
) -> Answer:
    """Print every register that can be read without changing anything; the others with the reason."""
    bus = registers_of(card, "read registers")
    unknown = [name for name in blocks or [] if name not in bus.board.blocks]
    if unknown:
        raise typer.BadParameter(
            f"{bus.board.product} has no block {unknown[0]!r}; there are {', '.join(bus.board.blocks)}"
        )
    found = list(dump(bus, blocks))
    return {"card": card.id, "board": card.board.name, "registers": found}, [_line(row) for row in found]


@app.command("read")
@on_card("registers read")
def read_command(card: Card, name: Name) -> Answer:
    """Read one register; refused where reading changes something."""
    bus = registers_of(card, "read a register")
    row = find_register(bus.board, name)
    reason = why_not_read(bus, row)
    if reason is not None:
        raise typer.BadParameter(f"{name}: {reason}")
    facts = _value(row, bus.read32(row.offset), None)
    return facts, [_line(facts)]


@app.command("write")
@card_options("registers write")
def write_command(
    options: CardOptions,
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="32 bits, decimal or 0x...")],
) -> None:
    """Write one register, and say what that does. Stop a daemon first: it writes the same registers."""
    word = _word(value)
    with options.opened() as card:
        bus = registers_of(card, "write a register")
        row = find_register(bus.board, name)
        reason = why_not_write(bus, row)
        if reason is not None:
            raise typer.BadParameter(f"{name}: {reason}")
        effect = write_effect(row)
        bus.write32(row.offset, word)
        unreadable = why_not_read(bus, row)
        found = None if unreadable else bus.read32(row.offset)
    facts = {**_value(row, found, unreadable), "written": f"{word:#010x}", "effect": effect}
    options.emit(facts, [*([f"{name}: {effect}"] if effect else []), _line(facts)])


def dump(bus: RegisterBus, blocks: list[str] | None) -> Iterator[Facts]:
    """Registers of the given blocks, or of all, ready for JSON; null with the reason if not to be read."""
    for row in registers(bus.board):
        if blocks and row.block not in blocks:
            continue
        reason = why_not_read(bus, row)
        yield _value(row, None if reason else bus.read32(row.offset), reason)


def _value(row: NamedRegister, value: int | None, reason: str | None) -> Facts:
    return {
        "name": row.name,
        "offset": f"{row.offset:#010x}",
        "access": row.register.access,
        "value": None if value is None else f"{value:#010x}",
        "reason": reason,
    }


def _line(row: Facts) -> str:
    return f"{row['offset']}  {row['name']:28} {row['access']:4} {row['value'] or row['reason']}"


def _word(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFF_FFFF:
        raise typer.BadParameter(f"{text!r} is no 32-bit number (decimal, or 0x and hexadecimal digits)")
    return value
