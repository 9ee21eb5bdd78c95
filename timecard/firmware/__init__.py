"""FPGA images: what a file must be for a card, and how it gets into the flash safely."""
