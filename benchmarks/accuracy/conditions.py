"""The conditions under which the methods are compared."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fractal_tasks.synthetic import PlateOptions
from fractal_tasks.synthetic.geometry import draw_stage

_FIELD_UM = 512 * 0.325
_BASE: dict[str, Any] = {
    "fields_y": 3,
    "fields_x": 3,
    "field_size_px": 512,
    "acquisitions": 2,
    "channels": 1,
    "labels": False,
    # The fastest.
    "table_backend": "json",
    "plate_shift_um": 10.0,
    # It bounds how well the other fields can stand in for one.
    "stage_jitter_um": 0.1,
    # They mislead most methods: conditions of their own.
    "hot_pixels": 0,
}
_DIRTY: dict[str, Any] = {
    "hot_pixels": 200,
    "hot_clusters": 20,
    "dust_specks": 30,
    "vignetting": 0.5,
}
_STACK: dict[str, Any] = {"planes": 15, "channels": 1, "fields_y": 2, "fields_x": 2}


@dataclass(frozen=True)
class Condition:
    """One kind of plate; every seed gives another plate of its kind."""

    name: str
    options: PlateOptions
    informative: bool = True
    """False if the images need not hold the answer; then only mistakes count."""
    unrelated: bool = False
    """Compare each field of the reference with another field of the acquisition."""
    near_longest: bool = False
    """Only seeds with a shift of at least 0.8 times `plate_shift_um`."""

    def plates(self, count: int, first_seed: int) -> Iterator[PlateOptions]:
        """Give the options of `count` plates with different seeds."""
        plates = (
            self.options.model_copy(update={"seed": seed})
            for seed in itertools.count(first_seed)
        )
        return itertools.islice(filter(self._is_wanted, plates), count)

    def _is_wanted(self, options: PlateOptions) -> bool:
        if not self.near_longest:
            return True
        shift_um = draw_stage(options, 1).translation_um[1:]
        return bool(np.linalg.norm(shift_um) >= 0.8 * options.plate_shift_um)


def _condition(
    name: str,
    *,
    informative: bool = True,
    unrelated: bool = False,
    near_longest: bool = False,
    **options: Any,  # noqa: ANN401 (fields of PlateOptions)
) -> Condition:
    return Condition(
        name,
        PlateOptions(**(_BASE | options)),
        informative=informative,
        unrelated=unrelated,
        near_longest=near_longest,
    )


def _shift(share: float) -> Condition:
    return _condition(
        f"shift {100 * share:.0f} %",
        plate_shift_um=share * _FIELD_UM,
        near_longest=True,
    )


CONDITIONS = [
    _condition("easy"),
    _condition("easy, fields of 1024", field_size_px=1024),
    _condition("easy, fields of 256", field_size_px=256),
    _shift(0.10),
    _shift(0.25),
    _shift(0.45),
    _condition("stage jitter 3 um", stage_jitter_um=3),
    _condition("signal 100 counts", signal_counts=100),
    _condition("signal 30 counts", signal_counts=30),
    _condition("signal 10 counts", signal_counts=10, informative=False),
    _condition("signal 4 counts", signal_counts=4, informative=False),
    _condition(
        "signal 10, hot pixels", signal_counts=10, hot_pixels=20, informative=False
    ),
    _condition("signal 1 count", signal_counts=1, informative=False),
    _condition("sparse, 8 per field", nuclei_per_mm2=300),
    _condition("sparse, 2 per field", nuclei_per_mm2=80, informative=False),
    _condition("3 of 9 fields empty", empty_fields=3),
    _condition("3 empty, rotation 0.5 deg", empty_fields=3, rotation_deg=0.5),
    _condition("debris", debris_per_field=25),
    _condition("20 hot pixels", hot_pixels=20),
    _condition("500 hot pixels", hot_pixels=500),
    _condition("60 hot clusters", hot_clusters=60),
    _condition("vignetting", vignetting=0.7, haze=0.5),
    _condition("dust", dust_specks=40, haze=0.5),
    _condition("faint and dirty", signal_counts=50, haze=1.0, **_DIRTY),
    _condition(
        "dirty, shift 45 %",
        plate_shift_um=0.45 * _FIELD_UM,
        near_longest=True,
        haze=0.5,
        **_DIRTY,
    ),
    _condition("lost cells 40 %", lost_cells=0.4),
    _condition("bleaching 80 %", bleaching=0.8),
    _condition("defocus 1 um", defocus_um=1.0),
    _condition("defocus 2.5 um", defocus_um=2.5),
    _condition("inverted", inverted=True),
    _condition("inverted, shift 25 %", inverted=True, plate_shift_um=0.25 * _FIELD_UM),
    _condition("lattice", lattice_um=20),
    _condition("lattice, shift 25 %", lattice_um=20, plate_shift_um=0.25 * _FIELD_UM),
    # A shift by the pitch gives nearly the same image.
    _condition(
        "lattice, identical", lattice_um=20, identical_nuclei=True, informative=False
    ),
    _condition("rotation 0.25 deg", rotation_deg=0.25),
    _condition("rotation 0.5 deg", rotation_deg=0.5),
    _condition("rotation 1 deg", rotation_deg=1.0),
    _condition("scale 0.2 %", scale_change=0.002),
    _condition("scale 1 %", scale_change=0.01),
    _condition(
        "all at once",
        signal_counts=300,
        haze=0.2,
        plate_shift_um=30,
        lost_cells=0.2,
        bleaching=0.5,
        defocus_um=0.7,
        debris_per_field=6,
        hot_pixels=100,
        hot_clusters=5,
        dust_specks=10,
        vignetting=0.4,
        rotation_deg=0.1,
        scale_change=0.001,
    ),
    _condition("stack, 5 planes", **_STACK | {"planes": 5}, z_shift_um=1.0),
    _condition("stack, 15 planes", **_STACK, z_shift_um=3.0),
    _condition("stack, 2 um planes", **_STACK, z_spacing_um=2.0, z_shift_um=6.0),
    _condition("unrelated", unrelated=True, informative=False),
    _condition(
        "unrelated, dirty", unrelated=True, informative=False, haze=0.5, **_DIRTY
    ),
    _condition(
        "unrelated stack", unrelated=True, informative=False, **_STACK | {"planes": 5}
    ),
    _condition("empty", nuclei_per_mm2=0, informative=False),
    _condition("empty, dirty", nuclei_per_mm2=0, haze=0.5, informative=False, **_DIRTY),
    _condition(
        "empty, hot", nuclei_per_mm2=0, hot_clusters=20, informative=False, haze=0.2
    ),
]
"""All conditions, from easy ones to those where nothing can be found."""
