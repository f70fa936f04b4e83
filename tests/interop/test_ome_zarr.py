"""ome-zarr maps points by the scene that is exported.

Of displacements it has no way back, and it smooths them by cubic splines, whatever the
file says (0.21): it is compared with that.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from fractal_tasks.cli.exchange import write_new
from fractal_tasks.cli.transform_files import read_file, to_files
from fractal_tasks.transforms import Warp
from tests.interop.test_itk import draw_points
from tests.interop.test_ngff_zarr import PIXELS, TRANSFORMS

pytestmark = pytest.mark.interop

REFERENCE, ACQUISITION = ("", "reference"), ("", "acquisition")


def write_scene(name: str, folder: Path) -> Path:
    store = folder / "1.ome.zarr"
    path = store / "zarr.json"
    write_new(to_files(TRANSFORMS[name], PIXELS, "scene", 3, path, {}))
    return store


@pytest.mark.parametrize("name", TRANSFORMS)
def test_ome_zarr_maps_points_by_what_is_exported(tmp_path: Path, name: str) -> None:
    from ome_zarr.classes.scene import OMEZarrScene

    graph = OMEZarrScene.from_ome_zarr(str(write_scene(name, tmp_path)))._graph
    transform = PIXELS.to_centres(TRANSFORMS[name])
    points = draw_points(3)
    pulled = np.asarray(graph.transform(REFERENCE, ACQUISITION, points))
    expected = transform.pull_points(points)
    if isinstance(transform, Warp):
        nodes = ((points - transform.origin_um) / transform.field.step_um).T
        expected = points + np.transpose(
            [
                ndimage.map_coordinates(one, nodes, order=3, prefilter=False)
                for one in transform.whole.values_um.astype(float)
            ]
        )
    assert np.abs(pulled - expected).max() < 1e-4
    if not isinstance(transform, Warp):
        mapped = graph.transform(ACQUISITION, REFERENCE, points)
        np.testing.assert_allclose(mapped, transform.map_points(points), atol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_models_of_ome_zarr_take_what_is_exported(tmp_path: Path, name: str) -> None:
    import zarr
    from ome_zarr_models.v06.scene import Scene

    store = write_scene(name, tmp_path)
    assert Scene.from_zarr(zarr.open_group(store, mode="r"))
    found, _ = read_file(store)
    points = draw_points(3)
    expected = PIXELS.to_centres(TRANSFORMS[name]).pull_points(points)
    assert np.abs(found.pull_points(points) - expected).max() < 1e-4
