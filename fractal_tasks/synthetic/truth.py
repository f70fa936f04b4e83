"""The exact truth of a synthetic plate, as a JSON file beside it."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.synthetic.options import PlateOptions

Vector = tuple[float, float, float]
Row = tuple[float, float, float, float]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )


class FieldTruth(_Model):
    """One field of one acquisition."""

    name: str
    """Name of the field's ROI, e.g. FOV_1."""
    translation_um: Vector
    """Displacement of the field's centre, z, y, x: where the sample seen there sits in
    the reference, minus where it is seen. A sample that sits 4 px further in the
    acquisition has -4 px here."""
    matrix: tuple[Row, Row, Row]
    """``[A | b]``: ``x_reference = A x_acquisition + b`` for points z, y, x in
    micrometres from the well's corner, with pixel ``i`` centred at ``i + 1/2``."""
    nuclei: int
    """Nuclei whose centre lies in the field."""
    empty: bool
    """True if no nucleus, not even in part, is seen."""


class AcquisitionTruth(_Model):
    """One acquisition of one well."""

    acquisition: int
    """Number of the acquisition, also the path of its image in the well."""
    rotation_deg: float
    """Angle of ``A`` in the plane: ``A = scale [[cos, -sin], [sin, cos]]`` (y, x)."""
    scale: float
    """Size of the sample in the reference relative to the acquisition."""
    gain: float
    """Brightness relative to the reference."""
    fields: tuple[FieldTruth, ...]
    """The fields in the order of the ROI table."""


class WellTruth(_Model):
    """One well."""

    path: str
    """Path of the well in the plate, e.g. A/01."""
    acquisitions: tuple[AcquisitionTruth, ...]
    """The acquisitions in order; 0 is the reference."""


class Truth(_Model):
    """All that was decided when the plate was drawn."""

    options: PlateOptions
    """The options it was made with."""
    wells: tuple[WellTruth, ...]
    """The wells, row by row."""

    def field(self, well: str, acquisition: int, name: str) -> FieldTruth:
        """Look up one field, e.g. ``field("A/01", 1, "FOV_2")``.

        Raises:
            InvalidInputError: The plate has no such field.
        """
        for one_well in self.wells:
            for one_acquisition in one_well.acquisitions:
                for field in one_acquisition.fields:
                    found = (one_well.path, one_acquisition.acquisition, field.name)
                    if found == (well, acquisition, name):
                        return field
        raise InvalidInputError(
            f"no field {name!r} in acquisition {acquisition} of well {well!r}; the "
            f"plate has wells {[one.path for one in self.wells]} with "
            f"{self.options.acquisitions} acquisitions of "
            f"{self.options.fields_y * self.options.fields_x} fields, from FOV_1."
        )


def truth_path(plate_path: str | Path) -> Path:
    """Give the place of the truth file of a plate: ``<plate>.truth.json``."""
    plate_path = Path(plate_path)
    return plate_path.with_name(plate_path.name + ".truth.json")


def save_truth(truth: Truth, plate_path: Path) -> None:
    """Write the truth beside the plate, in one step."""
    target = truth_path(plate_path)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.write_text(truth.model_dump_json(indent=1))
    unfinished.replace(target)


def load_truth(plate_path: str | Path) -> Truth:
    """Read the truth of a plate that `create_plate` made.

    Raises:
        InvalidDataError: There is none, or it does not belong to this version.
    """
    source = truth_path(plate_path)
    try:
        return Truth.model_validate_json(source.read_text())
    except (OSError, ValidationError) as error:
        raise InvalidDataError(
            f"{source}: cannot be read as the truth of a synthetic plate ({error}). "
            "Make the plate again with 'fractal-tasks demo-plate'."
        ) from error
