"""PTP and SPTP on the wire."""
