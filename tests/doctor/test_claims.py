"""What doctor says that a command of the toolkit does, that command does."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from typer.main import get_command

from timecard.bringup.bring_up import STEPS
from timecard.cli.main import app
from timecard.doctor.checks import CATALOGUE
from timecard.doctor.checks.ports import _STOP
from timecard.udev import rules

TEXTS: Mapping[str, str] = {name: f"{entry.cause} {entry.fix}" for name, entry in CATALOGUE.items()} | dict(
    _STOP
)
INSTALLED = {
    "ModemManager": ['SUBSYSTEM=="tty"', 'DRIVERS=="ptp_ocp"', 'ENV{ID_MM_DEVICE_IGNORE}="1"'],
    "vfio-permission": ['SUBSYSTEM=="vfio"', 'GOTO="timecard_node"'],
    "node-permission": ['GROUP="timecard"', 'MODE="0660"'],
    "tty-links-missing": ['SYMLINK+="$env{TIMECARD_LINK}"'],
    "udev-links-missing": ['SYMLINK+="$env{TIMECARD_LINK}"'],
}
"""What has to stand in one line of the rules, by whoever says that `timecard install-udev` does it."""


def naming(command: str) -> set[str]:
    return {name for name, text in TEXTS.items() if f"`timecard {command}" in text}


def test_every_claim_about_the_udev_rules_is_known_here() -> None:
    assert naming("install-udev") == set(INSTALLED)


@pytest.mark.parametrize("claim", INSTALLED)
def test_the_rules_hold_what_is_claimed(claim: str) -> None:
    lines = rules().splitlines()
    assert any(all(word in line for word in INSTALLED[claim]) for line in lines), INSTALLED[claim]


def test_bring_up_has_a_step_for_what_it_is_said_to_do() -> None:
    assert naming("bringup") == {"tod-off", "tod-baud", "tod-protocol", "tod-silent", "tod-not-served"}
    assert {"receiver", "time-of-day", "time"} <= {name for name, _ in STEPS}


def test_every_command_that_is_named_exists() -> None:
    root = get_command(app)
    for name, text in TEXTS.items():
        for words in re.findall(r"`timecard ([a-z][^`]*)`", text):
            command = root
            for word in words.split():
                subcommands = getattr(command, "commands", None)
                if not subcommands:
                    break
                assert word in subcommands, f"{name}: timecard {words}"
                command = subcommands[word]
