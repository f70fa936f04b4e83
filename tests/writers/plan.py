"""Which plates are written: every two values of any two factors meet in one of them."""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np

FACTORS: dict[str, tuple[str, ...]] = {
    "writer": ("zarr", "ngio", "ngff-zarr", "ome-zarr-py"),
    "version": ("0.4", "0.5"),
    "grid": ("equal", "smaller", "larger", "stack", "no z", "binned"),
    "unit": ("micrometer", "nanometer", "millimeter", "missing"),
    "channels": ("own", "none", "bare", "twice", "moved"),
    "place": ("own", "stage", "centres"),
    "fields": ("whole", "table", "missing", "renamed", "images"),
    "wells": ("one", "unnumbered", "gone", "damaged"),
    "extras": ("none", "files", "labels", "mask"),
    "links": ("none", "image", "level", "well"),
    "output": ("beside", "in place"),
}
"""What is right or wrong with a plate, and what is made of it. The first value is that
of a plate without faults."""

Case = dict[str, str]

_CANDIDATES = 30
"""Random plates from which the one with most new pairs is taken; more of them save a
plate or two."""


def is_possible(case: Case) -> bool:
    """Whether what is right can be said of a plate.

    Links are not replaced. Where images are neither numbered nor named, nobody knows
    whether they are fields or acquisitions.
    """
    if case["output"] == "in place" and case["links"] != "none":
        return False
    return not (case["fields"] == "images" and case["wells"] == "unnumbered")


def plan_cases(factors: dict[str, tuple[str, ...]]) -> list[Case]:
    """Give cases in which each possible pair of values of two factors occurs."""
    rng = np.random.default_rng(0)
    missing = {
        pair
        for one, other in combinations(factors, 2)
        for pair in product(
            [(one, v) for v in factors[one]], [(other, v) for v in factors[other]]
        )
        if is_possible(_plain(factors) | dict(pair))
    }
    cases: list[Case] = []
    while missing:
        wanted = sorted(missing)[0]
        candidates: list[Case] = []
        while len(candidates) < _CANDIDATES:
            case = {name: str(rng.choice(values)) for name, values in factors.items()}
            case |= dict(wanted)
            if is_possible(case):
                candidates.append(case)
        best = max(candidates, key=lambda case: len(missing & set(_pairs(case))))
        missing -= set(_pairs(best))
        cases.append(best)
    return cases


def _plain(factors: dict[str, tuple[str, ...]]) -> Case:
    return {name: factors.get(name, values)[0] for name, values in FACTORS.items()}


def _pairs(case: Case) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    yield from combinations(case.items(), 2)
