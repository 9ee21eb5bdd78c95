"""Access to the card over PCIe: register table, buses, drivers of the FPGA's blocks."""
