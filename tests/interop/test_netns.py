"""The test bed leaves nothing behind and says what it misses."""

from __future__ import annotations

import subprocess

import pytest

from tests import netns

pytestmark = pytest.mark.netns


def existing() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_both_hosts_reach_each_other_at_once(family: str) -> None:
    with netns.veth_pair() as pair:
        server, _ = pair.addresses(family)
        # No duplicate address detection: an IPv6 address that were still tentative could not be bound.
        out = pair.client.run("ip", "-o", "addr", "show", "dev", pair.client.interface)
        ours = [line for line in out.splitlines() if getattr(pair.client, family) in line]
        assert len(ours) == 1 and "tentative" not in ours[0]
        assert "dev veth-c" in pair.client.run("ip", "route", "get", server)


def test_namespaces_and_processes_end_with_the_block_even_after_a_failure() -> None:
    with pytest.raises(RuntimeError, match="as planned"), netns.veth_pair() as pair:
        names = (pair.server.name, pair.client.name)
        process = pair.server.start("sleep", "600")
        assert all(name in existing() for name in names)
        raise RuntimeError("as planned")
    assert process.poll() is not None
    assert not any(name in existing() for name in names)


def test_a_failing_command_is_an_error_with_its_words() -> None:
    with netns.veth_pair() as pair, pytest.raises(RuntimeError, match="no-such-interface"):
        pair.client.run("ip", "link", "show", "dev", "no-such-interface")


def test_a_missing_peer_skips_and_fails_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="program no-such-peer is not installed"):
        netns.require("no-such-peer")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-peer"):
        netns.require("no-such-peer")
