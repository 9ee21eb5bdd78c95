"""``[gnss] tap``: the appliance lets other programs read the receiver's line that it holds."""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path

import pytest

from appliance.assembly import assemble
from appliance.config import Config
from appliance.daemon import open_tap
from timecard.card import card_on_bus
from timecard.emulator.virtual_card import build_in_process
from timecard.gnss.framing import Framer, Item, UbxFrame


def test_a_reader_gets_what_the_appliance_reads(tmp_path: Path) -> None:
    path = tmp_path / "gnss.sock"
    tap = open_tap(str(path))
    assert tap is not None
    virtual = build_in_process(seed=1)
    with contextlib.closing(tap), socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        reader.setblocking(False)
        assembly = assemble(card_on_bus(virtual.bus, virtual.timebase), Config(), virtual.timebase, tap=tap)
        reader.sendall(bytes.fromhex("b56206040400ffff00000c5d"))  # a reset, which does not get through
        framer = Framer()
        frames: list[Item] = []
        for _ in range(200):
            assembly.runners[0].step()
            virtual.timebase.sleep_s(0.05)
            with contextlib.suppress(BlockingIOError):
                frames += framer.feed(reader.recv(65_536), 0)
    keys = {frame.key for frame in frames if isinstance(frame, UbxFrame)}
    assert {0x0D01, 0x0107, 0x0126} <= keys
    assert assembly.receiver.restarts == 0
    assert not path.exists()


def test_a_tap_that_cannot_be_opened_keeps_nobody_from_keeping_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gnss.sock"
    path.write_text("in the way")
    with caplog.at_level(logging.ERROR):
        assert open_tap(str(path)) is None
    assert "something else than a socket is there" in caplog.text
    assert open_tap(None) is None
