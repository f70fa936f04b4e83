"""Plates with two acquisitions, as a case says, on a disk."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.writers import faults
from tests.writers.plan import Case
from tests.writers.scene import (
    FIELD_PX,
    PIXEL_UM,
    SHIFT_PX,
    SIZE_PX,
    Pixels,
    ideal_view,
    take,
)
from tests.writers.writers import WRITERS, Image, Version

WELL, OTHER_WELL = "A/01", "A/02"
STAIN, OTHER_STAIN = 1, 2
"""Seeds of the two channels."""

FIELDS = ("FOV_1", "FOV_2")
_VERSIONS: dict[str, Version] = {"0.4": "0.4", "0.5": "0.5"}


@dataclass(frozen=True)
class Pair:
    """A reference and what is registered to it."""

    reference: str
    acquisition: str
    field: int | None
    """Which of the fields they are; None for both in one image."""

    @property
    def start_px(self) -> tuple[int, int]:
        """First corner in the scene (y, x)."""
        return 0, FIELD_PX * (self.field or 0)

    @property
    def size_px(self) -> tuple[int, int]:
        """Size of the reference."""
        return SIZE_PX if self.field is None else (FIELD_PX, FIELD_PX)

    def reference_view(self, binning: int = 1) -> Pixels:
        """Give what the reference sees of the stain, and thus what is right."""
        return ideal_view(
            STAIN, start_px=self.start_px, size_px=self.size_px, binning=binning
        )


def pairs_of(case: Case) -> list[Pair]:
    """Give what belongs together.

    Where each field is an image, those of the acquisition are in another order if the
    stage tells which is which.
    """
    if case["fields"] != "images":
        return [Pair("0", "1", None)]
    first, second = ("3", "2") if case["place"] == "stage" else ("2", "3")
    return [Pair("0", first, 0), Pair("1", second, 1)]


def binning_of(case: Case) -> int:
    return 2 if case["grid"] == "binned" else 1


def size_of_acquisition(case: Case, pair: Pair) -> tuple[int, int]:
    """Give what it sees (y, x), in pixels of the reference."""
    more = {"smaller": -8, "larger": 8}.get(case["grid"], 0)
    height, width = pair.size_px
    return height + more, width + more


def acquisition_view(case: Case, pair: Pair, stain: int = STAIN) -> Pixels:
    return ideal_view(
        stain,
        moved_px=SHIFT_PX,
        start_px=pair.start_px,
        size_px=size_of_acquisition(case, pair),
        binning=binning_of(case),
    )


def channel_of_stain(case: Case, *, is_reference: bool) -> int:
    return int(case["channels"] == "moved" and not is_reference)


def create(plate: Path, case: Case) -> None:
    """Write a plate, and put in what is unusual."""
    pairs = pairs_of(case)
    members = [(pair.reference, 0) for pair in pairs]
    members += sorted((pair.acquisition, 1) for pair in pairs)
    wells = {WELL: members}
    images = {}
    for pair in pairs:
        images[f"{WELL}/{pair.reference}"] = _reference(pair)
        images[f"{WELL}/{pair.acquisition}"] = _acquisition(case, pair)
    if case["wells"] in ("gone", "damaged"):
        wells[OTHER_WELL] = [("0", 0), ("1", 1)]
        plain = Image(np.full((2, 1, 32, 32), 7, np.uint16), "czyx")
        images |= dict.fromkeys((f"{OTHER_WELL}/0", f"{OTHER_WELL}/1"), plain)
    with warnings.catch_warnings():
        # What writers say of themselves, e.g. that they will change.
        warnings.simplefilter("ignore")
        WRITERS[case["writer"]](plate, wells, images, _VERSIONS[case["version"]])
    for pair in pairs:
        _make_unusual(plate / WELL, case, pair)
    if case["wells"] == "unnumbered":
        faults.forget_acquisitions(plate, WELL)
    elif case["wells"] != "one":
        faults.damage(plate / OTHER_WELL, case["wells"])
    _link(plate, case, pairs)


def _reference(pair: Pair) -> Image:
    views = [
        ideal_view(stain, start_px=pair.start_px, size_px=pair.size_px)
        for stain in (STAIN, OTHER_STAIN)
    ]
    stack = np.stack([take(view, noise) for noise, view in enumerate(views)])
    return Image(stack[:, None], "czyx")


def _acquisition(case: Case, pair: Pair) -> Image:
    stains = [STAIN, OTHER_STAIN]
    if case["channels"] == "moved":
        stains.reverse()
    views = [acquisition_view(case, pair, stain) for stain in stains]
    if case["fields"] == "missing":
        for view in views:
            view[:, FIELD_PX // binning_of(case) :] = 0
    planes = 3 if case["grid"] == "stack" else 1
    stack = np.stack(
        [
            [take(view, 10 * plane + noise) for plane in range(planes)]
            for noise, view in enumerate(views, start=5)
        ]
    )
    pixel_um = PIXEL_UM * binning_of(case)
    if case["grid"] == "no z":
        return Image(stack[:, 0], "cyx", pixel_um)
    return Image(stack, "czyx", pixel_um)


def _make_unusual(well: Path, case: Case, pair: Pair) -> None:
    for path in (pair.reference, pair.acquisition):
        image, is_reference = well / path, path == pair.reference
        if case["channels"] != "own":
            faults.set_channels(image, case["channels"])
        if case["place"] != "own":
            start_um = np.multiply(pair.start_px, PIXEL_UM)
            if case["place"] == "stage":
                start_um = start_um + faults.STAGE_UM
                start_um = start_um + np.multiply(faults.DRIFT_UM, not is_reference)
            y, x = start_um.tolist()
            faults.set_place(image, (y, x), centres=case["place"] == "centres")
        if case["fields"] in ("table", "missing", "renamed"):
            names = FIELDS
            if not is_reference:
                names = {"missing": FIELDS[:1], "renamed": ("X7", "X3")}.get(
                    case["fields"], names
                )
            size = pair.size_px if is_reference else size_of_acquisition(case, pair)
            planes = 3 if case["grid"] == "stack" and not is_reference else 1
            faults.add_rois(image, names, (planes, *size))
    acquisition = well / pair.acquisition
    if case["extras"] in ("labels", "mask"):
        view, is_mask = acquisition_view(case, pair), case["extras"] == "mask"
        faults.add_label(acquisition, view, is_mask=is_mask)
    elif case["extras"] == "files":
        faults.add_files(acquisition)
    if case["unit"] == "missing":
        faults.set_unit(well / pair.reference, "missing")
    faults.set_unit(acquisition, case["unit"])
    label = acquisition / "labels/nuclei"
    if label.exists():
        faults.set_unit(label, case["unit"])


def _link(plate: Path, case: Case, pairs: list[Pair]) -> None:
    well = plate / WELL
    acquisition = well / pairs[0].acquisition
    archive = plate.parent / "archive"
    if case["links"] == "image":
        faults.link_to_archive(acquisition, archive)
    elif case["links"] == "well":
        faults.link_to_archive(well, archive)
    elif case["links"] == "level":
        level = faults.read_metadata(acquisition)["multiscales"][0]["datasets"][-1]
        faults.link_to_archive(acquisition / level["path"], archive)
