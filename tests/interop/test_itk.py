"""SimpleITK maps points as we do by what is exported, and we by what it writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fractal_tasks.cli.exchange import write_new
from fractal_tasks.cli.transform_files import Format, read_file, to_files
from fractal_tasks.transforms import Transform
from tests.interop.test_ngff_zarr import PIXELS, TRANSFORMS, make_warp

pytestmark = pytest.mark.interop

NAMES: dict[str, tuple[Transform, int]] = {
    "affine": (TRANSFORMS["affine"], 3),
    "stack that bends": (TRANSFORMS["stack that bends"], 3),
    "plane that bends": (make_warp(1), 2),
}
KINDS: dict[Format, str] = {"itk": "tfm", "itk_h5": "h5", "nifti": "nii.gz"}

CASES = [
    pytest.param(name, kind, id=f"{name}, {kind}")
    for name in NAMES
    for kind in KINDS
    if (name, kind) != ("affine", "nifti")
]


def write(name: str, kind: Format, folder: Path) -> Path:
    transform, ndim = NAMES[name]
    path = folder / f"one.{KINDS[kind]}"
    write_new(to_files(transform, PIXELS, kind, ndim, path, {}))
    return path


def draw_points(ndim: int) -> np.ndarray:
    """Give places between the nodes of all transforms."""
    points = np.random.default_rng(1).uniform((0.5, 1, 1), (9.5, 22, 30), (50, 3))
    points[:, : 3 - ndim] = 0
    return points


def map_by(transform: Any, points: np.ndarray, ndim: int) -> np.ndarray:
    """Map points by a transform of SimpleITK."""
    mapped = points.copy()
    for row in mapped:
        xyz = row[::-1][:ndim].tolist()
        row[3 - ndim :] = transform.TransformPoint(xyz)[::-1]
    return mapped


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_simple_itk_maps_points_by_what_is_exported(
    tmp_path: Path, name: str, kind: Format
) -> None:
    import SimpleITK

    transform, ndim = NAMES[name]
    path = write(name, kind, tmp_path)
    if kind == "nifti":
        field = SimpleITK.ReadImage(path, SimpleITK.sitkVectorFloat64)
        assert field.GetDimension() == ndim
        read = SimpleITK.DisplacementFieldTransform(field)
    else:
        read = SimpleITK.ReadTransform(path)
    points = draw_points(ndim)
    expected = PIXELS.to_centres(transform).pull_points(points)
    assert np.abs(map_by(read, points, ndim) - expected).max() < 1e-4


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_exported_is_read_again(
    tmp_path: Path, name: str, kind: Format
) -> None:
    transform, ndim = NAMES[name]
    found, said = read_file(write(name, kind, tmp_path))
    assert said == ndim
    points = draw_points(ndim)
    expected = PIXELS.to_centres(transform).pull_points(points)
    assert np.abs(found.pull_points(points) - expected).max() < 1e-4


def make_field(ndim: int, direction: np.ndarray | None = None) -> Any:
    """Give an image of displacements of SimpleITK."""
    import SimpleITK

    values = np.random.default_rng(2).normal(size=(4, 6, 7, 3)[3 - ndim :])
    values = np.ascontiguousarray(values[..., :ndim])
    field = SimpleITK.GetImageFromArray(values / 4, isVector=True)
    field.SetSpacing((5.0, 4.0, 3.0)[:ndim])
    field.SetOrigin((0.5, 0.25, 0.5)[:ndim])
    if direction is not None:
        field.SetDirection(direction.ravel().tolist())
    return field


def compose_itk(ndim: int) -> Any:
    import SimpleITK

    if ndim == 2:
        turn = SimpleITK.Euler2DTransform((3.0, 4.0), 0.1, (0.5, -0.25))
    else:
        turn = SimpleITK.VersorRigid3DTransform()
        turn.SetRotation((0.0, 0.0, 1.0), 0.1)
        turn.SetCenter((3.0, 4.0, 5.0))
        turn.SetTranslation((0.5, -0.25, 1.0))
    parts = [
        turn,
        SimpleITK.TranslationTransform(ndim, (0.5, 0.25, 0.125)[:ndim]),
        SimpleITK.DisplacementFieldTransform(make_field(ndim)),
    ]
    return SimpleITK.CompositeTransform(parts)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("suffix", ["tfm", "h5"])
def test_what_simple_itk_writes_is_read(tmp_path: Path, ndim: int, suffix: str) -> None:
    import SimpleITK

    composite = compose_itk(ndim)
    path = tmp_path / f"one.{suffix}"
    SimpleITK.WriteTransform(composite, path)
    found, said = read_file(path)
    assert said == ndim
    points = draw_points(ndim)
    expected = map_by(composite, points, ndim)
    assert np.abs(found.pull_points(points) - expected).max() < 1e-4


@pytest.mark.parametrize("ndim", [2, 3])
def test_displacements_of_simple_itk_in_nifti_are_read(
    tmp_path: Path, ndim: int
) -> None:
    import SimpleITK

    path = tmp_path / "one.nii.gz"
    field = make_field(ndim)
    SimpleITK.WriteImage(field, path)
    found, said = read_file(path)
    assert said == ndim
    points = draw_points(ndim)
    read = SimpleITK.DisplacementFieldTransform(field)
    assert np.abs(found.pull_points(points) - map_by(read, points, ndim)).max() < 1e-4


def test_axes_that_nifti_counts_the_other_way_are_those_of_the_images(
    tmp_path: Path,
) -> None:
    """What other software writes without turning axes, ITK sees turned, images too."""
    import SimpleITK

    flip = np.diag((-1.0, -1.0, 1.0))
    field = make_field(3, flip)
    field.SetOrigin((-0.5, -0.25, 0.5))
    path = tmp_path / "one.nii"
    SimpleITK.WriteImage(field, path)
    found, _ = read_file(path)
    points = draw_points(3)
    read = SimpleITK.DisplacementFieldTransform(field)
    turned = points @ flip[::-1, ::-1]
    expected = map_by(read, turned, 3) @ flip[::-1, ::-1]
    assert np.abs(found.pull_points(points) - expected).max() < 1e-4


def test_displacements_by_the_intent_of_nifti_are_in_its_axes(tmp_path: Path) -> None:
    import nibabel
    import SimpleITK

    field = make_field(3)
    path, other = tmp_path / "one.nii", tmp_path / "other.nii"
    SimpleITK.WriteImage(field, path)
    image = nibabel.load(path)
    image.header.set_intent(1006)
    image.to_filename(other)
    found, _ = read_file(other)
    read = SimpleITK.ReadImage(other, SimpleITK.sitkVectorFloat64)
    points = draw_points(3)
    expected = map_by(SimpleITK.DisplacementFieldTransform(read), points, 3)
    assert np.abs(found.pull_points(points) - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("content", "reason"),
    [("turned", "other axes"), ("pixels", "needed are vectors"), ("cut", "NIfTI")],
)
def test_nifti_that_holds_no_displacements_is_named(
    tmp_path: Path, content: str, reason: str
) -> None:
    import SimpleITK

    path = tmp_path / "one.nii.gz"
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    if content == "pixels":
        SimpleITK.WriteImage(SimpleITK.Image(4, 4, 4, SimpleITK.sitkUInt8), path)
    else:
        SimpleITK.WriteImage(make_field(3, turn), path)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=rf"one\.nii\.gz: cannot be read.*{reason}"):
        read_file(path)


def test_hdf5_of_old_itk_is_read(tmp_path: Path) -> None:
    """Until version 5 it left out a letter of two names."""
    import h5py

    path = write("affine", "itk_h5", tmp_path)
    expected, _ = read_file(path)
    with h5py.File(path, "a") as file:
        part = file["TransformGroup/0"]
        part.move("TransformParameters", "TranformParameters")
        part.move("TransformFixedParameters", "TranformFixedParameters")
    assert read_file(path)[0] == expected
