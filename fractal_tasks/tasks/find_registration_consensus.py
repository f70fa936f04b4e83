"""Judge the estimates of a well together and write the registered ROI tables."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, validate_call

from fractal_tasks import __version__
from fractal_tasks.errors import InvalidDataError, InvalidInputError, MissingStepError
from fractal_tasks.qc.verdict import Measurement, Verdict, judge_measurements
from fractal_tasks.registration.consensus import Keep, Placement, View, place_views
from fractal_tasks.storage.images import (
    check_fill_value,
    open_image,
    roi_to_pixels,
    spacing_of,
)
from fractal_tasks.storage.locks import image_lock
from fractal_tasks.storage.plans import (
    RegistrationPlan,
    RoiMove,
    snapshot_roi_tables,
)
from fractal_tasks.storage.publish import heal
from fractal_tasks.storage.roi_tables import (
    CONFIDENCE_COLUMN,
    REASON_COLUMN,
    STATUS_COLUMN,
    TRANSFORM_COLUMN,
    TRANSLATION_COLUMNS,
    RoiTableData,
    check_same_rois,
    plain_meta,
    read_roi_table,
    read_translation,
    replace_roi_table,
)
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from fractal_tasks.storage.wells import read_acquisition
from fractal_tasks.task_io import InitArgsRegistrationConsensus
from fractal_tasks.transforms import Translation, transform_to_json
from fractal_tasks.transforms.boxes import AXES

if TYPE_CHECKING:
    from ngio import OmeZarrContainer, Roi

logger = logging.getLogger(__name__)

_REFERENCE = Verdict((0.0, 0.0, 0.0), "reference", "the reference acquisition")


@validate_call
def find_registration_consensus(
    *,
    zarr_url: str,
    init_args: InitArgsRegistrationConsensus,
    input_roi_table: str = "FOV_ROI_table",
    registered_roi_table: str = "{input_roi_table}_registered",
    keep: Keep = "intersection",
    fill_value: float = 0.0,
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5,
) -> None:
    """Find the region of each ROI that all acquisitions of a well see.

    The estimates of "Calculate Registration (image-based)" are judged together, and a
    registered ROI table is written into every acquisition of the well: its ROIs say
    where in this acquisition the common region lies. All acquisitions get regions of
    the same size in pixels.

    Args:
        zarr_url: Url of the reference image of the well (set by the Fractal server).
        init_args: Images of all acquisitions of the well, found by
            `init_find_registration_consensus` (set by the Fractal server).
        input_roi_table: The ROI table that was registered, e.g. `FOV_ROI_table`.
        registered_roi_table: Name of the new ROI table; `{input_roi_table}` stands for
            the name of the input table.
        keep: `intersection` crops each ROI to what all acquisitions see; `reference`
            keeps the whole ROI of the reference and fills what an acquisition did not
            see with `fill_value`.
        fill_value: Intensity of pixels an acquisition did not see, e.g. `0`. Only used
            with `keep="reference"`.
        min_confidence: Estimates with a lower confidence (0 to 1) are not believed: the
            ROI gets the median translation of the other ROIs of its well. Raise it,
            e.g. to `0.8`, to trust fewer estimates; `0` trusts all.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: ROI tables differ, or there is no common region.
        MissingStepError: "Calculate Registration (image-based)" has not run.
        PublishError: A table could not be replaced; the old one is untouched.
    """
    reference = parse_image_url(zarr_url)
    others = [parse_image_url(url) for url in init_args.zarr_url_list]
    images = [reference, *(image for image in others if image != reference)]
    target_table = _format_table_name(registered_roi_table, input_roi_table)
    logger.info(
        "find_registration_consensus: %d acquisitions of well %s, %r -> %r, keep=%r, "
        "fill_value=%s, min_confidence=%s",
        len(images),
        reference.well_url,
        input_roi_table,
        target_table,
        keep,
        fill_value,
        min_confidence,
    )
    acquisitions = {image: read_acquisition(image) for image in images}
    for image in images:
        with image_lock(image.path):
            heal(image.path)
    well = _read_well(acquisitions, input_roi_table)
    if keep == "reference":
        for image, container in well.containers.items():
            check_fill_value(container, image, fill_value)
    verdicts = _judge_well(well, min_confidence)
    placements = {
        name: _place_roi(well, name, verdicts, keep)
        for name in well.tables[reference].rois
    }
    settings = {
        "input_roi_table": input_roi_table,
        "keep": keep,
        "fill_value": fill_value,
        "min_confidence": min_confidence,
    }
    _write_tables(well, verdicts, placements, target_table, settings)


@dataclass(frozen=True)
class _Well:
    """The images of a well, reference first."""

    images: list[ImageUrl]
    acquisitions: dict[ImageUrl, int]
    containers: dict[ImageUrl, "OmeZarrContainer"]
    tables: dict[ImageUrl, RoiTableData]

    @property
    def reference(self) -> ImageUrl:
        return self.images[0]

    def where(self, image: ImageUrl, name: str) -> str:
        return (
            f"ROI {name!r}, acquisition {self.acquisitions[image]} ({image.zarr_url})"
        )


Verdicts = Mapping[ImageUrl, Mapping[str, Verdict]]
Placements = Mapping[str, Mapping[ImageUrl, Placement]]


def _format_table_name(template: str, input_roi_table: str) -> str:
    try:
        name = template.format(input_roi_table=input_roi_table)
    except (KeyError, IndexError, ValueError) as error:
        raise InvalidInputError(
            f"registered_roi_table={template!r}: the only placeholder is "
            "'{input_roi_table}'. Correct the name."
        ) from error
    if name == input_roi_table:
        raise InvalidInputError(
            f"registered_roi_table={name!r} is also the input_roi_table, whose "
            "translations it would overwrite. Choose another name."
        )
    if not name or "/" in name or name.startswith("."):
        raise InvalidInputError(
            f"registered_roi_table={name!r}: needed is a plain table name without '/' "
            "and not starting with '.'."
        )
    return name


def _read_well(acquisitions: dict[ImageUrl, int], input_roi_table: str) -> _Well:
    containers = {image: open_image(image) for image in acquisitions}
    tables = {
        image: read_roi_table(container, image, input_roi_table)
        for image, container in containers.items()
    }
    check_same_rois(tables)
    return _Well(
        images=list(acquisitions),
        acquisitions=acquisitions,
        containers=containers,
        tables=tables,
    )


def _judge_well(well: _Well, min_confidence: float) -> Verdicts:
    verdicts: dict[ImageUrl, Mapping[str, Verdict]] = {
        well.reference: dict.fromkeys(well.tables[well.reference].rois, _REFERENCE)
    }
    for image in well.images[1:]:
        measurements = {
            name: _read_measurement(roi, well.where(image, name))
            for name, roi in well.tables[image].rois.items()
        }
        judged = judge_measurements(measurements, min_confidence)
        if judged is None:
            best = max(item.confidence or 0.0 for item in measurements.values())
            raise InvalidDataError(
                f"Acquisition {well.acquisitions[image]} ({image.zarr_url}): none of "
                f"its {len(measurements)} ROIs could be registered with the needed "
                f"min_confidence={min_confidence}; the highest confidence is "
                f"{best:.2f}. Choose another wavelength_id, leave this acquisition or "
                "well out, or lower min_confidence."
            )
        verdicts[image] = judged
        _log_verdicts(well, image, judged)
    return verdicts


def _read_measurement(roi: "Roi", where: str) -> Measurement:
    translation = read_translation(roi, where)
    if translation is None:
        raise MissingStepError(
            f"{where}: found no translation in the ROI table. Run 'Calculate "
            "Registration (image-based)' for this acquisition first."
        )
    confidence = (roi.model_extra or {}).get(CONFIDENCE_COLUMN)
    return Measurement(translation, None if confidence is None else float(confidence))


def _log_verdicts(
    well: _Well, image: ImageUrl, verdicts: Mapping[str, Verdict]
) -> None:
    imputed = {
        name: verdict
        for name, verdict in verdicts.items()
        if verdict.status == "imputed"
    }
    for name, verdict in imputed.items():
        logger.warning("%s: imputed, %s", well.where(image, name), verdict.reason)
    logger.info(
        "Acquisition %s: %d ROIs measured, %d imputed",
        well.acquisitions[image],
        len(verdicts) - len(imputed),
        len(imputed),
    )


def _place_roi(
    well: _Well, name: str, verdicts: Verdicts, keep: Keep
) -> dict[ImageUrl, Placement]:
    views = {}
    for image in well.images:
        level = well.containers[image].get_image()
        views[image] = View(
            box=roi_to_pixels(
                well.tables[image].rois[name], level, well.where(image, name)
            ),
            spacing_um=spacing_of(level),
            translation_um=verdicts[image][name].translation_um,
        )
    logger.info(
        "ROI %r: rounding to whole pixels leaves at most %.2f px",
        name,
        max(view.residual_px for view in views.values()),
    )
    placed = place_views(
        views[well.reference], [views[image] for image in well.images[1:]], keep
    )
    placements = dict(zip(well.images, placed, strict=True))
    empty = [image for image in well.images if placements[image].destination.is_empty]
    if empty:
        shifts = "; ".join(
            f"acquisition {well.acquisitions[image]}: {views[image].translation_um} um"
            for image in well.images
        )
        raise InvalidDataError(
            f"Well {well.reference.well_url}, ROI {name!r}: the acquisitions have no "
            f"region in common. Translations (z, y, x): {shifts}. Look at these "
            "acquisitions, leave the wrong one out, or raise min_confidence."
        )
    return placements


def _write_tables(
    well: _Well,
    verdicts: Verdicts,
    placements: Placements,
    target_table: str,
    settings: dict[str, Any],
) -> None:
    registered = {
        image: [
            _registered_roi(
                roi,
                verdicts[image][name],
                placements[name][image],
                spacing_of(well.containers[image].get_image()),
            )
            for name, roi in well.tables[image].rois.items()
        ]
        for image in well.images
    }
    reference_tables = snapshot_roi_tables(
        well.containers[well.reference], well.reference, skip=target_table
    )
    reference_tables[target_table] = RoiTableData(
        target_table,
        {str(roi.name): roi for roi in registered[well.reference]},
        plain_meta(well.tables[well.reference].meta.backend),
    )
    for image in well.images:
        plan = RegistrationPlan(
            version=__version__,
            registered_roi_table=target_table,
            reference_image=well.reference.image_path,
            settings=settings,
            moves={
                name: RoiMove(
                    source=placements[name][image].source,
                    destination=placements[name][image].destination,
                    region=placements[name][image].region,
                    transform=_transform_json(verdicts[image][name]),
                )
                for name in well.tables[image].rois
            },
            reference_tables=reference_tables,
        )
        with image_lock(image.path):
            replace_roi_table(
                image,
                target_table,
                rois=registered[image],
                meta=plain_meta(well.tables[image].meta.backend),
                record=plan.to_record(),
            )
    logger.info(
        "Well %s: wrote table %r into %d acquisitions",
        well.reference.well_url,
        target_table,
        len(well.images),
    )


def _transform_json(verdict: Verdict) -> str:
    return transform_to_json(Translation(verdict.translation_um))


def _registered_roi(
    roi: "Roi",
    verdict: Verdict,
    placement: Placement,
    spacing_um: tuple[float, float, float],
) -> "Roi":
    region = placement.region_source
    slices = {
        axis: (start * step, length * step)
        for axis, start, length, step in zip(
            AXES, region.start, region.shape, spacing_um, strict=True
        )
    }
    for axis in AXES:
        if roi.get(axis) is not None:
            roi = roi.update_slice(name=axis, new_slice=slices[axis])
    return roi.model_copy(
        update={
            **dict(zip(TRANSLATION_COLUMNS, verdict.translation_um, strict=True)),
            STATUS_COLUMN: verdict.status,
            REASON_COLUMN: verdict.reason,
            TRANSFORM_COLUMN: _transform_json(verdict),
        }
    )


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=find_registration_consensus)
