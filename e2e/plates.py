"""Synthetic plates and what must be true of them after registration.

The expected pixels come from the truth alone: every field is cut out of the input and
put where the reference has it, as far as all acquisitions see it. The shifts of these
plates are whole pixels, so there is exactly one right answer.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from ngio import open_ome_zarr_container
from processes import E2EError

from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import PlateOptions, Truth, create_plate, load_truth

Pixels = npt.NDArray[np.generic]
Shift = tuple[int, int]
NgffVersion = Literal["0.4", "0.5"]

TABLE = "FOV_ROI_table"
REGISTERED = f"{TABLE}_registered"
MAX_ERROR_PX = 0.5
"""More than this would be rounded to another pixel."""


@dataclass(frozen=True)
class Image:
    """One image of a plate before registration."""

    url: str
    well: str
    """Path in the plate, e.g. A/01."""
    acquisition: int
    pixels: Pixels
    labels: Pixels


def outcome_of(image: Image) -> str:
    """Give the verdict on all fields of an image, which all have cells."""
    return "reference" if image.acquisition == 0 else "measured"


def check(condition: bool, message: str) -> None:
    """Stop the run if something is not as it must be."""
    if not condition:
        raise E2EError(message)


class InputPlate:
    """A plate as it was before registration, with its truth."""

    def __init__(self, path: Path, *, ngff_version: NgffVersion, wells: int) -> None:
        """Draw the plate."""
        options = PlateOptions(
            columns=wells,
            field_size_px=256,
            acquisitions=3,
            channels=2,
            levels=4,
            nuclei_per_mm2=2500,
            plate_shift_um=6.0,
            stage_jitter_um=1.0,
            whole_pixel_shifts=True,
            ngff_version=ngff_version,
        )
        self.path = create_plate(path, options)
        self.truth: Truth = load_truth(path)
        self.images = list(self._read_images())

    def _read_images(self) -> Iterator[Image]:
        for well in self.truth.wells:
            for acquisition in well.acquisitions:
                url = f"{self.path}/{well.path}/{acquisition.acquisition}"
                yield Image(
                    url=url,
                    well=well.path,
                    acquisition=acquisition.acquisition,
                    pixels=read_pixels(f"{url}/0"),
                    labels=read_pixels(f"{url}/labels/nuclei/0"),
                )

    def image_list(self) -> list[dict[str, Any]]:
        """Give the images as a converter lists them for the server."""
        return [
            {
                "zarr_url": image.url,
                "attributes": {
                    "plate": self.path.name,
                    "well": image.well.replace("/", ""),
                    "acquisition": image.acquisition,
                },
                "types": {"is_3D": False},
            }
            for image in self.images
        ]

    def judged_list(self) -> list[dict[str, Any]]:
        """Give the images as the server lists them after *consensus*."""
        outcomes = [outcome_of(image) for image in self.images]
        return [
            listed | {"attributes": {**listed["attributes"], "registration": outcome}}
            for listed, outcome in zip(self.image_list(), outcomes, strict=True)
        ]

    def check_input_untouched(self) -> None:
        """Check that the pixels are those that were drawn."""
        for image in self.images:
            same = np.array_equal(read_pixels(f"{image.url}/0"), image.pixels)
            check(same, f"{image.url}: pixels of the input changed")

    def check_registered(self, *, suffix: str) -> None:
        """Check what registration wrote against the truth.

        Args:
            suffix: What the names of the registered images have more than those of the
                input; empty if they took its place.
        """
        for image in self.images:
            registered = f"{image.url}{suffix}"
            self._check_translations(image, registered=registered)
            self._check_verdicts(image, registered=registered)
            for path, before in (
                ("0", image.pixels),
                ("labels/nuclei/0", image.labels),
            ):
                found = read_pixels(f"{registered}/{path}")
                wrong = int(np.count_nonzero(found != self._expected(image, before)))
                check(wrong == 0, f"{registered}/{path}: {wrong} wrong pixels")
            tables = open_ome_zarr_container(registered).list_tables()
            check(TABLE in tables, f"{registered}: {TABLE} is missing, has {tables}")
        self._check_wells(suffix)
        self._check_nothing_left()

    def _shifts(self, well: str, field: str) -> list[Shift]:
        """Give the true shift of a field in each acquisition, y and x in pixels."""
        shifts = []
        for acquisition in range(self.truth.options.acquisitions):
            _, y, x = np.rint(
                np.divide(
                    self.truth.field(well, acquisition, field).translation_um,
                    self.truth.options.pixel_size_um,
                )
            ).astype(int)
            shifts.append((int(y), int(x)))
        return shifts

    def _expected(self, image: Image, before: Pixels) -> Pixels:
        options = self.truth.options
        size = options.field_size_px
        expected = np.zeros_like(before)
        for index in range(options.fields_y * options.fields_x):
            row, column = np.multiply(divmod(index, options.fields_x), size)
            shifts = self._shifts(image.well, f"FOV_{index + 1}")
            top, left = np.add((row, column), np.max(shifts, axis=0))
            bottom, right = np.add((row, column), size + np.min(shifts, axis=0))
            y, x = shifts[image.acquisition]
            expected[..., top:bottom, left:right] = before[
                ..., top - y : bottom - y, left - x : right - x
            ]
        return expected

    def _check_translations(self, image: Image, *, registered: str) -> None:
        """Check what was measured, as *calculate* and as *apply* stored it."""
        attributes = zarr.open_group(registered, mode="r").attrs.asdict()
        record: Any = attributes["registration"]
        found = {
            placement["roi"]: placement["transform"]["translation"]
            for placement in record["placements"]
        }
        self._compare(image, found)
        # In the place of the input are the ROIs of the reference, which did not move.
        if registered != image.url and image.acquisition != 0:
            url = parse_image_url(image.url)
            rois = read_roi_table(open_image(url), TABLE).rois
            columns = {name: roi.model_extra or {} for name, roi in rois.items()}
            found = {
                name: [extra[f"translation_{axis}"] for axis in "zyx"]
                for name, extra in columns.items()
            }
            self._compare(image, found)

    def _check_verdicts(self, image: Image, *, registered: str) -> None:
        """Check what the registered image itself says about each field."""
        url = parse_image_url(registered)
        rois = read_roi_table(open_image(url), REGISTERED).rois
        columns = {name: roi.model_extra or {} for name, roi in rois.items()}
        found = {name: one["registration_status"] for name, one in columns.items()}
        expected = dict.fromkeys(found, outcome_of(image))
        check(found == expected, f"{registered}: {REGISTERED} says {found}")
        self._compare(
            image,
            {
                name: [one[f"translation_{axis}"] for axis in "zyx"]
                for name, one in columns.items()
            },
        )

    def _compare(self, image: Image, found_um: Mapping[str, Sequence[float]]) -> None:
        """Check the translations of all fields of an image against the truth."""
        options = self.truth.options
        names = [f"FOV_{n + 1}" for n in range(options.fields_y * options.fields_x)]
        check(
            sorted(found_um) == names, f"{image.url}: found the ROIs {list(found_um)}"
        )
        for name in names:
            field = self.truth.field(image.well, image.acquisition, name)
            off_um = np.subtract(found_um[name], field.translation_um)
            error_px = float(np.linalg.norm(off_um)) / options.pixel_size_um
            check(
                error_px < MAX_ERROR_PX,
                f"{image.url}, {name}: the translation is {error_px:.2f} px off",
            )

    def _check_wells(self, suffix: str) -> None:
        for well in self.truth.wells:
            attributes = zarr.open_group(self.path / well.path, mode="r").attrs.asdict()
            metadata: Any = attributes.get("ome", attributes)
            listed = {
                image["path"]: image["acquisition"]
                for image in metadata["well"]["images"]
            }
            acquisitions = range(self.truth.options.acquisitions)
            expected = {str(number): number for number in acquisitions}
            expected |= {f"{number}{suffix}": number for number in acquisitions}
            check(listed == expected, f"{self.path}/{well.path} lists {listed}")

    def _check_nothing_left(self) -> None:
        left = list(self.path.glob("*/*/.fractal-tasks-*"))
        check(not left, f"left behind: {left}")


def read_pixels(path: str) -> Pixels:
    """Read a whole array."""
    return np.asarray(zarr.open_array(path, mode="r")[...])


def digest(folder: Path) -> str:
    """Give a fingerprint of all files in a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        total.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()
