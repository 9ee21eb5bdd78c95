"""The ``timecard`` command: one module per group of commands."""
