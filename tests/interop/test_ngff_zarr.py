"""ngff-zarr reads what is exported, and resamples as the transform says.

What is compared is in 32-bit numbers: of integers it drops what is behind the point.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from fractal_tasks.cli.exchange import write_new
from fractal_tasks.cli.transform_files import read_file, to_files
from fractal_tasks.transforms import (
    Affine,
    Displacements,
    PixelSizes,
    Transform,
    Translation,
    Warp,
    plane_matrix,
)

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SPACING_UM = (2.0, 0.5, 0.5)
PIXELS = PixelSizes.same(SPACING_UM)
SHAPE = (6, 48, 64)
TURN = Affine.about((6, 12, 16), plane_matrix(turn_rad=0.1, scale=1.03), (0.5, 2.0, -1))


def make_warp(depth: int) -> Warp:
    """Make one that bends, with nodes from the first voxel centre to the last."""
    shape = (depth, 13, 17)
    noise = np.random.default_rng(3).normal(size=(3, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, 1, 2, 2), mode="nearest")
    if depth == 1:
        smooth[0] = 0
    values = (1.5 * smooth / np.abs(smooth).max()).astype(np.float32)
    centres = [(n - 1) * s for n, s in zip(SHAPE, SPACING_UM, strict=True)]
    gaps = np.maximum(np.array(shape) - 1, 1)
    steps = np.where(np.array(shape) > 1, np.array(centres) / gaps, 1.0)
    z, y, x = steps.tolist()
    first = (0.0 if depth == 1 else 1.0, 0.25, 0.25)
    turn = TURN if depth > 1 else Affine.of(TURN.matrix, (0.0, *TURN.offset_um[1:]))
    return Warp(turn, Displacements(values, (z, y, x)), first)


TRANSFORMS: dict[str, Transform] = {
    "translation": Translation((1.0, 3.3, -2.1)),
    "affine": TURN,
    "stack that bends": make_warp(4),
}


def write_store(transform: Transform, folder: Path) -> Path:
    store = folder / "one.ome.zarr"
    write_new(to_files(transform, PIXELS, "rfc5", 3, store / "zarr.json", {}))
    return store


@pytest.mark.parametrize("name", TRANSFORMS)
def test_ngff_zarr_resamples_as_the_transform_says(tmp_path: Path, name: str) -> None:
    import ngff_zarr as nz

    transform = TRANSFORMS[name]
    store = write_store(transform, tmp_path)
    read: Any = nz.from_ome_zarr(str(store), kind="transformation")
    path = getattr(read, "path", None)
    fields = {path: nz.from_ome_zarr(f"{store}/{path}")} if path else None
    noise = np.random.default_rng(0).normal(size=SHAPE)
    pixels = ndimage.gaussian_filter(noise, (0.5, 2, 2)).astype(np.float32)

    def image(values: np.ndarray) -> Any:
        scale = dict(zip("zyx", SPACING_UM, strict=True))
        origin = dict.fromkeys("zyx", 0.0)
        return nz.to_ngff_image(
            values, dims=["z", "y", "x"], scale=scale, translation=origin
        )

    fixed, moving = image(np.zeros(SHAPE, np.float32)), image(pixels)
    found = nz.resample(read, fixed, moving, fields=fields).data.compute()
    axes = [np.arange(n) * s for n, s in zip(SHAPE, SPACING_UM, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    centred = PIXELS.to_centres(transform)
    places = centred.pull_points(grid) / SPACING_UM
    expected = ndimage.map_coordinates(pixels, places.T, order=1).reshape(SHAPE)
    inside = np.all((places >= 0) & (places <= np.array(SHAPE) - 1), axis=1)
    inside = inside.reshape(SHAPE)
    assert inside.mean() > 0.4
    apart = np.abs(found - expected)[inside]
    # Displacements of the whole way are linear between nodes, as those of the rest are.
    assert apart.max() < 1e-4 * np.ptp(pixels)


@pytest.mark.parametrize("name", ["translation", "affine"])
def test_what_ngff_zarr_writes_is_read(tmp_path: Path, name: str) -> None:
    import ngff_zarr as nz

    store = write_store(TRANSFORMS[name], tmp_path)
    read: Any = nz.from_ome_zarr(str(store), kind="transformation")
    again = tmp_path / "again.ome.zarr"
    nz.to_ome_zarr(str(again), read)
    found, _ = read_file(again)
    points = np.random.default_rng(1).uniform((1, 1, 1), (9, 20, 28), (50, 3))
    expected = PIXELS.to_centres(TRANSFORMS[name]).pull_points(points)
    np.testing.assert_allclose(found.pull_points(points), expected, atol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_ngff_zarr_reads_the_scene(tmp_path: Path, name: str) -> None:
    import ngff_zarr as nz

    store = tmp_path / "1.ome.zarr"
    path = store / "zarr.json"
    write_new(to_files(TRANSFORMS[name], PIXELS, "scene", 3, path, {}))
    scene = nz.NgffScene.from_ome_zarr(str(store))
    (edge,) = scene.coordinateTransformations
    assert (edge.input.name, edge.output.name) == ("reference", "acquisition")


def test_scene_of_images_that_ngff_zarr_writes_is_read(tmp_path: Path) -> None:
    """One of the images does not begin at 0."""
    import ngff_zarr as nz
    from ngff_zarr.v06.zarr_metadata import Affine as NgffAffine

    values = np.zeros((4, 32, 32), np.uint16)
    scale = dict(zip("zyx", SPACING_UM, strict=True))
    units = dict.fromkeys("zyx", "micrometer")

    def image(*first_um: float) -> Any:
        origin = dict(zip("zyx", first_um, strict=True))
        one = nz.to_ngff_image(
            values,
            dims=["z", "y", "x"],
            scale=scale,
            translation=origin,
            axes_units=units,
        )
        return nz.to_multiscales(one, scale_factors=[])

    images = {"acquisition": image(0.0, 0.0, 0.0), "reference": image(4.0, 10.0, 20.0)}
    name = images["reference"].metadata.coordinateSystems[0].name
    rows = [[1, 0, 0, 5], [0, 0.9, -0.1, 12], [0, 0.1, 0.9, 21]]
    edge = NgffAffine(
        affine=rows,
        input=nz.CoordinateSystemIdentifier(path="acquisition", name=name),
        output=nz.CoordinateSystemIdentifier(path="reference", name=name),
    )
    store = tmp_path / "scene.ome.zarr"
    nz.NgffScene(images, [edge]).to_ome_zarr(str(store), version="0.6")
    found, _ = read_file(store)
    points = np.array([(0.0, 0.0, 0.0), (2.0, 3.0, 4.0)])
    expected = np.column_stack([points, np.ones(2)]) @ np.transpose(rows) - (4, 10, 20)
    np.testing.assert_allclose(found.map_points(points), expected)
