"""What became of every field of a plate that turned or bent, pixel by pixel."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ngio import open_ome_zarr_container
from plate_drawing import BACKGROUND, read_places
from plate_geometry import PIXEL_UM, DrawnPlate, Field
from plate_scenes import FloatArray
from plate_scores import FLAGS, OFF_PX, SURE_PX, Columns, Tables
from scipy import ndimage

STEP_PX = 4
"""Of so many pixels along y and x, one is looked at."""
_SEEN_COUNTS, _SEEN_PX = 50, 3
"""Where a blurred reference stands out from its background by more, it shows structure:
a twentieth of a typical one."""


@dataclass(frozen=True)
class FieldResult:
    """What the tables say of one field of an acquisition."""

    condition: str
    method: str
    seed: int
    well: str
    roi: str
    transform: str
    """Type of the field's own estimate."""
    applied: str
    """Type of the transform that was applied."""
    status: str
    reason: str
    confidence: float
    stated_px: float
    """Standard error."""
    left_px: float
    """How far places are stated to be off, at most; NaN if not."""

    @property
    def flagged(self) -> bool:
        """Whether the plate says that it may be off."""
        doubtful_px = (self.stated_px, self.left_px)
        return self.status in FLAGS or any(one > SURE_PX for one in doubtful_px)


@dataclass(frozen=True)
class FieldErrors:
    """A field, and how far its pixels are from where they should be."""

    result: FieldResult
    errors_px: FloatArray
    """In the plane, shape ``(z, y, x)``; NaN where nothing was kept."""
    errors_planes: FloatArray
    seen: FloatArray
    """Where the reference shows structure."""

    @cached_property
    def kept_px(self) -> FloatArray:
        """Errors of the pixels that were kept."""
        kept: FloatArray = self.errors_px[np.isfinite(self.errors_px)]
        return kept

    @property
    def median_px(self) -> float:
        """Give the median error; infinite if nothing was kept."""
        return quantile(self.kept_px, 0.5)

    @property
    def most_px(self) -> float:
        """Give the 95th percentile."""
        return quantile(self.kept_px, 0.95)

    @property
    def off(self) -> bool:
        """Whether places in it are wrong."""
        return self.most_px > OFF_PX


def quantile(values: FloatArray, share: float) -> float:
    """Give a quantile; infinity of nothing."""
    return float(np.quantile(values, share)) if values.size else float("inf")


def score_fields(
    plate: DrawnPlate, method: str, own: Tables, registered: Tables
) -> list[FieldErrors]:
    """Compare a finished plate of two acquisitions with the truth.

    Args:
        plate: With the pixels after *apply*.
        method: Name of the method.
        own: The input table after *calculate*.
        registered: The registered table before *apply*.
    """
    scores = []
    for well, fields in plate.wells.items():
        url = f"{plate.path}/{well}/1"
        places = read_places(_read(url))
        reference = _read(f"{plate.path}/{well}/0")[0].astype(float)
        for field in fields:
            columns = registered.get(url, {}).get(field.name, {})
            result = FieldResult(
                condition=plate.kind.name,
                method=method,
                seed=plate.seed,
                well=well,
                roi=field.name,
                transform=_type_of(own[url][field.name]),
                **_read_verdict(columns),
            )
            part = places[:, *field.box][:, ::STEP_PX, ::STEP_PX]
            seen = _find_structure(reference[:, *field.box])
            scores.append(
                FieldErrors(
                    result,
                    *_find_errors(field, part, is_kept=bool(columns)),
                    seen[:, ::STEP_PX, ::STEP_PX],
                )
            )
    return scores


def _find_errors(
    field: Field, places: FloatArray, *, is_kept: bool
) -> tuple[FloatArray, FloatArray]:
    """Give how far each pixel is from where it belongs, in pixels and in planes.

    Args:
        field: The field, at its place in the reference.
        places: Where in the acquisition pixels came from, shape ``(z, y, x, 2 or 3)``.
        is_kept: Whether the field was registered at all.
    """
    movement = field.movements[0]
    belongs = field.pixels[::STEP_PX, ::STEP_PX]
    off = movement(places[..., -2:]) - belongs
    off_planes = np.zeros(off.shape[:-1])
    if places.shape[-1] == 3:
        planes = np.arange(len(places))[:, None, None]
        off_planes = places[..., 0] + movement.shift_planes - planes
    nowhere = np.any(places < 0, axis=-1) | (not is_kept)
    errors_px = np.where(nowhere, np.nan, np.linalg.norm(off, axis=-1))
    return errors_px, np.where(nowhere, np.nan, np.abs(off_planes))


def _find_structure(sample: FloatArray) -> FloatArray:
    # What was not kept is 0.
    sample = np.maximum(sample, BACKGROUND)
    smooth = ndimage.gaussian_filter(sample, _SEEN_PX, axes=(-2, -1))
    structure: FloatArray = smooth > BACKGROUND + _SEEN_COUNTS
    return structure


def _read(url: str) -> Any:  # noqa: ANN401
    return open_ome_zarr_container(url).get_image().get_array()


def _type_of(columns: Columns) -> str:
    return str(json.loads(columns.get("transform") or "{}").get("type", "none"))


def _read_verdict(columns: Columns) -> dict[str, Any]:
    return {
        "applied": _type_of(columns),
        "status": str(columns.get("registration_status", "lost")),
        "reason": str(columns.get("registration_reason", "")),
        "confidence": float(columns.get("registration_confidence", np.nan)),
        "stated_px": float(columns.get("registration_error", np.nan)) / PIXEL_UM,
        "left_px": float(columns.get("registration_left_px", np.nan)),
    }


def save_fields(
    fields: Iterable[FieldErrors], facts: Mapping[str, Any], folder: Path
) -> None:
    """Write all of a run: ``beyond.json``, and ``beyond.npz`` with the errors."""
    listed = list(fields)
    results = [asdict(one.result) for one in listed]
    (folder / "beyond.json").write_text(json.dumps({**facts, "fields": results}))
    arrays = {
        f"{name}{number}": getattr(one, name).astype(kind)
        for number, one in enumerate(listed)
        for name, kind in _ARRAYS.items()
    }
    np.savez_compressed(folder / "beyond.npz", **arrays)


def load_fields(folder: Path) -> tuple[list[FieldErrors], dict[str, Any]]:
    """Read what `save_fields` wrote: fields and facts."""
    facts = json.loads((folder / "beyond.json").read_text())
    with np.load(folder / "beyond.npz") as arrays:
        fields = [
            FieldErrors(
                FieldResult(**result), *(arrays[f"{name}{number}"] for name in _ARRAYS)
            )
            for number, result in enumerate(facts.pop("fields"))
        ]
    return fields, facts


_ARRAYS = {"errors_px": np.float32, "errors_planes": np.float32, "seen": bool}
