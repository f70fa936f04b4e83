"""What *apply* is to do with an image, and whether that can be done.

Asked before the first pixel is written: by each unit of *apply*, and before all steps
by whoever runs the three of them, as a plate of which some images are replaced, and
others cannot be, is of no use.
"""

import re
from dataclasses import dataclass
from typing import Self

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.model.settings import InterpolationChoice
from fractal_tasks.records.applied import check_free, read_applied_record
from fractal_tasks.report.output import find_overlay_folder
from fractal_tasks.steps.output_format import check_format
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import list_labels, open_labels
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.tables import open_tables
from fractal_tasks.storage.urls import MAX_NAME_BYTES, ImageUrl, is_name

_LABEL_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""No file of metadata is called so."""


@dataclass(frozen=True)
class ApplyOrder:
    """What *apply* is to do with an image."""

    url: ImageUrl
    target: ImageUrl
    """The image itself, to be replaced, or a new one of its well."""

    registered_roi_table: str
    reference_acquisition: int
    register_labels: bool
    discard_labels: bool
    """Whether labels that are not registered may be deleted with the image."""

    interpolation: InterpolationChoice
    seen_label: str | None
    """Name of the label that says which pixels were seen; None: it is not written."""

    output_format: OutputFormat

    rerun: bool
    """Whether to make again what was made in the same way already."""

    save_overlays: bool = False
    """Whether pictures of its ROIs are written beside the plate."""

    @classmethod
    def of(
        cls,
        url: ImageUrl,
        *,
        overwrite_input: bool,
        output_image_suffix: str,
        registered_roi_table: str,
        reference_acquisition: int,
        register_labels: bool,
        discard_labels: bool,
        interpolation: InterpolationChoice,
        seen_label: str | None,
        output_format: OutputFormat,
        rerun: bool,
        save_overlays: bool = False,
    ) -> Self:
        """Make the order of the arguments of the task.

        Raises:
            InvalidInputError: An argument is wrong for any image.
        """
        if overwrite_input and not files_of(url).can_replace_images:
            raise InvalidInputError(
                f"{url.zarr_url}: overwrite_input=True needs a file system, as no "
                "object store can replace an image in a single step. Set "
                "overwrite_input=False: the registered image is written beside the "
                "input."
            )
        if seen_label is not None and not _LABEL_NAME.fullmatch(seen_label):
            raise InvalidInputError(
                f"seen_label={seen_label!r}: needed are letters, digits, '_' and '-', "
                "at most 100, e.g. 'seen'."
            )
        if overwrite_input and output_format != OutputFormat():
            found = output_format.model_dump(exclude_defaults=True)
            raise InvalidInputError(
                f"{url.zarr_url}: found output_format={found} with "
                "overwrite_input=True: an image is only replaced by one that is stored "
                "as it is, as all of a well are, also after an interruption. Set "
                "overwrite_input=False, or leave output_format out."
            )
        if save_overlays:
            find_overlay_folder(url)
        return cls(
            url=url,
            target=url if overwrite_input else _output_of(url, output_image_suffix),
            registered_roi_table=registered_roi_table,
            reference_acquisition=reference_acquisition,
            register_labels=register_labels,
            discard_labels=discard_labels,
            interpolation=interpolation,
            seen_label=seen_label,
            output_format=output_format,
            rerun=rerun,
            save_overlays=save_overlays,
        )

    @property
    def replaces_input(self) -> bool:
        """Whether the registered image takes the place of the input."""
        return self.target == self.url


def labels_of(order: ApplyOrder, image: OpenImage) -> list[str]:
    """List the labels of an image that are its own.

    One that said which pixels were seen, when the image was registered before, is made
    anew, or goes with what it was about.

    Raises:
        InvalidInputError: One of them has the name of the label that is to say so.
    """
    before = read_applied_record(image.url)
    made = None if before is None else before.settings.get("seen_label")
    labels = [name for name in list_labels(image) if name != made]
    if order.seen_label in labels:
        raise InvalidInputError(
            f"{image.zarr_url}: seen_label={order.seen_label!r}, but the image has a "
            f"label of this name, which would be lost; its labels are {labels}. Choose "
            "another name."
        )
    return labels


def check_place(order: ApplyOrder) -> None:
    """Find out whether the registered image can be written where it is to be.

    Asked before a lock is taken, as nothing is to be left where it cannot be.

    Raises:
        InvalidInputError: The image is to be replaced, and is behind a link.
        InvalidDataError: Something else is at the target.
        PublishError: The image cannot be replaced.
    """
    if order.replaces_input:
        files_of(order.url).check_image_replaceable(order.url)
    else:
        check_free(order.target, order.url.image_path)


def check_content(order: ApplyOrder, image: OpenImage) -> None:
    """Find out whether all that is in an image can be registered as ordered.

    Raises:
        InvalidInputError: An argument does not fit the image.
        InvalidDataError: Files, labels or tables are not as needed.
    """
    files_of(image.url).check_readable(image.url.location)
    labels = labels_of(order, image)
    if order.register_labels:
        open_labels(image, labels)
    elif order.replaces_input and not order.discard_labels:
        _refuse_to_lose(labels, image)
    # The registered table is made anew before it is needed.
    open_tables(image, skip=order.registered_roi_table)
    check_format(image, labels if order.register_labels else [], order.output_format)


def _output_of(image: ImageUrl, suffix: str) -> ImageUrl:
    name = image.name_with(suffix)
    if not suffix.replace("_", "").isalnum() or not is_name(name):
        raise InvalidInputError(
            f"output_image_suffix={suffix!r}: needed are letters, digits and '_', e.g. "
            f"'registered', and at most {MAX_NAME_BYTES} bytes in the whole name."
        )
    return image.sibling(name)


def _refuse_to_lose(labels: list[str], image: OpenImage) -> None:
    if labels:
        raise InvalidInputError(
            f"{image.zarr_url}: register_labels=False with overwrite_input=True would "
            f"delete the labels {labels}. Set register_labels=True to register them, "
            "overwrite_input=False to keep the input, or discard_labels=True to "
            "delete them."
        )
