"""Weights by inverse variance, shared inside a group and capped, so that no claim rules the ensemble."""

from __future__ import annotations

from collections.abc import Mapping

LEAST_VARIANCE_NS2 = 1e-4


def capped_weights(
    variances_ns2: Mapping[str, float], groups: Mapping[str, str], *, share: float = 0.3
) -> dict[str, float]:
    """Weights that add up to 1 (empty for no source).

    A group weighs as its best member: two receivers on one antenna are one clock. No group gets more than
    ``share`` or 2.5 / number of groups, whichever is more; what it had too much goes to the others.
    """
    inverse = {name: 1.0 / max(v, LEAST_VARIANCE_NS2) for name, v in variances_ns2.items()}
    best: dict[str, float] = {}
    total: dict[str, float] = {}
    for name, value in inverse.items():
        group = groups[name]
        best[group] = max(best.get(group, 0.0), value)
        total[group] = total.get(group, 0.0) + value
    limit = max(share, 2.5 / len(best)) if best else 1.0
    of_group: dict[str, float] = {}
    free, left = dict(best), 1.0
    while free:
        scale = left / sum(free.values())
        over = [group for group, value in free.items() if value * scale > limit]
        if not over:
            of_group |= {group: value * scale for group, value in free.items()}
            break
        for group in over:
            del free[group]
            of_group[group] = limit
            left -= limit
    return {name: of_group[groups[name]] * value / total[groups[name]] for name, value in inverse.items()}
