"""What registering images would do, and whether it can be done: found beforehand.

The checks are those of the tasks, asked of every image before the first step. A plate
of which some images are replaced, and others cannot be, is of no use.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from fractal_tasks.errors import (
    FractalTasksError,
)
from fractal_tasks.model import ConsensusSettings, Pairing
from fractal_tasks.records.roi_pairing import pair_rois
from fractal_tasks.steps.apply_order import check_content, check_place
from fractal_tasks.steps.channel_choice import (
    check_names,
    choose_channel,
    choose_channels,
)
from fractal_tasks.steps.roi_pairs import open_pairs
from fractal_tasks.steps.sides import Side, open_sides
from fractal_tasks.steps.unknown_files import list_rewritten
from fractal_tasks.steps.well_checks import check_not_foreign, check_output_grid
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.pixels.stored import METADATA_FILES
from fractal_tasks.storage.plate.channels import find_channel
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.groups import RegistrationGroup
from fractal_tasks.storage.plate.images import (
    check_fill_value,
    check_single_timepoint,
    find_level,
    list_labels,
    open_labels,
)
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import check_table_replaceable
from fractal_tasks.storage.urls import ImageUrl, parse_storage_options
from fractal_tasks.workflow.plan import ImagePlan, Plan, without_wells
from fractal_tasks.workflow.settings import Settings

Entering = Callable[[ImageUrl], AbstractContextManager[None]]


def plan_registration(
    zarr_urls: Sequence[str],
    settings: Settings,
    *,
    entering: Entering = lambda url: nullcontext(),
    planned: Callable[[int, int], None] = lambda done, total: None,
    writes_here: bool = True,
) -> Plan:
    """Find out what registering images would do, and which could not be registered.

    Args:
        zarr_urls: The images, with the reference of every well.
        settings: Arguments of the three tasks.
        entering: Gives what is held while an image is looked at. By default nothing,
            and nothing is changed.
        planned: Called with the number of images that were looked at, and of all.
        writes_here: Whether what is written is to lie where the images are; else it is
            not asked whether it can be written there.
    """
    values = settings.values
    found = group_images(
        zarr_urls,
        values["reference_acquisition"],
        parse_storage_options(values["storage_options"]),
        values["reference"],
    )
    plan = plan_groups(
        found.groups,
        settings,
        entering=entering,
        planned=planned,
        writes_here=writes_here,
    )
    failures = found.failures | plan.failures
    return Plan(plan.images, failures)


def plan_groups(
    groups: Sequence[RegistrationGroup],
    settings: Settings,
    *,
    entering: Entering = lambda url: nullcontext(),
    planned: Callable[[int, int], None] = lambda done, total: None,
    writes_here: bool = True,
) -> Plan:
    """As `plan_registration`, of images of which the references are known.

    Raises:
        InvalidInputError: An argument names images that are not there.
    """
    images: list[ImagePlan] = []
    failures: dict[str, FractalTasksError] = {}
    compared = [url for group in groups for url in (group.reference, *group.others)]
    check_names(compared, settings.values["acquisition_wavelength_ids"])
    work = [(url, group) for group in groups if group.others for url in group.written]
    for done, (url, group) in enumerate(work):
        planned(done, len(work))
        try:
            if writes_here:
                files_of(url).check_writable(url)
                check_place(settings.order_of(url))
            images.append(_plan_image(url, group, settings, entering))
            if writes_here:
                _check_tables_replaceable(url, group, settings)
        except FractalTasksError as error:
            failures[url.zarr_url] = error
    planned(len(work), len(work))
    bad = [url for url, _ in work if url.zarr_url in failures]
    return without_wells(images, bad, failures)


def find_closed(
    groups: Sequence[RegistrationGroup], settings: Settings
) -> dict[str, FractalTasksError]:
    """Give the urls of images where nothing can be written, and why."""
    closed: dict[str, FractalTasksError] = {}
    for group in groups:
        for url in group.written:
            if not files_of(url).exists(url.location):
                continue  # of which it is said that there is none
            try:
                files_of(url).check_writable(url)
                check_place(settings.order_of(url))
                _check_tables_replaceable(url, group, settings)
            except FractalTasksError as error:
                closed[url.zarr_url] = error
    return closed


def _check_tables_replaceable(
    url: ImageUrl, group: RegistrationGroup, settings: Settings
) -> None:
    if url != group.reference:
        check_table_replaceable(url, settings.calculate.input_roi_table)
    check_table_replaceable(url, settings.consensus.registered_roi_table)


def _plan_image(
    url: ImageUrl, group: RegistrationGroup, settings: Settings, entering: Entering
) -> ImagePlan:
    files = files_of(url)
    order = settings.order_of(url)
    with entering(url):
        if url == group.reference:
            image, table, pairing = *_open_reference(url, settings), None
            reference = image
        else:
            fixed, moving, pairing = _open_acquisition(url, group.reference, settings)
            image, table, reference = moving.image, moving.table, fixed.image
        for one in (reference, image):
            check_output_grid(one, reference, settings.consensus.output_grid)
        _check_tables(image, table, settings.consensus)
        check_content(order, image)
        # *Consensus* does so, too: what *apply* will be told it cannot know.
        open_labels(image, list_labels(image))
    tables = [settings.consensus.registered_roi_table]
    if pairing is not None:
        tables.insert(0, table.name)
    changed = [
        *(url.location / "tables" / name for name in tables),
        order.target.location,
    ]
    there = {item.url: files.exists(item) for item in changed}
    return ImagePlan(
        url=url,
        reference=group.reference,
        rois=len(table.rois if pairing is None else pairing.partners),
        pairing=pairing,
        paired_by=group.paired_by.get(url),
        labels=list_labels(image) if order.register_labels else [],
        writes=[one for one, is_there in there.items() if not is_there],
        replaces=[one for one, is_there in there.items() if is_there],
        replaces_input=order.replaces_input,
        rewrites=(
            list_rewritten(image, list_labels(image))
            if order.replaces_input
            else [f"tables/{name}" for name in (*METADATA_FILES, *tables)]
        ),
    )


def _open_reference(
    url: ImageUrl, settings: Settings
) -> tuple[OpenImage, RoiTableData]:
    image = open_image(url, settings.calculate.missing_length_unit)
    check_single_timepoint(image)
    own = settings.values["acquisition_wavelength_ids"]
    wanted = settings.calculate
    find_channel(image, choose_channel(url, own, wanted.wavelength_id))
    for channel in wanted.more_wavelength_ids:
        find_channel(image, channel, "more_wavelength_ids")
    find_level(image, settings.calculate.level_path)
    return image, find_roi_table(image, settings.calculate.input_roi_table)


def _open_acquisition(
    url: ImageUrl, reference: ImageUrl, settings: Settings
) -> tuple[Side, Side, Pairing]:
    wanted = settings.calculate
    own = settings.values["acquisition_wavelength_ids"]
    channels = choose_channels(reference, url, own, wanted.wavelength_id)
    fixed, moving = open_sides(reference, url, wanted, channels)
    open_pairs(fixed, moving, settings.method, wanted)
    pairing = pair_rois(fixed.image, fixed.table, moving.image, moving.table)
    return fixed, moving, pairing


def _check_tables(
    image: OpenImage, table: RoiTableData, settings: ConsensusSettings
) -> None:
    """Find out whether *consensus* could make its table."""
    check_not_foreign(image, table, settings.registered_roi_table)
    if settings.keep != "intersection":
        check_fill_value(image, settings.fill_value)
