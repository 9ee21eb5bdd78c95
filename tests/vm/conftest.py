"""The virtual machine for tests, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import missing
from tests.vm.card import card_processes
from tests.vm.fetch import Machine, ensure
from tests.vm.guest import Guest
from tests.vm.kernels import KERNELS
from tests.vm.project import guest_project, guest_site
from tests.vm.qemu import Hardware, check_qemu
from tests.vm.store import VmUnavailableError

HERE = Path(__file__).resolve().parent
SHORT = "test_stock_driver.py"
BOOT_TIMEOUT_S = 900
"""A first run fetches packages."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here boots a guest, but for the tests of the harness itself.

    ``make test`` boots each stock kernel once; what else there is takes its time and belongs to the full run.
    """
    for item in items:
        if HERE in item.path.parents and item.path.name != "test_harness.py":
            item.add_marker(pytest.mark.vm)
            item.add_marker(pytest.mark.timeout(BOOT_TIMEOUT_S))
            if item.path.name != SHORT:
                item.add_marker(pytest.mark.full)


@pytest.fixture(scope="session")
def machine() -> Machine:
    """QEMU, kernels and the guest's files, complete in the cache."""
    try:
        found = ensure()
        check_qemu(found.root)
        guest_site(found.cache, found.root)
        guest_project(found.cache, found.root)
    except VmUnavailableError as error:
        missing(f"no virtual machine: {error}")
    return found


@pytest.fixture(scope="module", params=list(KERNELS))
def kernel(request: pytest.FixtureRequest) -> str:
    """Each of the stock kernels."""
    return str(request.param)


@pytest.fixture(scope="module")
def guest(machine: Machine, kernel: str) -> Iterator[Guest]:
    """One boot for a module's tests: a Facebook card with MSI-X, the stock driver loaded."""
    with (
        card_processes(()) as cards,
        Guest.boot(machine, kernel, Hardware(cards=(cards[0].path,))) as running,
    ):
        yield running
