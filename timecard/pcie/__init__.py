"""Access to the card over PCIe: register buses, the register map and the drivers of its blocks."""
