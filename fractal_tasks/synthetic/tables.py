"""The ROI and feature tables of a synthetic image."""

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
from ngio import OmeZarrContainer, Roi
from ngio.tables import FeatureTable, MaskingRoiTable, RoiTable
from scipy.ndimage import find_objects

from fractal_tasks.synthetic.geometry import FloatArray, field_windows, well_size_um
from fractal_tasks.synthetic.options import PlateOptions

LABEL_NAME = "nuclei"


def write_tables(
    container: OmeZarrContainer,
    options: PlateOptions,
    statistics: "LabelStatistics | None",
) -> None:
    """Write the ROI tables as a converter does, and those of the label if it is there.

    Args:
        container: The image.
        options: Options of the plate.
        statistics: What was measured of the label.
    """
    tables: dict[str, RoiTable | MaskingRoiTable | FeatureTable] = {
        "FOV_ROI_table": _field_table(options),
        "well_ROI_table": RoiTable(
            rois=[_roi("well_1", np.zeros(3), well_size_um(options))]
        ),
    }
    if statistics is not None:
        tables[f"{LABEL_NAME}_ROI_table"] = statistics.masking_table()
        tables[f"{LABEL_NAME}_features"] = statistics.feature_table()
    with warnings.catch_warnings():
        # What anndata and zarr say about formats that OME-Zarr prescribes.
        warnings.filterwarnings("ignore", "Writing zarr v2 data", UserWarning)
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        for name, table in tables.items():
            container.add_table(name, table, backend=options.table_backend)


class LabelStatistics:
    """What is measured of each label while the fields of an image are written."""

    def __init__(self, options: PlateOptions, largest_label: int) -> None:
        """Start without any pixel.

        Args:
            options: Options of the plate.
            largest_label: Largest label value that can occur.
        """
        self._spacing_um = np.array(
            [options.z_spacing_um, options.pixel_size_um, options.pixel_size_um]
        )
        self._pixels = np.zeros(largest_label + 1)
        self._intensity = np.zeros(largest_label + 1)
        self._position_um = np.zeros((largest_label + 1, 3))
        self._first_um = np.full((largest_label + 1, 3), np.inf)
        self._last_um = np.full((largest_label + 1, 3), -np.inf)

    def add_field(
        self,
        labels: npt.NDArray[np.uint32],
        intensity: npt.NDArray[np.generic],
        origin_um: tuple[float, float],
    ) -> None:
        """Count in one field: its labels and the same pixels of the nuclear stain."""
        offset_um = np.array([0, *origin_um])
        where = np.nonzero(labels)
        values = labels[where]
        size = len(self._pixels)
        self._pixels += np.bincount(values, minlength=size)
        self._intensity += np.bincount(values, intensity[where], minlength=size)
        for axis, index in enumerate(where):
            position_um = (index + 0.5) * self._spacing_um[axis] + offset_um[axis]
            self._position_um[:, axis] += np.bincount(
                values, position_um, minlength=size
            )
        for label, box in enumerate(find_objects(labels.astype(np.int32)), start=1):
            if box is None:
                continue
            first = np.array([one.start for one in box]) * self._spacing_um + offset_um
            last = np.array([one.stop for one in box]) * self._spacing_um + offset_um
            self._first_um[label] = np.minimum(self._first_um[label], first)
            self._last_um[label] = np.maximum(self._last_um[label], last)

    def masking_table(self) -> MaskingRoiTable:
        """Give the bounding box of each label."""
        rois = [
            _roi(
                str(label),
                self._first_um[label],
                self._last_um[label] - self._first_um[label],
                label=int(label),
            )
            for label in np.flatnonzero(self._pixels)
        ]
        return MaskingRoiTable(rois=rois, reference_label=LABEL_NAME)

    def feature_table(self) -> FeatureTable:
        """Give size, brightness and place of each label."""
        present = np.flatnonzero(self._pixels)
        pixels = self._pixels[present]
        z_um, y_um, x_um = self._position_um[present].T / pixels
        columns = {
            "label": present,
            "size_px": pixels,
            "mean_intensity_DAPI": self._intensity[present] / pixels,
            "centroid_z_um": z_um,
            "centroid_y_um": y_um,
            "centroid_x_um": x_um,
        }
        return FeatureTable(
            pd.DataFrame(columns).set_index("label"), reference_label=LABEL_NAME
        )


def _field_table(options: PlateOptions) -> RoiTable:
    size_um = options.field_size_px * options.pixel_size_um
    depth_um = options.planes * options.z_spacing_um
    return RoiTable(
        rois=[
            _roi(
                f"FOV_{number}",
                np.array([0, *window.origin_um]),
                np.array([depth_um, size_um, size_um]),
                y_micrometer_original=window.origin_um[0],
                x_micrometer_original=window.origin_um[1],
            )
            for number, window in enumerate(field_windows(options), start=1)
        ]
    )


def _roi(
    name: str,
    start_um: FloatArray,
    length_um: FloatArray,
    label: int | None = None,
    **columns: float,
) -> Roi:
    return Roi.from_values(
        name=name,
        slices={
            axis: (float(start), float(length))
            for axis, start, length in zip("zyx", start_um, length_um, strict=True)
        },
        label=label,
        space="world",
        **columns,
    )
