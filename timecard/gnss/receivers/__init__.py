"""One file per receiver family."""
