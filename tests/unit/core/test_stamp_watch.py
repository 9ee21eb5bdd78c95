"""Stamping that another program has switched off is told, until packets are stamped again."""

from __future__ import annotations

import pytest

from appliance.config import Config
from appliance.ptp.server import PtpServer
from appliance.publisher import Publisher
from appliance.simulate import build
from appliance.stamp_watch import StampWatch
from timecard.timescale import NS_PER_S

IDENTITY = bytes.fromhex("02accdfffe000001")


class Counted:
    """A server's counters, second by second."""

    def __init__(self) -> None:
        self.stats = dict.fromkeys(("txts.missing", "tx.delay_resp", "tx.sync", "dropped.no_stamp"), 0)
        self.watch = StampWatch()
        self.second = 0

    def run(self, seconds: int, **rates: int) -> str | None:
        for _ in range(seconds):
            for name, rate in rates.items():
                self.stats[name.replace("__", ".")] += rate
            self.second += 1
            self.watch.update(self.stats, self.second * NS_PER_S, kind="hardware")
        return self.watch.alarm


@pytest.mark.parametrize("lost", [{"dropped__no_stamp": 4}, {"txts__missing": 4, "tx__sync": 4}])
def test_it_begins_when_nothing_is_stamped_and_ends_when_packets_are_again(lost: dict[str, int]) -> None:
    server = Counted()
    assert server.run(60, tx__delay_resp=100, tx__sync=100) is None
    alarm = server.run(6, **lost)
    assert alarm is not None and "had no hardware time stamp" in alarm
    assert server.run(600) == alarm, "nobody asks: nobody knows that it is over"
    assert server.run(6, tx__delay_resp=4) is None


def test_a_stamp_that_is_lost_now_and_then_is_none() -> None:
    server = Counted()
    assert server.run(600, tx__sync=1_000, txts__missing=1) is None
    assert server.run(1, dropped__no_stamp=2) is None
    assert Counted().run(3600) is None


def test_the_report_has_it_among_the_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = build(Config(), seed=2)
    simulation.run_s(5)
    timebase = simulation.virtual.timebase
    server = PtpServer(Config().ptp, IDENTITY)
    stats = server.stats()
    monkeypatch.setattr(server, "stats", lambda: stats)
    publisher = Publisher(Config(), simulation.assembly, timebase, IDENTITY)
    seen = []
    for missing in (0, 10, 20, 20):
        stats["dropped.no_stamp"] = missing
        report = publisher.publish(None, server)
        seen.append(any(text.startswith("stamps-missing: ") for text in report.clock.alarms))
        timebase.sleep_s(1)
    assert seen == [False, True, True, True]
    stats["tx.delay_resp"] = 50
    assert not any(text.startswith("stamps-missing") for text in publisher.publish(None, server).clock.alarms)
