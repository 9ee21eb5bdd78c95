"""Leap seconds: what the sources say of TAI - UTC, what is believed of it, and what is odd."""
