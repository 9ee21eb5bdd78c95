"""The configuration interface: layers, all-or-nothing, paging, wildcards; frames made by pyubx2."""

from __future__ import annotations

import struct

import pytest
from pyubx2 import POLL_LAYER_BBR, POLL_LAYER_DEFAULT, POLL_LAYER_RAM, UBXMessage, UBXReader

from timecard.emulator.receiver_config import BBR, FLASH, RAM, TIME_CARD_FLASH, ConfigStore
from timecard.gnss.ubx import encode


def store() -> ConfigStore:
    return ConfigStore(TIME_CARD_FLASH)


def valset(layers: int, values: dict[str, int], transaction: int = 0) -> bytes:
    return bytes(UBXMessage.config_set(layers, transaction, list(values.items())).payload)


def valget(
    target: ConfigStore, keys: list[str | int], layer: int = POLL_LAYER_RAM, position: int = 0
) -> dict[str, int] | None:
    answer = target.get_values(bytes(UBXMessage.config_poll(layer, position, keys).payload))
    if answer is None:
        return None
    message = UBXReader.parse(encode(0x068B, answer))
    return {name: value for name, value in message.__dict__.items() if name.startswith("CFG_")}


def test_the_reference_message_is_taken() -> None:
    frame = bytes.fromhex("b562068a190000050000010003200110000340b004000011000340905f01001e8f")
    target = store()
    assert target.set_values(frame[6:-2])
    assert (target.value("CFG_TMODE_MODE"), target.value("CFG_TMODE_SVIN_MIN_DUR")) == (1, 1200)


def test_stored_settings_are_over_the_defaults_and_ram_over_both() -> None:
    target = store()
    assert target.value("CFG_TP_LEN_LOCK_TP1") == 200_000
    assert valget(target, ["CFG_TP_LEN_LOCK_TP1"], POLL_LAYER_DEFAULT) == {"CFG_TP_LEN_LOCK_TP1": 100_000}
    assert target.set_values(valset(RAM, {"CFG_TP_LEN_LOCK_TP1": 5_000}))
    assert target.value("CFG_TP_LEN_LOCK_TP1") == 5_000
    target.restart()
    assert target.value("CFG_TP_LEN_LOCK_TP1") == 200_000


@pytest.mark.parametrize("layer", [BBR, FLASH])
def test_other_layers_count_after_a_restart_and_can_be_deleted(layer: int) -> None:
    target = store()
    assert target.set_values(valset(layer, {"CFG_NAVSPG_DYNMODEL": 3}))
    assert target.value("CFG_NAVSPG_DYNMODEL") == 2
    target.restart()
    assert target.value("CFG_NAVSPG_DYNMODEL") == 3
    assert target.delete_values(bytes(UBXMessage.config_del(layer, 0, ["CFG_NAVSPG_DYNMODEL"]).payload))
    target.restart()
    assert target.value("CFG_NAVSPG_DYNMODEL") == (2 if layer == BBR else 0)


@pytest.mark.parametrize(
    "pairs",
    [
        struct.pack("<IB", 0x2FFF0001, 1),  # no such key
        struct.pack("<IB", 0x20030001, 7),  # mode out of range
        struct.pack("<IB", 0x1041000D, 2),  # a flag is 0 or 1
        struct.pack("<I", 0x40030010),  # no value
        struct.pack("<IB", 0x40030010, 1),  # half a value
        b"\x01",
    ],
)
def test_one_bad_pair_rejects_the_whole_message(pairs: bytes) -> None:
    target = store()
    good = struct.pack("<IB", 0x20110021, 5)
    assert not target.set_values(b"\x00\x01\x00\x00" + good + pairs)
    assert target.value("CFG_NAVSPG_DYNMODEL") == 2


@pytest.mark.parametrize("header", [b"", b"\x00\x00\x00\x00", b"\x00\x08\x00\x00", b"\x02\x01\x00\x00"])
def test_a_bad_header_is_refused(header: bytes) -> None:
    assert not store().set_values(header)


def test_a_transaction_applies_at_its_end() -> None:
    target = store()
    assert target.set_values(valset(RAM, {"CFG_NAVSPG_DYNMODEL": 3}, transaction=1))
    assert target.set_values(valset(RAM, {"CFG_RATE_MEAS": 2000}, transaction=2))
    assert target.value("CFG_NAVSPG_DYNMODEL") == 2
    assert target.set_values(valset(RAM, {"CFG_RATE_NAV": 2}, transaction=3))
    assert [target.value(f"CFG_{n}") for n in ("NAVSPG_DYNMODEL", "RATE_MEAS", "RATE_NAV")] == [3, 2000, 2]
    assert not target.set_values(valset(RAM, {"CFG_RATE_NAV": 3}, transaction=2))


@pytest.mark.parametrize(
    "between",
    [
        valset(RAM, {"CFG_RATE_MEAS": 1000}),  # without transaction
        valset(RAM, {"CFG_TMODE_MODE": 9}, transaction=2),  # refused
        valset(BBR, {"CFG_RATE_NAV": 2}, transaction=2),  # other layers
        valset(RAM, {"CFG_RATE_NAV": 2}, transaction=1),  # begun anew
    ],
)
def test_what_does_not_continue_a_transaction_ends_it(between: bytes) -> None:
    target = store()
    assert target.set_values(valset(RAM, {"CFG_NAVSPG_DYNMODEL": 3}, transaction=1))
    target.set_values(between)
    target.set_values(valset(RAM, {"CFG_RATE_TIMEREF": 0}, transaction=3))
    assert target.value("CFG_NAVSPG_DYNMODEL") == 2


def test_a_transaction_does_not_outlive_a_restart() -> None:
    target = store()
    assert target.set_values(valset(RAM, {"CFG_NAVSPG_DYNMODEL": 3}, transaction=1))
    target.restart()
    assert not target.set_values(valset(RAM, {"CFG_RATE_NAV": 2}, transaction=3))
    assert (target.value("CFG_NAVSPG_DYNMODEL"), target.value("CFG_RATE_NAV")) == (2, 1)


def test_faults_that_can_be_set() -> None:
    target = store()
    target.refused.add("CFG_RATE_NAV")
    assert not target.set_values(valset(RAM, {"CFG_RATE_NAV": 2, "CFG_NAVSPG_DYNMODEL": 3}))
    assert target.value("CFG_NAVSPG_DYNMODEL") == 2
    target.crooked["CFG_NAVSPG_DYNMODEL"] = 5
    for expected in (5, 3):
        assert target.set_values(valset(RAM, {"CFG_NAVSPG_DYNMODEL": 3}))
        assert target.value("CFG_NAVSPG_DYNMODEL") == expected


def test_a_locked_configuration_takes_nothing_more() -> None:
    target = store()
    assert target.set_values(valset(RAM, {"CFG_SEC_CFG_LOCK": 1}))
    assert not target.set_values(valset(RAM, {"CFG_NAVSPG_DYNMODEL": 3}))
    target.restart()
    assert target.set_values(valset(RAM, {"CFG_NAVSPG_DYNMODEL": 3}))


@pytest.mark.parametrize("wildcard", [0x0FFFFFFF, 0x0FFF0000])
def test_everything_comes_in_ascending_pages(wildcard: int) -> None:
    target = store()
    keys: list[int] = []
    while True:
        answer = target.get_values(bytes(UBXMessage.config_poll(0, len(keys), [wildcard]).payload))
        assert answer is not None
        found = [key for key, _ in target._split(answer[4:])]
        keys += found
        if len(found) < 64:
            break
    assert keys == sorted(set(keys))
    assert len(keys) > 1000


def test_a_group_can_be_asked_for() -> None:
    found = valget(store(), [0x0003FFFF])
    assert found is not None
    assert all(name.startswith("CFG_TMODE") for name in found)
    assert found["CFG_TMODE_MODE"] == 0


def test_what_cannot_be_answered_is_refused() -> None:
    target = ConfigStore({}, without=frozenset({"CFG_MSGOUT_UBX_SEC_SIG_UART1"}))
    assert valget(target, ["CFG_TMODE_MODE"], POLL_LAYER_BBR) is None
    assert valget(target, ["CFG_MSGOUT_UBX_SEC_SIG_UART1"]) is None
    assert valget(target, ["CFG_TMODE_MODE", "CFG_MSGOUT_UBX_SEC_SIG_UART1"]) is None
    for payload in (b"", b"\x00\x03\x00\x00\x01\x00\x03\x20", b"\x01\x00\x00\x00\x01\x00\x03\x20"):
        assert target.get_values(payload) is None


def test_signed_values_come_back_signed() -> None:
    target = store()
    assert target.set_values(valset(RAM, {"CFG_TMODE_ECEF_X": -123_456, "CFG_TP_ANT_CABLEDELAY": -7}))
    assert target.value("CFG_TP_ANT_CABLEDELAY") == -7
    assert valget(target, ["CFG_TMODE_ECEF_X"]) == {"CFG_TMODE_ECEF_X": -123_456}
