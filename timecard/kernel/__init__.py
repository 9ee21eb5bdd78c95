"""A card through its kernel driver ``ptp_ocp``: sysfs, PTP hardware clock, ttys, MTD."""
