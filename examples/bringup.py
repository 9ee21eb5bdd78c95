"""Bring up a card from Python: the same program on every board and every way to it.

python examples/bringup.py                                  the only card there is, by the way that is free
python examples/bringup.py --pci 0000:3b:00.0 --access vfio
python examples/bringup.py --vfio-user card.sock            an emulated card
python examples/bringup.py --intent my.toml --check         another intent; change nothing
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from timecard.api import Access, TimeCardError, bring_up, describe_card, intent_from, open_card

INTENT = {
    "version": 1,
    "selection": {"clock_source": "REGS"},
    "receiver": {"wait_fix_s": 120},
    "sma": [{"connector": 3, "direction": "out", "functions": ["PHC"]}],
    "time": {"source": "receiver", "wait_s": 120},
    "proof": {"limit_ns": 1000, "seconds": 5, "wait_s": 120},
}


def main() -> int:
    """Open the card, show what it is, make it what the intent says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--id")
    parser.add_argument("--pci")
    parser.add_argument("--vfio-user", type=Path)
    parser.add_argument("--access", choices=["kernel", "resource0", "vfio"])
    parser.add_argument("--intent", type=Path, help="TOML file instead of the built-in intent")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    descriptor = describe_card(id=options.id, pci=options.pci, vfio_user=options.vfio_user)
    access = Access(options.access) if options.access else None
    with open_card(descriptor, access=access) as card:
        if not options.json:
            print(f"{card.id}: {card.board.product}, by {card.access.value}")
            print(f"clock {card.clock.now_tai_ns()} ns TAI, follows {card.clock.source_name()}")
            for connector in card.sma.read():
                print(connector)
            for what, reason in card.missing().items():
                print(f"no {what}: {reason}")
        intent = options.intent or intent_from(INTENT)
        report = bring_up(card, intent, check=options.check)
    if options.json:
        print(json.dumps(report.as_dict()))
    else:
        for step in report.steps:
            for result in step.results:
                print(f"{step.name:12} {result}")
        print(f"verdict: {report.verdict.name.lower()}")
    return report.verdict.value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TimeCardError as error:
        sys.exit(f"{error}")
