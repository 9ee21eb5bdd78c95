"""Hardware of the Time Card: PCIe registers, GNSS receivers, oscillators. Usable alone."""
