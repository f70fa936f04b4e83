"""Compare the methods on real nuclei, of which the shift is known.

Usage: ``python benchmarks/accuracy/real.py DATA [--peer-python PATH]``. DATA is an
OME-Zarr image (c, z, y, x) whose first channel shows nuclei in fields side by side. Two
windows are cut out of one field, so that both see true pixels only: the field is
oversampled, the second window is moved by whole fine pixels, and both are averaged back
to the pixel size and given camera noise of their own. Writes ``real.json`` to the
output folder, for `summary.py --real`, and prints the tables.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ngio import (
    Channel,
    ImageInWellPath,
    Roi,
    create_empty_plate,
    create_ome_zarr_from_array,
    open_ome_zarr_container,
)
from ngio.tables import RoiTable
from scipy.ndimage import zoom

HERE = Path(__file__).parent
# After this folder, for what the two benchmarks share.
sys.path.append(str(HERE.parent))

from comparing import add_arguments, start_comparison  # noqa: E402
from ours import TABLE, WELL  # noqa: E402
from rows import Pair, Row, save_rows  # noqa: E402
from tables import real_tables  # noqa: E402

FloatArray = npt.NDArray[np.floating]
Counts = npt.NDArray[np.uint16]

OVERSAMPLING = 7
WINDOW_PX = 320
WINDOWS = 9
_READ_NOISE_PHOTONS = 2
_BACKGROUND_COUNTS = 100


@dataclass(frozen=True)
class Case:
    """One kind of pairs."""

    name: str
    photons: float
    """Of the brightest percent of the pixels; the fewer, the noisier."""
    largest_shift_px: float
    other_plane: bool = False
    """The acquisition is another plane of the same field."""
    other_field: bool = False
    """The acquisition is another field: there is no answer."""


CASES = [
    *(
        Case(f"shifted, {photons} photons", photons, 40)
        for photons in (1000, 100, 30, 10, 3)
    ),
    Case("shifted by up to 150 px, 1000 photons", 1000, 150),
    *(
        Case(f"another plane, {photons} photons", photons, 40, other_plane=True)
        for photons in (1000, 100, 30)
    ),
    *(
        Case(f"another field, {photons} photons", photons, 40, other_field=True)
        for photons in (1000, 30)
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="OME-Zarr image with nuclei")
    parser.add_argument("--field-width", type=int, default=640, help="in pixels")
    parser.add_argument("--plates", type=int, default=3, help="per case")
    add_arguments(parser)
    options = parser.parse_args()
    container = open_ome_zarr_container(options.data)
    fields = _read_fields(container.get_image().get_as_numpy(), options.field_width)
    pixel_size_um = container.get_image().pixel_size.x
    rows: list[Row] = []
    with start_comparison(options, ("0", "1", "2")) as comparison:
        for case in CASES:
            for seed in range(options.plates):
                with tempfile.TemporaryDirectory(prefix="accuracy-") as folder:
                    plate = Path(folder) / "plate.zarr"
                    pairs = _make_plate(plate, fields, case, seed, pixel_size_um)
                    rows += comparison.register(plate, pairs)
        facts = comparison.facts()
    save_rows(rows, facts, options.output / "real.json")
    print(real_tables(rows, facts["limit"]))


def _read_fields(pixels: npt.NDArray[np.generic], width: int) -> FloatArray:
    """Give the oversampled fields, shape ``(field, plane, y, x)``, from 0 to 1."""
    image = pixels[0].astype(np.float32)
    fields = np.stack(
        [
            image[..., start : start + width]
            for start in range(0, image.shape[-1] - width + 1, width)
        ]
    )
    low, high = np.quantile(fields, (0.01, 0.99))
    fields = np.clip((fields - low) / (high - low), 0, None)
    factors = (1, 1, OVERSAMPLING, OVERSAMPLING)
    # With grid_mode, pixel i becomes the fine pixels from i * OVERSAMPLING on.
    fine: FloatArray = zoom(fields, factors, order=3, mode="reflect", grid_mode=True)
    return fine


def _make_plate(
    path: Path, fields: FloatArray, case: Case, seed: int, pixel_size_um: float
) -> list[Pair]:
    """Write a plate of one well whose fields are the windows, and give the truth."""
    rng = np.random.default_rng([seed, CASES.index(case)])
    # In fine pixels: of the plate, and a little more of each window, as of a stage.
    shift = rng.uniform(-1, 1, 2) * case.largest_shift_px * OVERSAMPLING
    windows: tuple[list[Counts], list[Counts]] = ([], [])
    pairs = []
    side = int(np.sqrt(WINDOWS))
    for index in range(WINDOWS):
        own = np.rint(shift + rng.uniform(-1, 1, 2) * OVERSAMPLING).astype(int)
        field, plane = rng.integers(fields.shape[:2])
        other_field = (field + case.other_field) % fields.shape[0]
        other_plane = (plane + case.other_plane) % fields.shape[1]
        start = _draw_start(np.array(fields.shape[2:]), own, rng)
        for side_windows, source, corner in (
            (windows[0], fields[field, plane], start),
            (windows[1], fields[other_field, other_plane], start + own),
        ):
            window = _cut(source, corner)
            side_windows.append(_expose(window, case.photons, rng))
        # Pixel i of the second window shows what pixel i + own of the first shows.
        y, x = own / OVERSAMPLING if not case.other_field else (np.nan, np.nan)
        place = [0.0, *(float(WINDOW_PX * one) for one in divmod(index, side))]
        pairs.append(
            Pair(
                condition=case.name,
                seed=seed,
                roi=f"FOV_{index + 1}",
                informative=not case.other_field,
                true_px=[0.0, float(y), float(x)],
                start_px=(place, place),
            )
        )
    _write_plate(path, windows, pairs, pixel_size_um)
    return pairs


def _draw_start(
    size: npt.NDArray[np.int_], shift: npt.NDArray[np.int_], rng: np.random.Generator
) -> npt.NDArray[np.int_]:
    """Draw the corner of the first window so that both lie in the field."""
    low = np.maximum(0, -shift)
    high = size - WINDOW_PX * OVERSAMPLING - np.maximum(0, shift)
    return rng.integers(low, high + 1)


def _cut(fine: FloatArray, corner: npt.NDArray[np.int_]) -> FloatArray:
    y, x = corner.tolist()
    length = WINDOW_PX * OVERSAMPLING
    blocks = fine[y : y + length, x : x + length].reshape(
        WINDOW_PX, OVERSAMPLING, WINDOW_PX, OVERSAMPLING
    )
    window: FloatArray = blocks.mean(axis=(1, 3))
    return window


def _expose(light: FloatArray, photons: float, rng: np.random.Generator) -> Counts:
    counts = rng.poisson(np.clip(light, 0, None) * photons) + _BACKGROUND_COUNTS
    noise = rng.normal(0, _READ_NOISE_PHOTONS, light.shape)
    return np.clip(np.rint(counts + noise), 0, 65535).astype(np.uint16)


def _write_plate(
    path: Path,
    windows: tuple[list[Counts], list[Counts]],
    pairs: list[Pair],
    pixel_size_um: float,
) -> None:
    row, column = WELL.split("/")
    images = [
        ImageInWellPath(
            row=row, column=column, path=str(acquisition), acquisition_id=acquisition
        )
        for acquisition in range(len(windows))
    ]
    create_empty_plate(path, name=path.stem, images=images)
    size_um = WINDOW_PX * pixel_size_um
    rois = [
        Roi.from_values(
            name=pair.roi,
            slices={
                "y": (pair.start_px[0][1] * pixel_size_um, size_um),
                "x": (pair.start_px[0][2] * pixel_size_um, size_um),
                "z": (0.0, 1.0),
            },
        )
        for pair in pairs
    ]
    side = int(np.sqrt(WINDOWS))
    for acquisition, tiles in enumerate(windows):
        mosaic = np.block(
            [tiles[start : start + side] for start in range(0, WINDOWS, side)]
        )
        container = create_ome_zarr_from_array(
            path / WELL / str(acquisition),
            mosaic[None, None],
            pixelsize=pixel_size_um,
            axes_names="czyx",
            levels=5,
            channels_meta=[Channel.default_init("DAPI", wavelength_id="A01_C01")],
        )
        container.add_table(TABLE, RoiTable(rois=rois), backend="json")


if __name__ == "__main__":
    main()
