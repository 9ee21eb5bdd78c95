"""The daemon: disciplines the card, bounds its error, serves PTP and SPTP."""
