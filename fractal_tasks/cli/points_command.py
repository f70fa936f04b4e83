"""The command `points`: take points and shapes along with the pixels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from fractal_tasks.cli.exchange import RecordOptions, check_new, write_new
from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.steps.measured_columns import find_coordinates, list_outdated
from fractal_tasks.steps.point_map import (
    MappedPoints,
    PointMap,
    Side,
    read_point_map,
)
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.tables import read_table_rows
from fractal_tasks.transforms import FloatArray, Vector

if TYPE_CHECKING:
    from pandas import DataFrame

_DEFAULT = OutputOptions()
_RECORD = RecordOptions()

Unit: TypeAlias = Literal["um", "pixel", "index"]

_ROI = "registration_roi"
"""What is added to a row or a feature: by the transform of which ROI it was mapped."""

_SEEN = "registration_seen"
"""And whether its image shows it there."""


def points(
    image: str,
    file: str,
    *,
    to: Side,
    output: Path,
    unit: Unit = "um",
    columns: str | None = None,
    record: RecordOptions = _RECORD,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Map points of a file or table, or shapes of a GeoJSON file, from image to image.

    Args:
        image: The acquisition, before or after its registration.
        file: Points, one per row of a `.csv`, or shapes in a `.geojson`; or the name of
            a table of the image, e.g. of measurements.
        to: Where to: `reference`, if the points are those of the acquisition; or
            `acquisition`, if they are those of the reference.
        output: File to write, of the same kind, for a table a `.csv`; it must not exist
            yet.
        unit: What coordinates are counted in, from the first corner of the image: `um`;
            `pixel`, of which the first covers 0 to 1 (ImageJ, QuPath); `index`, where
            the first pixel has its centre at 0 (napari, scikit-image). Pixels are those
            of the acquisition, which its registered image has as well.
        columns: Names of the columns of coordinates, e.g. `top,left`, in the order y, x
            or z, y, x; left out, `y,x`, or `z,y,x` if there is a `z`, and what
            scikit-image and others call centroids.
        record: Where its transforms are.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        url = record.locate(image)
        check_new({output: None})
        point_map = read_point_map(url, record.registered_roi_table)
        opened = open_image(url)
        scale = _Scale(unit, opened.spacing_um)
        outdated: list[str] = []
        if Path(file).suffix.lower() in {".geojson", ".json"}:
            text, seen = _map_shapes(Path(file), point_map, to, scale)
        else:
            frame = _read_rows(file, opened)
            names = _find_columns(file, frame, columns)
            outdated = list_outdated(
                frame.columns, names, point_map.transforms.values()
            )
            seen = _map_rows(file, frame, names, point_map, to, scale)
            text = frame.to_csv(index=False, lineterminator="\n")
        write_new({output: text})
    count, lost, unseen = len(seen), seen.count(None), seen.count(False)
    if lost:
        reporter.say(
            f"Warning: {lost} of {count} lie in no ROI, and have no coordinates now."
        )
    if unseen:
        reporter.say(
            f"Warning: {unseen} of {count} lie where nothing of their ROI is kept in "
            f"the {to}: {_SEEN} is False."
        )
    if outdated:
        reporter.say(
            f"Warning: the columns {outdated} are as they were measured, and do not "
            f"hold in the {to}."
        )
    found = {
        "output": str(output),
        "mapped": count - lost,
        "in_no_roi": lost,
        "unseen": unseen,
        "outdated_columns": outdated,
    }
    reporter.show(f"{count - lost} of {count} mapped: {output}", found)
    return 0 if lost < count else 1


class _Scale:
    """Coordinates of a file, and micrometres from the first corner."""

    def __init__(self, unit: Unit, spacing_um: Vector) -> None:
        self._spacing_um = np.ones(3) if unit == "um" else np.array(spacing_um)
        self._first = 0.5 if unit == "index" else 0.0

    def to_um(self, values: FloatArray) -> FloatArray:
        """Give micrometres; the last axis is z, y, x, or y, x."""
        return (values + self._first) * self._spacing_um[-values.shape[-1] :]

    def from_um(self, values: FloatArray) -> FloatArray:
        """Give coordinates of the file."""
        return values / self._spacing_um[-values.shape[-1] :] - self._first


def _read_rows(file: str, image: OpenImage) -> "DataFrame":
    """Read a CSV file, whose values stay text, or a table of the image."""
    from pandas import read_csv

    if not Path(file).exists():
        tables = list_tables(image)
        if file in tables:
            return read_table_rows(image, file)
        raise InvalidInputError(
            f"{file}: found no such file, and in {image.zarr_url} the tables {tables}; "
            "needed is one of these, or a file with a row per point."
        )
    try:
        return read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InvalidDataError(
            f"{file}: cannot be read as CSV ({error}). Needed is a row per point."
        ) from error


def _find_columns(file: str, frame: "DataFrame", columns: str | None) -> list[str]:
    """Give the names of the columns of coordinates."""
    there = list(map(str, frame.columns))
    names = find_coordinates(there) if columns is None else columns.split(",")
    missing = [name for name in names if name not in there]
    if missing or len(names) not in {2, 3}:
        raise InvalidInputError(
            f"{file}: found the columns {there}; needed are two or three of "
            f"coordinates, found {names}. Name them: --columns y,x."
        )
    return names


def _map_rows(
    file: str,
    frame: "DataFrame",
    names: list[str],
    point_map: PointMap,
    to: Side,
    scale: _Scale,
) -> list[bool | None]:
    """Change the coordinates of a table, and nothing else.

    Returns:
        Of each row whether it is seen; None of those in no ROI.
    """
    try:
        values = frame[names].to_numpy().astype(np.float64)
    except ValueError as error:
        raise InvalidDataError(
            f"{file}: a coordinate in {names} is no number ({error})."
        ) from error
    mapped = point_map.map_points(scale.to_um(values), to)
    # As text, of which no digit gets lost on the way.
    found = scale.from_um(mapped.points_um)
    for index, name in enumerate(names):
        frame[name] = [
            "" if np.isnan(one) else repr(float(one)) for one in found.T[index]
        ]
    listed = _list_found(mapped)
    frame[_ROI] = [roi or "" for roi, _ in listed]
    frame[_SEEN] = ["" if is_seen is None else str(is_seen) for _, is_seen in listed]
    return [is_seen for _, is_seen in listed]


def _list_found(mapped: MappedPoints) -> list[tuple[str | None, bool | None]]:
    """Give the ROI of each point, and whether it is seen; None of those in no ROI."""
    return [
        (roi, None if roi is None else bool(is_seen))
        for roi, is_seen in zip(mapped.rois, mapped.is_seen, strict=True)
    ]


def _map_shapes(
    file: Path, point_map: PointMap, to: Side, scale: _Scale
) -> tuple[str, list[bool | None]]:
    """Give GeoJSON with other coordinates; a shape goes with the ROI of its middle.

    And of each whether that is seen; None of those in no ROI.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        listed = document if isinstance(document, list) else document.get("features")
        features = [document] if listed is None else listed
        if isinstance(document, dict):
            document.pop("bbox", None)
        seen = [_map_feature(one, point_map, to, scale) for one in features]
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{file}: cannot be read as GeoJSON ({error!r}); needed are features with "
            "geometries of [x, y]."
        ) from error
    return json.dumps(document), seen


def _map_feature(
    feature: dict[str, Any], point_map: PointMap, to: Side, scale: _Scale
) -> bool | None:
    """Map the geometry of a feature in its place; None of what lies in no ROI."""
    feature.pop("bbox", None)
    if feature["geometry"] is None:
        return None
    vertices: list[list[float]] = []

    def collect(point: list[float]) -> list[float]:
        vertices.append([point[1], point[0]])
        return point

    _walk(feature["geometry"], collect)
    um = scale.to_um(np.array(vertices, dtype=np.float64))
    middle = (um.min(axis=0) + um.max(axis=0)) / 2
    found = point_map.map_points(middle[None], to)
    ((roi, is_seen),) = _list_found(found)
    properties = feature.get("properties") or {}
    feature["properties"] = {**properties, _ROI: roi, _SEEN: is_seen}
    if roi is None:
        feature["geometry"] = None
        return None
    mapped = iter(scale.from_um(point_map.map_by(roi, um, to)).tolist())

    def replace(point: list[float]) -> list[float]:
        y, x = next(mapped)
        return [x, y, *point[2:]]

    feature["geometry"] = _walk(feature["geometry"], replace)
    return is_seen


def _walk(part: Any, visit: Callable[[list[float]], list[float]]) -> Any:
    """Give a copy of a geometry with `visit` called for each of its points."""
    if isinstance(part, dict):
        return {
            key: _walk(value, visit) if key in {"coordinates", "geometries"} else value
            for key, value in part.items()
        }
    if part and isinstance(part[0], int | float):
        return visit(part)
    return [_walk(one, visit) for one in part]
