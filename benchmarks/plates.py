"""Child processes that need the packages: plates, truth and the floor of *apply*.

Usage: ``plates.py create PATH FIELDS_Y FIELDS_X SIZE``, ``plates.py errors PLATE`` or
``plates.py floor SOURCE_IMAGE NEW_IMAGE``. The benchmark itself imports no large
library, so that its memory does not count as that of a process it starts.
"""

import itertools
import json
import sys
import time
import warnings

import numpy as np
from ngio import open_ome_zarr_container

from fractal_tasks.synthetic import PlateOptions, create_plate, load_truth

WELL = "A/01"


def create(path: str, fields_y: str, fields_x: str, size: str) -> None:
    options = PlateOptions(
        fields_y=int(fields_y),
        fields_x=int(fields_x),
        field_size_px=int(size),
        chunk_size_px=int(size),
        acquisitions=2,
        channels=2,
        labels=False,
        # Fewer nuclei than usual: quicker to draw.
        nuclei_per_mm2=500,
        plate_shift_um=20,
        stage_jitter_um=1,
        # With them the peer fails at full resolution: no comparison of equals.
        hot_pixels=0,
    )
    create_plate(path, options)


def errors(plate: str) -> None:
    """Print the distance of every field's translation from the truth in pixels."""
    truth = load_truth(plate)
    table = open_ome_zarr_container(f"{plate}/{WELL}/1").get_generic_roi_table(
        "FOV_ROI_table"
    )
    found = []
    for roi in table.rois():
        extra = roi.model_extra or {}
        estimate = [extra[f"translation_{axis}"] for axis in "zyx"]
        true = truth.field(WELL, 1, roi.name or "").translation_um
        error_um = np.linalg.norm(np.subtract(estimate, true))
        found.append(float(error_um) / truth.options.pixel_size_um)
    print(json.dumps(found))


def floor(source_url: str, new_url: str) -> None:
    """Decode, encode and write every chunk of every level once; print what it took."""
    source = open_ome_zarr_container(source_url)
    new = source.derive_image(new_url)
    pairs = [
        (source.get_image(path=path).zarr_array, new.get_image(path=path).zarr_array)
        for path in source.level_paths
    ]
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for old_array, new_array in pairs:
        steps = [
            range(0, length, chunk)
            for length, chunk in zip(old_array.shape, old_array.chunks, strict=True)
        ]
        for start in itertools.product(*steps):
            chunk = tuple(
                slice(first, first + length)
                for first, length in zip(start, old_array.chunks, strict=True)
            )
            new_array[chunk] = old_array[chunk]
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "errors": errors, "floor": floor}[sys.argv[1]](*sys.argv[2:])
