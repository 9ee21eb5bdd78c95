"""One file per oscillator family."""
