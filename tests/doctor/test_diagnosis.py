"""The checks as pure functions, and how causes and consequences are put in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timecard.boards import BOARDS
from timecard.card_values import Access, ClockStatus, ImageVersion, PpsSource, SelectorStatus, SmaConnector
from timecard.doctor import Finding, Severity, SystemFacts, diagnose, exit_status
from timecard.doctor.checks import CATALOGUE, GROUPS, RANKS
from timecard.doctor.checks.clock import ROLLOVER_NS
from timecard.doctor.facts import (
    CardExamination,
    ClockFacts,
    DriverFacts,
    Failure,
    FailureKind,
    HostFacts,
    LinkFacts,
    ModuleState,
    NodeFacts,
    OscillatorFacts,
    PciFacts,
    ReceiverFacts,
    RegisterWords,
)
from timecard.kernel.holders import Holder
from timecard.timescale import NS_PER_S

NOW_NS = 1_800_000_000 * NS_PER_S
HOST = HostFacts(kernel="7.3.4", user="root", root=True, kernel_log=(), tai_offset_s=37)
CLOCK = ClockFacts(
    first_tai_ns=NOW_NS,
    last_tai_ns=NOW_NS + NS_PER_S,
    elapsed_ns=NS_PER_S,
    host_tai_ns=NOW_NS + NS_PER_S,
    half_width_ns=1000.0,
)
SYNCED = ClockStatus((1, 2, 0), "PPS", True, False, 0, 0)
CARD = CardExamination(id="card", board="fb", access=Access.RESOURCE0, clock=CLOCK, clock_status=SYNCED)
PCI = PciFacts(address="0000:3b:00.0", vendor=0x1D9B, device=0x0400, driver="ptp_ocp", vectors=32)


def _ids(card: CardExamination, host: HostFacts = HOST) -> list[str]:
    return [finding.id for finding in diagnose(SystemFacts(host=host, cards=(card,)))]


def _clock(**changes: object) -> CardExamination:
    return replace(CARD, clock=replace(CLOCK, **changes))  # type: ignore[arg-type]  # a test names the fields


# --- the table ---


def test_ids_are_unique_and_what_explains_is_in_the_table() -> None:
    assert len(CATALOGUE) == sum(len(group.entries) for group in GROUPS)
    for name, entry in CATALOGUE.items():
        assert set(entry.explains) <= set(CATALOGUE), name
        assert name not in entry.explains


def test_no_two_findings_explain_each_other() -> None:
    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            new = set(CATALOGUE[left.pop()].explains) - found
            found |= new
            left += new
        return found

    assert [name for name in CATALOGUE if name in reached(name)] == []


def test_every_finding_says_cause_and_fix() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.title, name
        assert len(entry.cause) > 5, name
        assert len(entry.fix) > 5, name


# --- order ---


def test_a_cause_comes_before_its_consequences_and_names_the_deepest_one() -> None:
    selector = SelectorStatus(frozenset(), None, None, "mac")
    card = replace(
        CARD,
        selector=selector,
        clock_status=replace(SYNCED, in_sync=False, in_holdover=True),
        receiver=ReceiverFacts(baud=115_200, answers_at=None, bytes_heard=0),
    )
    findings = diagnose(SystemFacts(host=HOST, cards=(card,)))
    assert [finding.id for finding in findings] == [
        *("receiver-silent", "pps-none", "clock-in-holdover", "clock-not-in-sync"),
    ]
    assert {finding.consequence_of for finding in findings[1:]} == {"receiver-silent"}


def test_failures_come_before_warnings_and_warnings_before_information() -> None:
    card = replace(
        CARD,
        image=ImageVersion(loader=True, tag=0, number=1),
        generators={"1": "clock jumped"},
        missing={"phc": "none"},
        delays_ns={"timestamper": 100.0, "pps-slave": 100.0},
    )
    findings = [f for f in diagnose(SystemFacts(host=HOST, cards=(card,))) if f.consequence_of is None]
    assert [finding.severity for finding in findings] == sorted(
        (finding.severity for finding in findings), key=lambda severity: severity.value
    )
    assert findings[0].id == "loader-image"


def test_a_card_explains_nothing_of_another_card() -> None:
    first = replace(CARD, id="a", receiver=ReceiverFacts(baud=115_200, answers_at=None, bytes_heard=0))
    second = replace(CARD, id="b", clock_status=replace(SYNCED, in_sync=False))
    findings = diagnose(SystemFacts(host=HOST, cards=(first, second)))
    assert {(f.card, f.id, f.consequence_of) for f in findings} == {
        ("a", "receiver-silent", None),
        ("b", "clock-not-in-sync", None),
    }


@pytest.mark.parametrize(
    ("severities", "status"),
    [([], 0), ([Severity.INFO], 0), ([Severity.WARN, Severity.INFO], 3), ([Severity.WARN, Severity.FAIL], 4)],
)
def test_exit_status(severities: list[Severity], status: int) -> None:
    findings = [
        Finding(id="x", severity=s, title="", cause="", evidence=(), fix="", card=None) for s in severities
    ]
    assert exit_status(findings) == status


def test_a_text_from_outside_is_not_a_format() -> None:
    card = replace(CARD, access=None, failures={"open": Failure(FailureKind.REFUSED, "{address} {0} %s")})
    (finding,) = diagnose(SystemFacts(host=HOST, cards=(card,)))
    assert finding.cause == "{address} {0} %s"


# --- single checks, mostly what the fault list does not seed ---


def test_a_healthy_card_has_no_finding() -> None:
    assert _ids(CARD) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"last_tai_ns": NOW_NS - 5 * NS_PER_S, "host_tai_ns": NOW_NS}, ["clock-backwards"]),
        ({"last_tai_ns": NOW_NS, "host_tai_ns": NOW_NS}, ["clock-stopped"]),
        ({"last_tai_ns": NOW_NS + NS_PER_S + 200_000}, ["clock-rate"]),
        ({"last_tai_ns": NOW_NS + NS_PER_S + 50_000}, []),
        ({"last_tai_ns": NOW_NS + NS_PER_S + 200_000, "elapsed_half_width_ns": 180_000.0}, []),
        ({"host_tai_ns": NOW_NS + ROLLOVER_NS}, ["week-rollover"]),
        ({"host_tai_ns": NOW_NS + 38 * NS_PER_S}, ["clock-shows-utc"]),
        ({"host_tai_ns": NOW_NS + 100 * NS_PER_S}, ["host-clock-off"]),
        ({"host_tai_ns": 5 * NS_PER_S}, []),
        ({"half_width_ns": 2e6}, ["cross-stamp-wide"]),
        ({"cross_minus_bracket_ns": 1_900.0, "cross_method": "ptm"}, []),
        ({"cross_minus_bracket_ns": -9_000.0, "cross_method": "ptm"}, ["cross-stamp-implausible"]),
        ({"cross_minus_bracket_ns": 5e12, "cross_method": "ptm"}, []),
    ],
)
def test_clock_readings(changes: dict[str, object], expected: list[str]) -> None:
    findings = diagnose(SystemFacts(host=HOST, cards=(_clock(**changes),)))
    assert [finding.id for finding in findings if finding.consequence_of is None] == expected


def test_a_servo_that_pulls_in_is_no_wrong_rate() -> None:
    card = replace(
        _clock(last_tai_ns=NOW_NS + NS_PER_S + 200_000), clock_status=replace(SYNCED, in_sync=False)
    )
    assert _ids(card) == ["clock-not-in-sync"]


def test_a_source_without_name() -> None:
    assert _ids(replace(CARD, clock_status=replace(SYNCED, source="(null)"))) == ["clock-source-unknown"]


@pytest.mark.parametrize(("errors", "found"), [({"correctable": 900}, False), ({"correctable": 2000}, True)])
def test_a_few_correctable_errors_are_normal(errors: dict[str, int], found: bool) -> None:
    card = replace(CARD, pci=replace(PCI, driver=None, errors=errors))
    assert ("pcie-errors" in _ids(card)) is found


def test_a_slow_link_counts_only_if_both_sides_can_do_more() -> None:
    fast = LinkFacts(speed_gts=2.5, width=1, max_speed_gts=5.0, max_width=1)
    slow = LinkFacts(max_speed_gts=2.5)
    assert "link-slow" not in _ids(replace(CARD, pci=replace(PCI, driver=None, link=fast, port=slow)))
    assert "link-slow" in _ids(replace(CARD, pci=replace(PCI, driver=None, link=fast, port=fast)))


def test_the_daemon_of_this_toolkit_is_no_intruder() -> None:
    ours = NodeFacts(
        role="gnss",
        path="/dev/ttyS4",
        mode=0o660,
        owner="root",
        group="timecard",
        readable=True,
        writable=True,
        holders=(Holder(7, "time-appliance"),),
    )
    assert "daemon-has-card" in _ids(replace(CARD, nodes=(ours,)))
    assert "port-in-use" not in _ids(replace(CARD, nodes=(ours,)))


@pytest.mark.parametrize("board", [name for name, board in BOARDS.items() if board.kernel_binds])
def test_enough_vectors_are_enough(board: str) -> None:
    needed = BOARDS[board].vectors_needed
    states = {name: ModuleState.LOADED for name in ("i2c-xiic", "i2c-ocores")}
    kernel = DriverFacts(class_device="ocp0", phc="ptp0", i2c="i2c-1", mtd="mtd0", eeproms=(0x50, 0x58))
    for vectors, expected in ((needed, set()), (needed - 1, {"few-vectors"}), (1, {"single-msi"})):
        card = replace(CARD, board=board, pci=replace(PCI, vectors=vectors), kernel=kernel)
        ids = set(_ids(card, replace(HOST, modules=states)))
        assert ids & {"few-vectors", "single-msi"} == expected


def test_the_older_images_missing_interrupt_is_harmless() -> None:
    line = "ptp_ocp 0000:3b:00.0: irq 16 out of range, skipping ts4"
    card = replace(CARD, pci=replace(PCI, vectors=17))
    findings = diagnose(SystemFacts(host=replace(HOST, kernel_log=(line,)), cards=(card,)))
    assert [(f.severity, f.title) for f in findings if f.id == "irq-skipped"] == [
        (Severity.INFO, "the driver skipped ts4")
    ]


def test_unknown_modules_are_not_called_missing() -> None:
    card = replace(CARD, pci=PCI, kernel=DriverFacts(class_device="ocp0", phc="ptp0"))
    ids = _ids(card, replace(HOST, modules={"i2c-xiic": ModuleState.UNKNOWN}))
    assert not [each for each in ids if "module" in each or each == "flash-missing"]


@pytest.mark.parametrize(
    ("ten_mhz", "family", "expected"),
    [("onboard", "sa5x", Severity.WARN), ("onboard", None, Severity.INFO), ("mac", "sa5x", None)],
)
def test_a_crystal_is_a_warning_only_where_a_better_part_answers(
    ten_mhz: str, family: str | None, expected: Severity | None
) -> None:
    selector = SelectorStatus(frozenset({PpsSource.GNSS}), None, PpsSource.GNSS, ten_mhz)
    oscillator = OscillatorFacts(baud=57_600, family=family, locked=True)
    card = replace(CARD, selector=selector, oscillator=oscillator)
    found = [f.severity for f in diagnose(SystemFacts(host=HOST, cards=(card,))) if f.id == "ten-mhz-onboard"]
    assert found == ([] if expected is None else [expected])


def test_an_alarm_line_counts_where_the_module_itself_is_silent_about_it() -> None:
    words = RegisterWords(mac_alarm=True)
    assert "mac-alarm-line" in _ids(replace(CARD, words=words))
    told = OscillatorFacts(baud=57_600, family="sa5x", locked=True, alarms=("PLL fault",))
    assert "mac-alarm-line" not in _ids(replace(CARD, words=words, oscillator=told))


def test_an_output_driven_from_outside() -> None:
    sma = (SmaConnector(3, "out", ("PHC",)), SmaConnector(4, "in", ("TS1",)))
    for levels, expected in ((0x1000, []), (0x0100, ["sma-output-driven"])):
        assert _ids(replace(CARD, sma=sma, words=RegisterWords(sma_levels=levels))) == expected


def test_ranks_follow_the_table() -> None:
    assert RANKS["no-card"] == 0
    assert RANKS["antenna-open"] < RANKS["gnss-no-fix"] < RANKS["pps-none"] < RANKS["clock-not-in-sync"]
