"""GNSS receivers behind the card's UART: framing, drivers, sawtooth pairing."""
