"""Files of transforms that the commands `transforms` read and write."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote, unquote

from fractal_tasks.cli.exchange import write_new
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.steps.import_transforms import ImportedTransform
from fractal_tasks.storage.displacement_group import (
    displacements_to_files,
    read_displacements,
)
from fractal_tasks.storage.files import open_group
from fractal_tasks.storage.itk_hdf5 import SIGNATURE, read_itk_hdf5, to_itk_hdf5
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.nifti import read_nifti, to_nifti
from fractal_tasks.storage.urls import ImageUrl, Location, is_inner_path
from fractal_tasks.transforms import (
    Displacements,
    PixelSizes,
    Transform,
    Vector,
    Warp,
)
from fractal_tasks.transforms.exchange import (
    FIELD,
    to_itk,
    to_matrix,
    to_scene,
    to_store,
)
from fractal_tasks.transforms.foreign import CENTRED, read_transform
from fractal_tasks.transforms.itk import list_itk_parts, read_itk_parts
from fractal_tasks.transforms.rfc5 import ENDS, Beside, Ends

if TYPE_CHECKING:
    import zarr

Format: TypeAlias = Literal["rfc5", "scene", "itk", "itk_h5", "nifti", "matrix"]

_SUFFIXES: dict[Format, str] = {
    "rfc5": ".ome.zarr",
    "scene": ".ome.zarr",
    "itk": ".tfm",
    "itk_h5": ".h5",
    "nifti": ".nii.gz",
    "matrix": ".txt",
}
"""What the name of a file ends with, after that of its ROI."""

_WELL_PARTS = 3
"""Row, column and image: what the url of an image in a plate ends with."""

_STORE = "zarr.json"
_FOLDERS = {"rfc5", "scene"}
_NIFTI = (".nii", ".nii.gz")
_GROUP = '{"zarr_format": 3, "node_type": "group", "attributes": {}}'


def read_all(
    source: Path, url: ImageUrl, reference: ImageUrl
) -> ImportedTransform | dict[str, ImportedTransform]:
    """Read a file, or those of a folder by the names of their ROIs.

    Args:
        source: The file or folder.
        url: The acquisition that they are of.
        reference: The image that they lead to.

    Raises:
        InvalidInputError: One cannot be read, or is of another image.
    """
    if source.is_file() or (source / _STORE).is_file():
        return ImportedTransform(read_file(source, (url, reference))[0], source.name)
    there = source.iterdir() if source.is_dir() else ()
    # Hidden files are those of file managers.
    paths = sorted(path for path in there if not path.name.startswith("."))
    if not paths:
        raise InvalidInputError(
            f"{source}: found no file, and no folder with files; needed is a "
            "transform, or a folder with one for each ROI."
        )
    names = list(map(_roi_of, paths))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(
            f"{source}: found several files for the ROIs {twice}; needed is one for "
            "each. Remove the others."
        )
    return {
        name: ImportedTransform(read_file(path, (url, reference))[0], path.name)
        for name, path in zip(names, paths, strict=True)
    }


def read_file(
    path: Path, images: tuple[ImageUrl, ImageUrl] | None = None
) -> tuple[Transform, int]:
    """Read the transform of a file, and for how many axes it was written.

    Args:
        path: The file; of OME-Zarr its folder.
        images: The acquisition that it must be of, if it says of which it is, and the
            image that it leads to.

    Raises:
        InvalidInputError: It cannot be read, or is of another image.
    """
    file = path / _STORE if path.is_dir() else path
    try:
        transform = _read_content(file, str(path), images)
    except (LookupError, OSError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{path}: cannot be read as a transform ({error}). Needed is a file in one "
            "of the formats RFC-5, ITK, NIfTI, elastix, or matrix."
        ) from error
    if images is not None and file.name == _STORE:
        _check_image(json.loads(file.read_text()), path, images[0])
    return transform


def _read_content(
    file: Path, name: str, images: tuple[ImageUrl, ImageUrl] | None
) -> tuple[Transform, int]:
    if file.name.endswith(_NIFTI):
        return read_nifti(file)
    with file.open("rb") as opened:
        is_hdf5 = opened.read(len(SIGNATURE)) == SIGNATURE
    if is_hdf5:
        return read_itk_parts(read_itk_hdf5(file))
    return read_transform(file.read_text(), name, _beside(file.parent, images))


def _beside(folder: Path, images: tuple[ImageUrl, ImageUrl] | None) -> Beside:
    """Say how to read what a file names, and what it may call the two images."""
    ends: Ends = ENDS
    names = [image.zarr_url.rpartition("/")[2] for image in images or ()]
    if len(set(names)) > 1:
        (first,), (last,) = ENDS
        ends = (first, names[0]), (last, names[1])
    return Beside(partial(_read_field, folder), partial(_read_ome, folder), ends)


def _read_ome(folder: Path, path: str) -> dict[str, Any]:
    """Read what OME-Zarr says of an image of a scene."""
    with _opening(folder, path, "image of the scene", "Mend it.") as group:
        ome: Any = group.attrs["ome"]
        return dict(ome)


def _read_field(folder: Path, path: str) -> tuple[Displacements, Vector]:
    """Read displacements that a transformation store names."""
    with _opening(folder, path, "displacements", "Export it again.") as group:
        return read_displacements(group)


@contextmanager
def _opening(folder: Path, path: str, what: str, remedy: str) -> Iterator["zarr.Group"]:
    """Open a group that a file in a folder names.

    Raises:
        InvalidInputError: It is not below the folder, missing, or damaged.
    """
    found = f"{folder}: the {what} {path!r} cannot be read"
    if not is_inner_path(path):
        raise InvalidInputError(f"{found}: needed is a path below it. {remedy}")
    with reading(found, remedy):
        yield open_group(Location(str(folder / path)))


def _check_image(document: dict[str, Any], path: Path, url: ImageUrl) -> None:
    """Refuse a transform that says that it is of another image."""
    given = document.get("attributes", {}).get("fractal_tasks", {}).get("image")
    if given is None:
        return
    # Plates are moved and renamed; wells and images are not.
    urls = url.zarr_url, str(given)
    ours, theirs = (one.rstrip("/").split("/")[-_WELL_PARTS:] for one in urls)
    if ours != theirs:
        raise InvalidInputError(
            f"{path}: found the transform of {given}; needed is one of {url.zarr_url}. "
            "If it holds there, too, remove 'image' from it."
        )


def write_one(transform: Transform, ndim: int, kind: Format, output: Path) -> None:
    """Write a transform between centres of first voxels."""
    path = output / _STORE if kind in _FOLDERS else output
    write_new(to_files(transform, CENTRED, kind, ndim, path, {}))


def name_file(roi: str, kind: Format) -> Path:
    """Give where the file of a ROI lies; its name may hold anything."""
    file = Path(quote(roi, safe=" ") + _SUFFIXES[kind])
    return file / _STORE if kind in _FOLDERS else file


def _roi_of(path: Path) -> str:
    """Give the ROI that a file is named after."""
    for suffix in _SUFFIXES.values():
        if path.name.endswith(suffix):
            return unquote(path.name.removesuffix(suffix))
    return unquote(path.stem)


def to_files(
    transform: Transform,
    pixels: PixelSizes,
    kind: Format,
    ndim: int,
    path: Path,
    provenance: dict[str, Any],
) -> dict[Path, str | bytes]:
    """Give the file of a transform, and what belongs to it."""
    bent = pixels.to_centres(transform)
    if kind == "itk":
        return {path: to_itk(transform, pixels, ndim=ndim)}
    if kind == "itk_h5":
        return {path: to_itk_hdf5(list_itk_parts(transform, pixels, ndim))}
    if kind == "nifti":
        if not isinstance(bent, Warp):
            raise InvalidInputError(
                f"{path}: found a transform that does not bend, and a NIfTI file has "
                "displacements only. Choose another format, e.g. 'itk'."
            )
        return {path: to_nifti(bent.whole, bent.nodes.first_um, ndim)}
    if kind == "matrix":
        if isinstance(bent, Warp):
            raise InvalidInputError(
                f"{path}: found a transform that bends, and a matrix cannot. Choose "
                "the format 'rfc5' or 'itk'."
            )
        return {path: to_matrix(transform, pixels)}
    write = to_scene if kind == "scene" else to_store
    files: dict[Path, str | bytes] = {path: write(transform, pixels, provenance)}
    if isinstance(bent, Warp):
        field = displacements_to_files(bent.whole, bent.nodes.first_um)
        folder = path.parent / FIELD
        files[folder.parent / _STORE] = _GROUP
        files |= {folder / key: content for key, content in field.items()}
    return files
