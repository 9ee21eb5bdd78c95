"""The oscillator module behind the MAC port (an atomic clock, usually)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

ENTRIES: Final = MappingProxyType(
    {
        "mac-silent": Entry(
            severity=Severity.WARN,
            title="the oscillator module does not answer at {baud} baud",
            cause="{complaint} On FB cards a DIP switch (MACSER) connects the module to I2C instead of the "
            "serial port; the vendor driver's mac_i2c does the same.",
            fix="Check MACSER (1: serial), `mac_i2c` (0) and the baud rate ({baud}); a module that is not "
            "fitted needs no answer.",
        ),
        "mac-garbled": Entry(
            severity=Severity.WARN,
            title="the oscillator module's answers are damaged",
            cause="{complaint}",
            fix="Check ground and level of the line, and that nobody else drives it.",
        ),
        "no-oscillator-module": Entry(
            severity=Severity.INFO,
            title="nothing answers on the oscillator's port",
            cause="No module is fitted (the card has a crystal oscillator), or it is not connected.",
            fix="Nothing to do on a card without such a module.",
        ),
        "mac-unlocked": Entry(
            severity=Severity.FAIL,
            title="the atomic clock is not locked",
            cause="{model} runs on its crystal: it is warming up (some minutes), or has lost its lock.",
            fix="Wait for the warm-up; else look at its alarms, temperature and supply.",
            explains=("mac-alarms", "clock-not-in-sync", "ten-mhz-onboard"),
        ),
        "mac-alarms": Entry(
            severity=Severity.WARN,
            title="the atomic clock reports: {alarms}",
            cause="The module's own supervision raised an alarm.",
            fix="See the module's manual for the alarm; a stale one goes when the module is switched off "
            "and on.",
        ),
        "mac-alarm-line": Entry(
            severity=Severity.WARN,
            title="the oscillator's alarm line is raised",
            cause="The module signals a fault on its alarm pin.",
            fix="Ask the module on its serial port; check its supply and temperature.",
        ),
    }
)


def module(case: Case) -> Iterator[Seen]:
    """Does it answer, is it locked."""
    oscillator, selector, words = case.card.oscillator, case.card.selector, case.card.words
    alarm = words is not None and words.mac_alarm is True
    if oscillator is None:
        if alarm:
            yield Seen("mac-alarm-line", ("GPIO MAC_ALARM is 1",))
        return
    texts = {
        "baud": oscillator.baud,
        "complaint": oscillator.complaint or "",
        "model": oscillator.model or "It",
    }
    evidence = (oscillator.complaint,) if oscillator.complaint else ()
    if oscillator.family is None:
        board = case.board
        fitted = alarm or (selector is not None and selector.clock_10mhz == "mac")
        fitted = fitted or (board is not None and board.oscillator_family == "mro50")
        yield Seen("mac-silent" if fitted else "no-oscillator-module", evidence, texts)
        return
    if oscillator.complaint:
        yield Seen("mac-garbled", evidence, texts)
    if oscillator.locked is False:
        yield Seen("mac-unlocked", (f"{oscillator.family}: locked no",), texts)
    if oscillator.alarms:
        yield Seen("mac-alarms", oscillator.alarms, {"alarms": ", ".join(oscillator.alarms)})
    elif alarm:
        yield Seen("mac-alarm-line", ("GPIO MAC_ALARM is 1",))


GROUP: Final = Group(title="Oscillator", entries=ENTRIES, card_checks=(module,))
