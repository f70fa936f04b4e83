"""Judge the estimates of a well together and write the registered ROI tables."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, validate_call

from fractal_tasks import __version__
from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.qc.plate import PlatePlacement
from fractal_tasks.qc.verdict import (
    MIN_CONFIDENCE,
    Judgement,
    Measurement,
    Verdict,
    impute_rejected,
    judge_measurements,
)
from fractal_tasks.registration.consensus import Keep, Placement, View, place_views
from fractal_tasks.storage.estimates import read_estimate
from fractal_tasks.storage.images import check_fill_value, roi_to_pixels, spacing_of
from fractal_tasks.storage.plans import (
    RegistrationPlan,
    RoiMove,
    snapshot_roi_tables,
)
from fractal_tasks.storage.registered_tables import format_table_name, move_roi
from fractal_tasks.storage.roi_columns import (
    ALTERNATIVES_COLUMN,
    CONFIDENCE_COLUMN,
    REASON_COLUMN,
    STATUS_COLUMN,
    TRANSFORM_COLUMN,
    TRANSLATION_COLUMNS,
)
from fractal_tasks.storage.roi_tables import (
    RoiTableData,
    check_table_replaceable,
    plain_meta,
    replace_roi_table,
)
from fractal_tasks.storage.stores import check_writable, heal_image, lock_image
from fractal_tasks.storage.urls import (
    ImageUrl,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.storage.well_tables import WellTables, read_well_tables
from fractal_tasks.storage.wells import read_acquisition_of_each
from fractal_tasks.task_io import (
    TASK_CONFIG,
    InitArgsRegistrationConsensus,
    PlateEvidence,
    StorageOptionsText,
)
from fractal_tasks.transforms import Translation, transform_to_json

logger = logging.getLogger(__name__)

Rejected: TypeAlias = Literal["impute", "error", "exclude"]

_REFERENCE = Verdict((0.0, 0.0, 0.0), "reference", "the reference acquisition", None)


@validate_call(config=TASK_CONFIG)
def find_registration_consensus(
    *,
    zarr_url: str,
    init_args: InitArgsRegistrationConsensus,
    input_roi_table: str = "FOV_ROI_table",
    registered_roi_table: str = "{input_roi_table}_registered",
    keep: Keep = "intersection",
    fill_value: float = 0.0,
    min_confidence: Annotated[float, Field(ge=0, le=1)] = MIN_CONFIDENCE,
    outlier_tolerance_um: Annotated[float, Field(gt=0)] = 5.0,
    rejected: Rejected = "impute",
    storage_options: StorageOptionsText = None,
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
        min_confidence: An estimate is believed if it is at least this probable (0 to 1)
            in view of its own images and of the other ROIs of the well. Lower it,
            e.g. to `0.7`, if good ROIs are rejected; `0` trusts all.
        outlier_tolerance_um: An estimate this close (in micrometres) to what the well
            agrees on is never rejected as an outlier, e.g. `5`. Raise it if your stage
            is less exact; lower it if the sample is periodic with a shorter period.
        rejected: What happens to a ROI whose estimate is not believed. `impute` uses
            the movement of the other ROIs of the well, or else of the plate; `error`
            stops; `exclude` leaves the ROI out of all acquisitions of the well.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: ROI tables differ, there is no common region, or estimates are
            not believed and cannot be replaced, or must not be.
        MissingStepError: "Calculate Registration (image-based)" has not run.
        PublishError: A table could not be replaced; the old one is untouched.
    """
    options = parse_storage_options(storage_options)
    reference = parse_image_url(zarr_url, options)
    others = [parse_image_url(url, options) for url in init_args.zarr_url_list]
    images = [reference, *(image for image in others if image != reference)]
    _check_one_well(images)
    for image in images:
        check_writable(image)
    target_table = format_table_name(registered_roi_table, input_roi_table)
    logger.info(
        "find_registration_consensus: %d acquisitions of well %s, %r -> %r, keep=%r, "
        "fill_value=%s, min_confidence=%s, outlier_tolerance_um=%s, rejected=%r",
        len(images),
        reference.well_url,
        input_roi_table,
        target_table,
        keep,
        fill_value,
        min_confidence,
        outlier_tolerance_um,
        rejected,
    )
    acquisitions = read_acquisition_of_each(images)
    for image in images:
        with lock_image(image):
            heal_image(image)
    well = read_well_tables(acquisitions, input_roi_table)
    for image in images:
        check_table_replaceable(image, target_table)
        level = well.containers[image].get_image()
        for name, roi in well.tables[image].rois.items():
            roi_to_pixels(roi, level, well.where(image, name))
    if keep == "reference":
        for image, container in well.containers.items():
            check_fill_value(container, image, fill_value)
    judgements = _judge_well(well, min_confidence, outlier_tolerance_um)
    if rejected == "error":
        _refuse_rejected(well, judgements)
    elif rejected == "exclude":
        well = _without_rejected(well, judgements)
    plate = _placements_for(init_args.plate, input_roi_table)
    verdicts = _complete(well, judgements, plate, min_confidence)
    placements = {
        name: _place_roi(well, name, verdicts, keep)
        for name in well.tables[reference].rois
    }
    settings = {
        "input_roi_table": input_roi_table,
        "keep": keep,
        "fill_value": fill_value,
        "min_confidence": min_confidence,
        "outlier_tolerance_um": outlier_tolerance_um,
        "rejected": rejected,
    }
    _write_tables(well, verdicts, placements, target_table, settings)


def _check_one_well(images: Sequence[ImageUrl]) -> None:
    wells = sorted({image.well_url for image in images})
    if len(wells) > 1:
        raise InvalidInputError(
            f"init_args.zarr_url_list: found images of the wells {wells}; needed are "
            "images of one. Run 'Find Registration Consensus' with its init task."
        )


Judgements = Mapping[ImageUrl, Judgement]
Verdicts = Mapping[ImageUrl, Mapping[str, Verdict]]
Placements = Mapping[str, Mapping[ImageUrl, Placement]]


def _judge_well(
    well: WellTables, min_confidence: float, outlier_tolerance_um: float
) -> Judgements:
    return {
        image: judge_measurements(
            _read_measurements(well, image),
            min_confidence=min_confidence,
            outlier_tolerance_um=outlier_tolerance_um,
        )
        for image in well.images[1:]
    }


def _read_measurements(well: WellTables, image: ImageUrl) -> dict[str, Measurement]:
    level = well.containers[image].get_image()
    return {
        name: Measurement(**vars(read_estimate(roi, level, well.where(image, name))))
        for name, roi in well.tables[image].rois.items()
    }


def _refuse_rejected(well: WellTables, judgements: Judgements) -> None:
    found = [
        f"{well.where(image, name)}: {verdict.reason}"
        for image, judgement in judgements.items()
        for name, verdict in judgement.rejected.items()
    ]
    if found:
        raise InvalidDataError(
            f"Well {well.reference.well_url}: found {len(found)} estimates that are "
            f"not believed; needed is none, with rejected='error'. {'; '.join(found)}. "
            "Look at these ROIs, choose rejected='impute' or 'exclude', or lower "
            "min_confidence."
        )


def _without_rejected(well: WellTables, judgements: Judgements) -> WellTables:
    """Leave each ROI that is rejected in one acquisition out of all."""
    excluded: set[str] = set()
    for image, judgement in judgements.items():
        excluded |= set(judgement.rejected)
        for name, verdict in judgement.rejected.items():
            logger.warning(
                "%s: excluded from all acquisitions, %s",
                well.where(image, name),
                verdict.reason,
            )
    left = well.without(excluded)
    if not left.tables[well.reference].rois:
        raise InvalidDataError(
            f"Well {well.reference.well_url}: found no ROI that is believed in all "
            f"acquisitions; needed is at least one, with rejected='exclude'. Choose "
            "rejected='impute' or another wavelength_id, leave an acquisition or the "
            "well out, or lower min_confidence."
        )
    return left


def _placements_for(
    plate: PlateEvidence | None, input_roi_table: str
) -> dict[int, PlatePlacement]:
    if plate is None:
        return {}
    if plate.input_roi_table != input_roi_table:
        logger.warning(
            "Other wells are not asked: the init task read their table %r, not %r. "
            "Give both the same input_roi_table.",
            plate.input_roi_table,
            input_roi_table,
        )
        return {}
    return {
        acquisition: PlatePlacement(placement.translation_um, placement.wells)
        for acquisition, placement in plate.placements.items()
    }


def _complete(
    well: WellTables,
    judgements: Judgements,
    plate: Mapping[int, PlatePlacement],
    min_confidence: float,
) -> Verdicts:
    """Give a translation for every ROI that is left, and log what was found."""
    verdicts: dict[ImageUrl, Mapping[str, Verdict]] = {
        well.reference: dict.fromkeys(well.tables[well.reference].rois, _REFERENCE)
    }
    for image, judgement in judgements.items():
        complete = impute_rejected(judgement, plate.get(well.acquisitions[image]))
        if complete is None:
            best = max(item.confidence or 0.0 for item in judgement.verdicts.values())
            raise InvalidDataError(
                f"Acquisition {well.acquisitions[image]} ({image.zarr_url}): none of "
                f"its {len(judgement.verdicts)} ROIs could be registered with the "
                f"needed min_confidence={min_confidence}; the highest confidence is "
                f"{best:.2f}, and no other well of the plate tells how this "
                "acquisition moved. Choose another wavelength_id, leave this "
                "acquisition or well out, or lower min_confidence."
            )
        verdicts[image] = {name: complete[name] for name in well.tables[image].rois}
        _log_acquisition(well, image, judgement, verdicts[image])
    return verdicts


def _log_acquisition(
    well: WellTables,
    image: ImageUrl,
    judgement: Judgement,
    verdicts: Mapping[str, Verdict],
) -> None:
    counts = Counter(verdict.status for verdict in verdicts.values())
    for name, verdict in verdicts.items():
        if verdict.status == "imputed":
            logger.warning("%s: imputed, %s", well.where(image, name), verdict.reason)
    logger.info(
        "Acquisition %d: %s; %d ROIs measured, %d chosen, %d imputed, %d excluded",
        well.acquisitions[image],
        "no ROI is believed" if judgement.stage is None else judgement.stage.describe(),
        counts["measured"],
        counts["chosen"],
        counts["imputed"],
        len(judgement.verdicts) - len(verdicts),
    )


def _place_roi(
    well: WellTables, name: str, verdicts: Verdicts, keep: Keep
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
    well: WellTables,
    verdicts: Verdicts,
    placements: Placements,
    target_table: str,
    settings: dict[str, Any],
) -> None:
    registered = {
        image: [
            move_roi(
                roi,
                placements[name][image].region_source,
                spacing_of(well.containers[image].get_image()),
                _columns(verdicts[image][name]),
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
        with lock_image(image):
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


def _columns(verdict: Verdict) -> dict[str, object]:
    return {
        **dict(zip(TRANSLATION_COLUMNS, verdict.translation_um, strict=True)),
        CONFIDENCE_COLUMN: verdict.confidence,
        STATUS_COLUMN: verdict.status,
        REASON_COLUMN: verdict.reason,
        TRANSFORM_COLUMN: _transform_json(verdict),
        # They were candidates for the input table's translation, not for this one.
        ALTERNATIVES_COLUMN: None,
    }


def _transform_json(verdict: Verdict) -> str:
    return transform_to_json(Translation(verdict.translation_um))


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=find_registration_consensus)
