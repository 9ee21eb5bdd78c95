"""LitePCIe images of the FB card: control registers first, every block 32 MiB higher, vectors from 32 on.

They share the FB card's PCI id; revision and size of BAR0 tell them apart. The mainline driver knows only the
FB layout and cannot drive them.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Final

from timecard.boards import registers as r
from timecard.boards.fb import FB
from timecard.boards.registers import Block

AXI_WINDOW: Final = 0x0200_0000
FIRST_VECTOR: Final = 32


def _moved(block: Block) -> Block:
    vector = None if block.vector is None else block.vector + FIRST_VECTOR
    return block._replace(offset=block.offset + AXI_WINDOW, vector=vector)


_ROWS: Final = (
    Block("msi", 0x0000_1800, 0x10, None, r.LITEPCIE_MSI),
    FB.blocks["ptm"],
    *(_moved(block) for name, block in FB.blocks.items() if name != "ptm"),
)
LITEPCIE: Final = dataclasses.replace(
    FB,
    name="litepcie",
    product="Facebook/Meta Time Card (LitePCIe image)",
    pci_revision=0x02,
    bar0_size=0x0400_0000,
    blocks=MappingProxyType({block.name: block for block in _ROWS}),
    message_vectors=64,
    msix=True,
    kernel_since="none",
    kernel_binds=False,
)
