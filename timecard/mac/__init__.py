"""Oscillator modules ("MAC": miniature atomic clock; never an Ethernet address here)."""
