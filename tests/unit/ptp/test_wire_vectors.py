"""Every vector: encoded by somebody else, or captured from peers, and dissected by tshark."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.ptp import management
from appliance.ptp.datasets import DefaultFlag, ManagementId
from appliance.ptp.primitives import HeaderFlag, PortIdentity, Reason
from appliance.ptp.rules import ReceiveRules
from appliance.ptp.tlv import ManagementTlv
from appliance.ptp.wire import Management, WireError, decode, encode
from tests import tshark

OWN = PortIdentity(bytes.fromhex("b8cef6fffe0210e4"), 1)
RULES = ReceiveRules(domain=0, own=OWN)

Read = Callable[[Any], object]


def _data(message: Any) -> Any:
    return management.decode_data(message.tlvs[0])


FIELDS: dict[str, Read] = {
    "messageType": lambda m: int(m.TYPE),
    "messageLength": lambda m: m.message_length,
    "minorVersion": lambda m: m.header.minor_version,
    "version": lambda m: encode(m)[1] & 0xF,
    "domain": lambda m: m.header.domain,
    "flags": lambda m: int(m.header.flags),
    "sequenceId": lambda m: m.header.sequence_id,
    "control": lambda m: m.header.control,
    "logMessageInterval": lambda m: m.header.log_message_interval,
    "correction_ns": lambda m: m.header.correction_raw >> 16,
    "correction_subns_raw": lambda m: m.header.correction_raw & 0xFFFF,
    "correction_raw": lambda m: m.header.correction_raw,
    "clockIdentity": lambda m: m.header.source.clock.hex(),
    "portNumber": lambda m: m.header.source.port,
    "origin_sec": lambda m: m.origin.seconds,
    "origin_ns": lambda m: m.origin.nanoseconds,
    "precise_sec": lambda m: m.origin.seconds,
    "precise_ns": lambda m: m.origin.nanoseconds,
    "recv_sec": lambda m: m.timestamp.seconds,
    "recv_ns": lambda m: m.timestamp.nanoseconds,
    "requestingClock": lambda m: m.requesting.clock.hex(),
    "requestingPort": lambda m: m.requesting.port,
    "utcOffset": lambda m: m.utc_offset_s,
    "priority1": lambda m: m.priority1,
    "clockClass": lambda m: m.clock_class,
    "clockAccuracy": lambda m: m.clock_accuracy,
    "variance": lambda m: m.variance,
    "priority2": lambda m: m.priority2,
    "gmIdentity": lambda m: m.grandmaster.hex(),
    "stepsRemoved": lambda m: m.steps_removed,
    "timeSource": lambda m: m.time_source,
    "targetClock": lambda m: m.target.clock.hex(),
    "targetPort": lambda m: m.target.port,
    "tlvs": lambda m: [[t.tlv_type, len(t.value())] for t in m.tlvs],
    "tlvType": lambda m: m.tlvs[0].tlv_type,
    "uc": lambda m: [[t.message_type, t.log_period, t.duration_s] for t in m.tlvs],
    "renewal": lambda m: m.tlvs[0].renewal_invited,
    "ato_current": lambda m: m.tlvs[0].current_offset_s,
    "ato_jump": lambda m: m.tlvs[0].jump_s,
    "action": lambda m: m.action,
    "mgmtId": lambda m: m.tlvs[0].management_id,
    "mgmtId_err": lambda m: m.tlvs[0].management_id,
    "errorId": lambda m: m.tlvs[0].error_id,
    "twoStep": lambda m: _data(m).flags & DefaultFlag.TWO_STEP,
    "numberPorts": lambda m: _data(m).number_ports,
    "ds_priority1": lambda m: _data(m).priority1,
    "ds_class": lambda m: _data(m).clock_class,
    "ds_acc": lambda m: _data(m).clock_accuracy,
    "ds_var": lambda m: _data(m).variance,
    "ds_clock": lambda m: _data(m).clock_identity.hex(),
    "ds_steps": lambda m: _data(m).steps_removed,
    "ds_offset_ns": lambda m: math.floor(_data(m).offset_from_master_ns),
    "ds_delay_ns": lambda m: math.floor(_data(m).mean_path_delay_ns),
    "ds_parent": lambda m: _data(m).parent.clock.hex(),
    "ds_parent_port": lambda m: _data(m).parent.port,
    "ds_gmclass": lambda m: _data(m).clock_class,
    "ds_gmacc": lambda m: _data(m).clock_accuracy,
    "ds_gmvar": lambda m: _data(m).variance,
    "ds_gm": lambda m: _data(m).grandmaster.hex(),
    "ds_utc": lambda m: _data(m).utc_offset_s,
    "ds_utcvalid": lambda m: bool(_data(m).flags & HeaderFlag.UTC_OFFSET_VALID),
    "ds_ptptimescale": lambda m: bool(_data(m).flags & HeaderFlag.PTP_TIMESCALE),
    "ds_timesource": lambda m: _data(m).time_source,
}
"""How to read a decoded message under the vectors' own keys."""

EXPECTED_REASON = {
    "bad_short_header": Reason.SHORT_HEADER,
    "bad_short_body": Reason.SHORT_BODY,
    "bad_length_over": Reason.LENGTH_OVERRUN,
    "bad_length_under": Reason.LENGTH_UNDERRUN,
    "bad_length_zero": Reason.LENGTH_UNDERRUN,
    "bad_version1": Reason.VERSION,
    "bad_version3": Reason.VERSION,
    "bad_message_type_4": Reason.MESSAGE_TYPE,
    "bad_domain": Reason.DOMAIN,
    "bad_sdoid": Reason.SDO_ID,
    "bad_own_identity": Reason.OWN_IDENTITY,
    "bad_nanoseconds": Reason.NANOSECONDS,
    "bad_tlv_overrun": Reason.TLV_OVERRUN,
    "bad_tlv_odd": Reason.TLV_ODD,
    "bad_tlv_short_request": Reason.TLV_SIZE,
    "bad_sig_no_tlv": Reason.TLV_MISSING,
    "bad_path_trace_len": Reason.TLV_SIZE,
    "bad_trailing4": Reason.TRAILER_TOO_LONG,
}


@pytest.fixture(scope="module")
def vectors(shared_dir: Path) -> list[dict[str, Any]]:
    found = json.loads((shared_dir / "reference" / "ptp-vectors.json").read_text(encoding="utf-8"))["vectors"]
    assert len(found) == 122
    return list(found)


def test_valid_vectors_decode_to_the_expected_fields_and_back_to_the_same_bytes(
    vectors: list[dict[str, Any]],
) -> None:
    compared = 0
    valid = [v for v in vectors if v["valid"]]
    assert len(valid) == 101
    for vector in valid:
        datagram = bytes.fromhex(vector["hex"])
        message = decode(datagram)
        assert encode(message, vector["trailer_bytes"]) == datagram, vector["name"]
        observed = tshark.view(message) if "messagetype" in vector["expect"] else None
        for key, wanted in vector["expect"].items():
            got = observed[key] if observed is not None else FIELDS[key](message)
            assert got == wanted, (vector["name"], key)
            compared += 1
    assert compared > 400


def test_management_data_sets_encode_to_the_same_bytes(vectors: list[dict[str, Any]]) -> None:
    seen = set()
    for vector in vectors:
        if not vector["group"].startswith("management"):
            continue
        message = decode(bytes.fromhex(vector["hex"]))
        assert isinstance(message, Management)
        tlv = message.tlvs[0]
        if not isinstance(tlv, ManagementTlv) or message.action != management.Action.RESPONSE:
            continue
        data = management.decode_data(tlv)
        assert data is not None, vector["name"]
        assert management.encode_data(data) == tlv, vector["name"]
        seen.add(tlv.management_id)
    assert seen == set(ManagementId)


def test_malformed_vectors_are_refused_for_the_right_reason(vectors: list[dict[str, Any]]) -> None:
    seen = set()
    for vector in vectors:
        if vector["valid"]:
            continue
        name = vector["name"]
        try:
            RULES.check(decode(bytes.fromhex(vector["hex"])), event_port=vector["dst_port"] == 319)
        except WireError as exc:
            assert vector["expected_action"] in ("drop", "accept-or-drop"), (name, exc)
            assert exc.reason is EXPECTED_REASON[name], (name, exc)
        else:
            assert vector["expected_action"] in ("deny", "limit"), name
        seen.add(name)
    assert len(seen) == 21


def test_messages_of_minor_versions_unknown_to_us_are_accepted(vectors: list[dict[str, Any]]) -> None:
    for vector in vectors:
        if vector["group"] == "compat":
            RULES.check(decode(bytes.fromhex(vector["hex"])), event_port=True)
