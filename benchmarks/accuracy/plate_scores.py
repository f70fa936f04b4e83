"""What became of every field of a finished plate, and the file that keeps it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ngio import open_ome_zarr_container
from plate_drawing import read_places
from plate_geometry import PIXEL_UM, DrawnPlate, Field
from plate_scenes import FloatArray

OFF_PX = 2.0
SURE_PX = 1.0
"""A larger stated standard error is a flag."""
FLAGS = ("imputed", "unresolved")

Columns = dict[str, Any]
Tables = dict[str, dict[str, Columns]]
"""Columns of the ROIs, by url and name of the ROI."""


@dataclass(frozen=True)
class FieldScore:
    """One field of an acquisition after the last task, in pixels of level 0."""

    condition: str
    seed: int
    well: str
    acquisition: int
    roi: str
    package: str
    informative: bool
    """Whether the images hold the answer."""
    empty: bool
    correctable: bool
    """Whether one shift brings all of the field back."""
    own_error_px: float
    """Of the field's own estimate, before the others were asked, against the best
    shift: the mean displacement of its pixels."""
    own_ratio: float
    """Its error along y or x, over the standard error that *calculate* stated."""
    error_px: float
    """Median over the pixels that are kept: how far each is from where it should be.
    Infinite if there is none."""
    area: float
    """What is kept, over what all acquisitions see."""
    status: str
    stated_px: float
    """Stated standard error, NaN if there is none."""
    stated_for_px: float
    """Error of what it was stated for: the translation, along y or x."""
    left_px: float
    """Largest displacement that the field's own estimate leaves in it."""
    left_stated_px: float
    """The same as stated, NaN if it is not."""

    @property
    def off(self) -> bool:
        """Whether it is not where it should be."""
        return self.error_px > OFF_PX

    @property
    def believed(self) -> bool:
        """Whether its own images are said to give its place."""
        return self.status not in FLAGS

    @property
    def flagged(self) -> bool:
        """Whether the plate says that it may be off."""
        return not self.believed or self.stated_px > SURE_PX

    @property
    def silent(self) -> bool:
        """Whether it is off, and nothing says so."""
        return self.off and not self.flagged

    @property
    def own_right(self) -> bool:
        """Whether its own estimate is right."""
        return self.own_error_px <= 1

    @property
    def in_vain(self) -> bool:
        """Whether it is flagged though its own estimate is right."""
        return self.own_right and self.flagged

    @property
    def made_worse(self) -> bool:
        """Whether its own estimate would have been better, and good."""
        own = self.own_error_px
        return own <= OFF_PX and self.error_px > own + 1

    @property
    def counts(self) -> bool:
        """Whether it ought to be right."""
        return self.informative and self.correctable and not self.empty


def score_plate(
    plate: DrawnPlate, package: str, own: Tables, registered: Tables
) -> list[FieldScore]:
    """Compare a finished plate with the truth.

    Args:
        plate: With the pixels after *apply*.
        package: Whose tasks made it.
        own: The input table after *calculate*.
        registered: The registered table before *apply*.
    """
    scores = []
    for well, fields in plate.wells.items():
        for acquisition in range(1, plate.kind.acquisitions):
            url = f"{plate.path}/{well}/{acquisition}"
            image = open_ome_zarr_container(url).get_image().get_array()
            tracers = read_places(image)[0]
            verdicts = registered.get(url)
            if verdicts is None:
                # The well was given up, and its pixels are where they were.
                verdicts, tracers = {}, np.full_like(tracers, -1)
            for field in fields:
                columns = verdicts.get(field.name, {})
                displacements = field.movements[acquisition - 1](field.pixels)
                displacements -= field.pixels
                true_px = displacements.mean(axis=(0, 1))
                own_px = _translation_px(own[url][field.name])
                left_px = np.linalg.norm(displacements - own_px, axis=-1).max()
                own_off = own_px - true_px
                score = FieldScore(
                    condition=plate.kind.name,
                    seed=plate.seed,
                    well=well,
                    acquisition=acquisition,
                    roi=field.name,
                    package=package,
                    informative=plate.kind.informative,
                    empty=field.is_empty,
                    correctable=plate.kind.correctable,
                    own_error_px=float(np.linalg.norm(own_off)),
                    own_ratio=_error_ratio(own[url][field.name], own_off),
                    left_px=float(left_px),
                    **_score_pixels(field, acquisition, tracers[field.box]),
                    **_read_verdict(columns, true_px),
                )
                scores.append(score)
    return scores


def _score_pixels(
    field: Field, acquisition: int, sources: FloatArray
) -> dict[str, Any]:
    """Look up where each pixel of the registered field came from.

    Args:
        field: The field, at its place in the reference.
        acquisition: Whose pixels they are.
        sources: Where in the acquisition, shape ``(y, x, 2)``; -1 for nowhere.
    """
    kept = np.all(sources >= 0, axis=-1)
    moved = field.movements[acquisition - 1](sources[kept])
    errors = np.linalg.norm(moved - field.pixels[kept], axis=-1)
    return {
        "error_px": float(np.median(errors)) if errors.size else math.inf,
        "area": float(kept.sum() / field.common_px),
    }


def _read_verdict(columns: Columns, true_px: FloatArray) -> dict[str, Any]:
    stated_um = float(columns.get("registration_error", math.nan))
    off = _translation_px(columns) - true_px
    return {
        "status": str(columns.get("registration_status", "")),
        "stated_px": stated_um / PIXEL_UM,
        "stated_for_px": float(np.abs(off).max()),
        "left_stated_px": float(columns.get("registration_left_px", math.nan)),
    }


def _error_ratio(columns: Columns, off_px: FloatArray) -> float:
    stated_px = float(columns.get("registration_error", math.nan)) / PIXEL_UM
    return float(np.abs(off_px).max() / stated_px)


def _translation_px(columns: Columns) -> FloatArray:
    stored_um = [columns.get(f"translation_{axis}", math.nan) for axis in "yx"]
    return np.array(stored_um, dtype=float) / PIXEL_UM


def save_scores(
    scores: Iterable[FieldScore],
    costs: Iterable[Mapping[str, Any]],
    facts: Mapping[str, Any],
    path: Path,
) -> None:
    """Write all of a run to a JSON file."""
    content = {
        "facts": facts,
        "costs": list(costs),
        "fields": [asdict(score) for score in scores],
    }
    path.write_text(json.dumps(content))


def load_scores(
    path: Path,
) -> tuple[list[FieldScore], list[dict[str, Any]], dict[str, Any]]:
    """Read scores, costs and facts that `save_scores` wrote."""
    content = json.loads(path.read_text())
    scores = [FieldScore(**score) for score in content["fields"]]
    return scores, content["costs"], content["facts"]
