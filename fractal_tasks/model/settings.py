"""The settings of the three steps, as they are stored with what a step made.

Equal settings, equal inputs and an equal version of the package mean that a step has
nothing to do.
"""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.model.planes import Planes
from fractal_tasks.model.text_form import TextForm

Dimensions: TypeAlias = Literal["auto", "2d", "3d"]
"""Register stacks as volumes, or their maximum projections."""

Normalize: TypeAlias = Literal["none", "local"]
"""Compare intensities as they are, or over the brightness around them."""

LengthUnit: TypeAlias = Literal[
    "picometer",
    "angstrom",
    "nanometer",
    "micrometer",
    "millimeter",
    "centimeter",
    "decimeter",
    "meter",
    "inch",
]
"""The units of OME-Zarr in which one could measure what lies under a microscope."""

USUAL_LENGTH_UNIT: LengthUnit = "micrometer"
"""What is meant where nothing is said: nearly all microscopes measure in it."""

NO_MASK, OTSU = "none", "otsu"
"""Masks that are no label or table: all pixels, and those that are bright."""

DEFAULT_LEVEL_PATH = "2"
"""Level at which whole ROIs are searched, if not told otherwise."""

DEFAULT_ROI_TABLE = "FOV_ROI_table"
"""The ROIs that are registered, if not told otherwise."""

DEFAULT_REGISTERED_TABLE = f"{DEFAULT_ROI_TABLE}_registered"
"""And where *consensus* then puts its verdicts."""

Keep: TypeAlias = Literal["intersection", "reference", "union"]
"""Crop to what all acquisitions see, keep the whole ROI of the reference, or all that
any acquisition sees."""

OWN_GRID, REFERENCE_GRID = "own", "reference"

OutputGrid: TypeAlias = Annotated[
    str,
    TextForm(
        r"^(own|reference|[0-9]*[1-9][0-9]*\.?[0-9]*|[0-9]*\.[0-9]*[1-9][0-9]*)$",
        "'own', 'reference', or a pixel size in um above 0, as '0.65'",
    ),
]
"""Each image keeps its pixel size, all get that of the reference, or one in um."""

Interpolation: TypeAlias = Literal["nearest", "linear", "cubic"]
"""How values are found between pixels."""

InterpolationChoice: TypeAlias = Literal["auto", "nearest", "linear", "cubic"]
"""What users say of it for intensities."""

Rejected: TypeAlias = Literal["impute", "error", "exclude"]
"""What happens to a ROI of which no estimate is used and believed."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalculateSettings(_Settings):
    """How the ROIs of an acquisition are measured."""

    wavelength_id: str
    more_wavelength_ids: tuple[str, ...]
    method: dict[str, Any]
    """Its type and parameters."""

    lower_rescale_quantile: float
    upper_rescale_quantile: float
    input_roi_table: str
    level_path: str
    dimensions: Dimensions
    planes: Planes
    normalize: Normalize
    mask: str
    """Name of a label or masking ROI table, or `NO_MASK` or `OTSU`."""

    missing_length_unit: LengthUnit
    """Unit of lengths where the metadata of an image do not say it."""

    @classmethod
    def of(
        cls,
        *,
        method: BaseModel,
        lower_rescale_quantile: float,
        upper_rescale_quantile: float,
        **others: Any,  # noqa: ANN401 - pydantic checks them
    ) -> Self:
        """Make the settings of the arguments of the task.

        Raises:
            InvalidInputError: Arguments do not fit each other.
        """
        if lower_rescale_quantile >= upper_rescale_quantile:
            raise InvalidInputError(
                f"lower_rescale_quantile={lower_rescale_quantile} must be less than "
                f"upper_rescale_quantile={upper_rescale_quantile}. Lower the first, or "
                "raise the second."
            )
        return cls(
            method=method.model_dump(mode="json"),
            lower_rescale_quantile=lower_rescale_quantile,
            upper_rescale_quantile=upper_rescale_quantile,
            **others,
        )


class ConsensusSettings(_Settings):
    """How the estimates of a well are judged, and what is kept of it."""

    input_roi_table: str
    registered_roi_table: str
    keep: Keep
    output_grid: OutputGrid
    fill_value: float
    subpixel: bool
    min_confidence: float
    rejected: Rejected


class ApplySettings(_Settings):
    """What of an image is registered."""

    registered_roi_table: str
    labels: tuple[str, ...]
    """The labels that are registered along."""

    interpolation: InterpolationChoice
    seen_label: str | None
    """Name of the label that says which pixels were seen."""

    output_format: OutputFormat
