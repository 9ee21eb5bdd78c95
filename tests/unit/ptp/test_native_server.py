"""The native server over loopback: SPTP, the clock page, refusals, its life cycle."""

from __future__ import annotations

import json
import select
import socket
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.config import PtpConfig
from appliance.ptp._native import ClockPage, Server
from appliance.ptp.server import PtpServer, PtpServerError
from appliance.ptp.timestamping import Received, StampedSocket
from tests.unit.ptp.native_client import (
    ANNOUNCE,
    ANNOUNCE_TYPE,
    NS,
    SERVER_IDENTITY,
    SYNC,
    UTC_OFFSET_NS,
    Client,
    free_ports,
    fresh_page,
    host_clocks,
    raw_ns,
    request,
    serving,
    signaling,
    sptp_request,
)

OFFSET_NS = 3_700_000
RATE_PPB = 20_000.0


# The page


def publish(page: ClockPage, **changes: Any) -> None:
    values = {
        "raw_anchor_ns": 1_000 * NS,
        "tai_anchor_ns": 1_790_000_037 * NS,
        "rate_ppb": 0.0,
        "valid_until_raw_ns": 2_000 * NS,
        "error_ns": 0,
    }
    page.publish_map(**values | changes)


def test_a_page_is_void_until_a_map_is_published() -> None:
    page = ClockPage()
    assert page.read_map(1_000 * NS) is None
    publish(page)
    assert page.read_map(1_000 * NS) == 1_790_000_037 * NS


@pytest.mark.parametrize("rate_ppb", [0.0, 20_000.0, -20_000.0, 0.25, -1e7, 1e7])
def test_the_map_is_exact(rate_ppb: float) -> None:
    page = ClockPage()
    publish(page, rate_ppb=rate_ppb)
    for elapsed_ns in (0, 1, 999_999_999, 500 * NS, -300 * NS):
        expected_ns = 1_790_000_037 * NS + elapsed_ns + elapsed_ns * round(rate_ppb * 1_000) // 10**12
        found_ns = page.read_map(1_000 * NS + elapsed_ns)
        assert found_ns is not None
        assert abs(found_ns - expected_ns) <= 1


def test_a_map_expires_and_can_be_withdrawn() -> None:
    page = ClockPage()
    publish(page)
    assert page.read_map(2_000 * NS) is not None
    assert page.read_map(2_000 * NS + 1) is None
    page.withdraw_maps()
    assert page.read_map(1_000 * NS) is None


def test_the_phc_map_is_a_map_of_its_own() -> None:
    page = ClockPage()
    assert page.read_phc_map(0, 0) is None
    page.publish_phc_map(
        phc_index=1,
        phc_anchor_ns=5 * NS,
        tai_anchor_ns=1_790_000_037 * NS,
        rate_ppb=1_000.0,
        valid_until_raw_ns=100 * NS,
        error_ns=10,
    )
    assert page.read_phc_map(6 * NS, 100 * NS) == 1_790_000_038 * NS + 1_000
    assert page.read_phc_map(6 * NS, 100 * NS + 1) is None
    assert page.read_map(6 * NS) is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rate_ppb": 1e8}, "rate_ppb"),
        ({"rate_ppb": float("nan")}, "rate_ppb"),
        ({"tai_anchor_ns": -1}, "tai_anchor_ns"),
        ({"error_ns": -1}, "error_ns"),
    ],
)
def test_impossible_maps_are_refused_by_name(changes: dict[str, Any], text: str) -> None:
    page = ClockPage()
    with pytest.raises(ValueError, match=text):
        publish(page, **changes)
    assert page.read_map(1_000 * NS) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clock_class", 256),
        ("clock_accuracy", -1),
        ("offset_scaled_log_variance", 65536),
        ("current_utc_offset", 40000),
        ("flags", 0x400),
        ("priority2", 256),
        ("grandmaster_identity", b"short"),
    ],
)
def test_impossible_announce_data_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        ClockPage().publish_announce(**ANNOUNCE | {field: value})


# SPTP


def offset_of(sptp: StampedSocket, address: str, port: int, page: ClockPage, sequence: int) -> float:
    """One exchange with kernel stamps: server minus what the page says, in ns."""
    number = sptp.send(sptp_request(sequence, port_number=4242), address, port)
    replies: list[Received] = []
    while len(replies) < 2:
        assert select.select([sptp], [], [], 1.0)[0], "no reply"
        if (reply := sptp.receive()) is not None:
            replies.append(reply)
    t3 = sptp.transmit_ns(number)
    t2 = replies[0].realtime_ns
    assert t2 is not None
    assert t3 is not None

    def timestamp_ns(data: bytes) -> int:
        return int.from_bytes(data[34:40], "big") * NS + int.from_bytes(data[40:44], "big")

    t4, t1 = timestamp_ns(replies[0].data), timestamp_ns(replies[1].data)
    host_minus_server_ns = ((t2 - t1) - (t4 - t3)) / 2
    raw, real = host_clocks()
    truth_ns = page.read_map(raw - (real - t2))
    assert truth_ns is not None
    return (t2 - truth_ns) - host_minus_server_ns


@pytest.mark.parametrize("kernel_stamp_ids", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_served_time_is_the_pages_and_not_the_hosts(address: str, kernel_stamp_ids: bool) -> None:
    page = fresh_page(offset_ns=OFFSET_NS, rate_ppb=RATE_PPB)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        serving(page, addresses=[address], kernel_stamp_ids=kernel_stamp_ids) as to,
        StampedSocket(family, address, 0) as sptp,
    ):
        time.sleep(0.1)  # the kernel starts to stamp a moment after the first socket asks for it
        errors_ns = [offset_of(sptp, address, to.event_port, page, sequence) for sequence in range(15)]
        raw, real = host_clocks()
        ahead_ns = (page.read_map(raw) or 0) - real - UTC_OFFSET_NS
    assert ahead_ns > OFFSET_NS + 1_000  # the drift has been at work
    assert abs(statistics.median(errors_ns)) < 50_000, errors_ns


def test_the_two_replies_say_what_sptp_wants() -> None:
    with serving() as to, Client(to) as client:
        before_ns = to.page.read_map(raw_ns())
        sync, announce = client.exchange(77, correction=0x18A98000)
        after_ns = to.page.read_map(announce.received_raw_ns)
    assert before_ns is not None
    assert after_ns is not None
    t4, t1 = sync.timestamp_ns, announce.timestamp_ns
    assert before_ns <= t4 <= t1 <= after_ns
    assert (sync.flags, sync.length, len(sync.data), sync.correction) == (0x0600, 44, 44, 0)
    assert (announce.flags, announce.length, len(announce.data)) == (0x043C, 64, 64)
    assert announce.correction == 0x18A98000
    assert announce.data[44:64].hex() == "0025008006254e5d7f" + SERVER_IDENTITY.hex() + "000020"
    for reply in (sync, announce):
        assert reply.data[20:30] == SERVER_IDENTITY + b"\x00\x01"
        assert reply.port not in (to.event_port, to.general_port)


def test_ipv6_replies_carry_the_trailer() -> None:
    with serving(addresses=["::1"]) as to, Client(to, "::1", "::1") as client:
        sync, announce = client.exchange()
    assert (sync.length, len(sync.data)) == (44, 46)
    assert (announce.length, len(announce.data)) == (64, 66)
    assert sync.data[44:] == announce.data[64:] == b"\x00\x00"


def test_the_minor_version_can_be_0() -> None:
    with serving(minor_version=0) as to, Client(to) as client:
        assert [reply.data[1] for reply in client.exchange()] == [2, 2]


def test_a_clients_announce_goes_to_the_general_port() -> None:
    with (
        serving() as to,
        Client(to, "127.0.0.2") as event,
        Client(to, "127.0.0.2", port=to.general_port) as general,
    ):
        event.event(sptp_request(5, port_number=1))
        assert event.next().kind == SYNC
        assert general.next().kind == ANNOUNCE_TYPE
        assert event.receive(0.05) is None


def test_replies_leave_from_the_address_that_was_asked() -> None:
    with (
        serving(addresses=["0.0.0.0"]) as to,
        Client(to, "127.0.0.1", "127.0.0.5") as one,
        Client(to, "127.0.0.1", "127.0.0.6") as other,
    ):
        assert {reply.address for reply in one.exchange()} == {"127.0.0.5"}
        assert {reply.address for reply in other.exchange()} == {"127.0.0.6"}


def test_the_response_port_offset_moves_through_sixteen_source_ports() -> None:
    with serving() as to, Client(to) as client:
        pairs = [client.exchange(n, offset=n) for n in range(16)]
        again = [client.exchange(n, offset=n) for n in range(16)]
        plain = client.exchange(99)
    assert len({sync.port for sync, _ in pairs}) == 16
    assert len({announce.port for _, announce in pairs}) == 16
    assert [sync.port for sync, _ in pairs] == [sync.port for sync, _ in again]
    assert plain[0].port == pairs[0][0].port  # no TLV is offset 0


def test_clients_spread_over_the_source_ports() -> None:
    with serving() as to, Client(to) as client:
        ports = {
            client.exchange(n, identity=bytes.fromhex("0c42a1fffe") + n.to_bytes(3, "big"))[0].port
            for n in range(200)
        }
    assert len(ports) == 16


def test_many_requests_in_flight_are_all_answered() -> None:
    with serving() as to, Client(to) as client:
        for sequence in range(100):
            client.event(sptp_request(sequence, port_number=4242))
        replies = [client.next() for _ in range(200)]
    by_kind = {kind: [r.sequence for r in replies if r.kind == kind] for kind in (SYNC, ANNOUNCE_TYPE)}
    assert by_kind[SYNC] == list(range(100))
    assert by_kind[ANNOUNCE_TYPE] == list(range(100))


@pytest.mark.parametrize("flags", [0x0400, 0x2600, 0x2401, 0x6400])
def test_only_the_exact_flags_make_sptp(flags: int) -> None:
    with serving() as to, Client(to) as client:
        client.event(sptp_request(1, flags=flags, port_number=4242))
        assert to.wait_for("dropped.no_contract", 1) == 1
        assert client.receive(0.02) is None
        client.exchange(2)


# What is not answered


def test_nothing_is_answered_without_time() -> None:
    page = fresh_page(valid_s=0.15)
    with serving(page) as to, Client(to) as client:
        client.exchange()
        time.sleep(0.2)
        client.event(sptp_request(2, port_number=4242))
        client.general(signaling(request(ANNOUNCE_TYPE)))
        assert to.wait_for("dropped.no_time", 2) == 2
        assert client.receive(0.05) is None
        raw, real = host_clocks()
        publish(page, raw_anchor_ns=raw, tai_anchor_ns=real + UTC_OFFSET_NS, valid_until_raw_ns=raw + 60 * NS)
        client.exchange(3)
        page.withdraw_maps()
        client.event(sptp_request(4, port_number=4242))
        assert to.wait_for("dropped.no_time", 3) == 3


def test_nothing_is_answered_before_announce_data_and_permission() -> None:
    page = ClockPage()
    with serving(page) as to, Client(to) as client:
        client.event(sptp_request(1, port_number=4242))
        assert to.wait_for("dropped.not_serving", 1) == 1
        page.set_serving(True)
        client.event(sptp_request(2, port_number=4242))
        assert to.wait_for("dropped.no_time", 1) == 1
        raw, real = host_clocks()
        publish(page, raw_anchor_ns=raw, tai_anchor_ns=real, valid_until_raw_ns=raw + NS)
        client.event(sptp_request(3, port_number=4242))
        assert to.wait_for("dropped.no_time", 2) == 2
        assert client.receive(0.05) is None


REASONS = {
    "bad_short_header": "size",
    "bad_short_body": "size",
    "bad_length_over": "length",
    "bad_length_under": "length",
    "bad_length_zero": "length",
    "bad_version1": "version",
    "bad_version3": "version",
    "bad_message_type_4": "type",
    "bad_domain": "domain",
    "bad_sdoid": "sdo_id",
    "bad_own_identity": "own_identity",
    "bad_tlv_overrun": "tlv",
    "bad_tlv_odd": "tlv",
    "bad_tlv_short_request": "tlv",
    "bad_sig_no_tlv": "tlv",
    "bad_trailing4": "trailer",
}


def test_malformed_datagrams_are_dropped_with_a_reason(shared_dir: Path) -> None:
    path = shared_dir / "reference" / "ptp-vectors.json"
    vectors = {v["name"]: v for v in json.loads(path.read_text(encoding="utf-8"))["vectors"]}
    with serving() as to, Client(to) as client:
        for name, reason in REASONS.items():
            before = to.count(f"dropped.{reason}")
            data = bytes.fromhex(vectors[name]["hex"])
            (client.event if vectors[name]["dst_port"] == 319 else client.general)(data)
            assert to.wait_for(f"dropped.{reason}", before + 1) == before + 1, name
        client.event(b"")
        assert to.wait_for("dropped.size", 3) == 3
        client.event(bytes(1500))
        assert to.wait_for("dropped.oversize", 1) == 1
        assert client.receive(0.05) is None
        client.exchange()


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (sptp_request(1, correction=(10 * NS + 1) << 16), "dropped.correction"),
        (sptp_request(1, correction=0x7FFF_FFFF_FFFF_FFFF), "dropped.correction"),
        (sptp_request(1, correction=-(10 * NS + 1) << 16), "dropped.correction"),
        (sptp_request(1, flags=0x2000), "dropped.unsupported"),
        (sptp_request(1, identity=SERVER_IDENTITY), "dropped.own_identity"),
        (signaling(request(0)), "dropped.unsupported"),
    ],
)
def test_unfit_messages_on_the_event_port_are_counted(data: bytes, counter: str) -> None:
    with serving() as to, Client(to) as client:
        client.event(data)
        assert to.wait_for(counter, 1) == 1
        assert client.receive(0.02) is None


def test_a_negative_correction_is_answered_and_counted() -> None:
    with serving() as to, Client(to) as client:
        _, announce = client.exchange(1, correction=-16384000)
        assert announce.correction == -16384000
        assert to.count("rx.negative_correction") == 1


def test_a_prefix_gets_no_more_than_its_rate() -> None:
    with (
        serving(addresses=["0.0.0.0"], requests_per_s_prefix=1, requests_burst_prefix=10) as to,
        Client(to, "127.0.0.1", "127.0.0.1") as flood,
        Client(to, "127.0.1.1", "127.0.1.1") as other,
    ):
        for sequence in range(50):
            flood.event(sptp_request(sequence, port_number=4242))
        assert to.wait_for("dropped.rate", 39) in (39, 40)
        other.exchange()


def test_an_interface_that_is_not_served_is_not_answered() -> None:
    with serving(interfaces=["lo"]) as to, Client(to) as client:
        client.exchange()
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not others:
        pytest.skip("this host has no interface beside lo")
    with serving(interfaces=others[:1]) as to, Client(to) as client:
        client.event(sptp_request(1, port_number=4242))
        assert to.wait_for("dropped.destination", 1) == 1


def test_an_exchange_across_a_change_of_epoch_or_map_is_consistent() -> None:
    """T4 and T1 of every finished exchange come from one clock, however often it is stepped."""
    page = fresh_page()
    stop = threading.Event()

    def stepper() -> None:
        epoch = 0
        while not stop.wait(0.0002):
            epoch += 1
            raw, real = host_clocks()
            publish(
                page,
                raw_anchor_ns=raw,
                tai_anchor_ns=real + UTC_OFFSET_NS + (epoch % 2) * NS,
                valid_until_raw_ns=raw + 60 * NS,
            )

    thread = threading.Thread(target=stepper)
    with serving(page) as to, Client(to) as client:
        thread.start()
        finished = 0
        try:
            for sequence in range(300):
                client.event(sptp_request(sequence, port_number=4242))
                replies = [r for r in (client.receive(0.2), client.receive(0.02)) if r is not None]
                if len(replies) == 2 and replies[0].sequence == replies[1].sequence:
                    finished += 1
                    assert 0 <= replies[1].timestamp_ns - replies[0].timestamp_ns < NS // 2
                client.drain()
        finally:
            stop.set()
            thread.join()
    assert finished > 100


# Life cycle


def make(**options: Any) -> Server:
    event_port, general_port = free_ports()
    fixed = {"addresses": ["127.0.0.1"], "clock_identity": SERVER_IDENTITY}
    return Server(ClockPage(), **{"event_port": event_port, "general_port": general_port} | fixed | options)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"addresses": []}, TypeError, "addresses"),
        ({"addresses": "127.0.0.1"}, TypeError, "addresses"),
        ({"addresses": ["localhost"]}, ValueError, "localhost"),
        ({"clock_identity": b"123"}, ValueError, "clock_identity"),
        ({"event_port": 0}, ValueError, "event_port"),
        ({"event_port": 70000}, ValueError, "event_port"),
        ({"event_port": 4000, "general_port": 4000}, ValueError, "4000"),
        ({"domain": 256}, ValueError, "domain"),
        ({"dscp": 64}, ValueError, "dscp"),
        ({"reply_pairs": 15}, ValueError, "reply_pairs"),
        ({"timestamping": "exact"}, ValueError, "timestamping"),
        ({"timestamping": "hardware"}, ValueError, "stamp_interface"),
        ({"log_period_min": 3, "log_period_max": 2}, ValueError, "log_period_min"),
        ({"colour": 1}, TypeError, "colour"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make(**options)


def test_a_port_in_use_is_named() -> None:
    with serving() as to:
        other = make(event_port=to.event_port)
        with pytest.raises(OSError, match=f"127.0.0.1 port {to.event_port}.*in use") as caught:
            other.start()
        assert caught.value.errno == 98
        assert not other.running
        with Client(to) as client:
            client.exchange()


def test_an_address_of_somebody_else_is_named() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1 port"):
        make(addresses=["192.0.2.1"]).start()


def test_an_absent_interface_is_named() -> None:
    with pytest.raises(OSError, match="no-such-if"):
        make(interfaces=["no-such-if"]).start()
    with pytest.raises(OSError, match="no-such-if"):
        make(stamp_interface="no-such-if").start()


def test_loopback_has_software_stamps_only() -> None:
    automatic = make(stamp_interface="lo")
    automatic.start()
    assert (automatic.timestamping, automatic.phc_index) == ("software", None)
    automatic.stop()
    with pytest.raises(OSError, match="hardware time stamps of interface lo"):
        make(stamp_interface="lo", timestamping="hardware").start()


def test_stop_is_quick_and_start_works_again() -> None:
    server = make()
    assert not server.running
    server.stop()
    for _ in range(3):
        server.start()
        assert server.running
        with pytest.raises(OSError, match="runs already"):
            server.start()
        began_ns = raw_ns()
        server.stop()
        assert raw_ns() - began_ns < NS
        assert not server.running


def test_the_threads_give_signs_of_life() -> None:
    with serving() as to:
        first_ns = to.server.heartbeat_raw_ns
        time.sleep(0.15)
        assert to.server.heartbeat_raw_ns > first_ns
        assert raw_ns() - to.server.heartbeat_raw_ns < NS


def test_a_forgotten_server_closes_its_ports() -> None:
    event_port, general_port = free_ports()
    for _ in range(2):
        make(event_port=event_port, general_port=general_port).start()


def test_answers_do_not_need_the_interpreter() -> None:
    """The main thread holds Python's lock in one long call; a client in another process is still answered."""
    import subprocess
    import sys

    script = (
        "import socket, sys, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3)\n"
        "sys.stdin.readline()\n"
        "end, got = time.monotonic() + float(sys.argv[3]), 0\n"
        "while time.monotonic() < end:\n"
        "    s.sendto(bytes.fromhex(sys.argv[2]), ('127.0.0.1', int(sys.argv[1])))\n"
        "    got += len(s.recv(99)) + len(s.recv(99)) == 108\n"
        "print(got)\n"
    )
    with serving() as to:
        command = [sys.executable, "-c", script, str(to.event_port), sptp_request(1, port_number=4242).hex()]
        with subprocess.Popen(
            [*command, "0.3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
            numbers = list(range(3_000_000, 0, -1))
            for _ in range(10):
                sorted(numbers)  # C code that never lets go of the lock
            output, _ = child.communicate(timeout=30)
    assert int(output) > 10


# The owner


def ptp_config(**changes: Any) -> PtpConfig:
    event_port, general_port = free_ports()
    return PtpConfig.model_validate(
        {"addresses": ["127.0.0.1"], "ports": [event_port, general_port]} | changes
    )


def test_the_owner_serves_from_its_configuration() -> None:
    config = ptp_config(domain=44, minor_version=0)
    owner = PtpServer(config, SERVER_IDENTITY)
    raw, real = host_clocks()
    publish(owner.page, raw_anchor_ns=raw, tai_anchor_ns=real, valid_until_raw_ns=raw + 60 * NS)
    owner.page.publish_announce(**ANNOUNCE)
    owner.page.set_serving(True)
    with owner, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.sendto(sptp_request(1, domain=44, port_number=4242), ("127.0.0.1", config.ports[0]))
        assert sock.recv(100)[1:5] == bytes([2, 0, 44, 44])
        assert owner.alive(raw_ns())
        assert (owner.timestamping, owner.hardware_stamps, owner.phc_index) == ("software", False, None)
        sock.sendto(signaling(request(ANNOUNCE_TYPE), domain=44), ("127.0.0.1", config.ports[1]))
        deadline_ns = raw_ns() + NS
        while owner.contract_count() == 0 and raw_ns() < deadline_ns:
            time.sleep(0.005)
        (contract,) = owner.contracts()
        assert str(contract.port_identity) == "0c42a1.fffe.6d7ca6-1"
        assert contract.message_type == ANNOUNCE_TYPE
    assert not owner.alive(raw_ns())


def test_the_owner_says_how_to_cure_a_start_that_fails() -> None:
    config = ptp_config()
    with (
        PtpServer(config, SERVER_IDENTITY),
        pytest.raises(PtpServerError, match=r"in use.*ss -ulpn") as caught,
    ):
        PtpServer(config, SERVER_IDENTITY).start()
    assert caught.value.errno == 98
    with pytest.raises(PtpServerError, match=r"ptp\.addresses"):
        PtpServer(ptp_config(addresses=["192.0.2.1"]), SERVER_IDENTITY).start()
