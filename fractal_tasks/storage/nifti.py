"""Displacements as NIfTI images of vectors, as ITK and ANTs write them.

ITK counts points along x to the left, y to the back and z upwards (LPS), NIfTI to the
right and to the front (RAS). Vectors are those of ITK, unless the header calls them
displacements.
"""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.transforms import Displacements, Vector, Warp
from fractal_tasks.transforms.itk import list_vectors, place_vectors

_VECTOR, _DISPLACEMENT = 1007, 1006
"""What a header may say of a vector; of the second, that it is in NIfTI's axes."""

_TO_ITK = np.array((-1.0, -1.0, 1.0))
"""By which NIfTI's coordinates are multiplied to be ITK's."""


def to_nifti(field: Displacements, first_um: Vector, ndim: int) -> bytes:
    """Give the content of a `.nii.gz`.

    Args:
        field: What does all of the way from the reference to the acquisition.
        first_um: Where its first node lies, from the centre of the first voxel.
        ndim: Of the images, 2 or 3.

    Raises:
        InvalidInputError: The package nibabel is not installed.
    """
    nibabel = _import_nibabel()
    vectors = list_vectors(field, ndim).transpose(2, 1, 0, 3)[:, :, :, None]
    affine = np.eye(4)
    steps, first = (np.array(one)[::-1] for one in (field.step_um, first_um))
    if ndim == 2:
        steps[2], first[2] = 1.0, 0.0
    affine[:3, :3] = np.diag(steps * _TO_ITK)
    affine[:3, 3] = first * _TO_ITK
    image = nibabel.Nifti1Image(vectors, affine)
    image.header.set_intent(_VECTOR)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    content: bytes = image.to_bytes()
    # Without the time, so that the same displacements are the same bytes.
    return gzip.compress(content, mtime=0)


def read_nifti(path: Path) -> tuple[Warp, int]:
    """Read displacements that lead from the reference to the acquisition.

    Returns:
        The transform, acquisition to reference, between the centres of first voxels;
        and its number of axes.

    Raises:
        InvalidInputError: The package nibabel is not installed.
        OSError: The file cannot be read.
        ValueError: It holds something else.
    """
    nibabel = _import_nibabel()
    try:
        image = nibabel.load(path)
        header, affine = image.header, np.array(image.affine)
        values = np.asarray(image.dataobj, dtype=np.float64)
    except (EOFError, nibabel.filebasedimages.ImageFileError) as error:
        raise ValueError(f"it is no NIfTI image: {error}") from error
    intent = int(header["intent_code"])
    ndim = values.shape[-1]
    is_field = values.ndim == 5 and values.shape[3] == 1 and ndim in {2, 3}
    if not is_field or intent not in {_VECTOR, _DISPLACEMENT}:
        raise ValueError(
            f"found an image of shape {values.shape} with the intent {intent}; needed "
            f"are vectors: (x, y, z, 1, 2 or 3) with {_VECTOR} or {_DISPLACEMENT}"
        )
    if ndim == 2 and values.shape[2] != 1:
        raise ValueError("found vectors in a plane for a stack; needed are three parts")
    steps = np.diag(affine)[:3] * _TO_ITK
    if not np.allclose(affine[:3, :3], np.diag(np.diag(affine)[:3]), atol=1e-6):
        raise ValueError("its displacements lie along other axes than the image")
    # What is counted the other way than ITK does is so of the images, too.
    turned = np.sign(steps)
    vectors = values[:, :, :, 0] * turned[:ndim]
    if intent == _DISPLACEMENT:
        vectors *= _TO_ITK[:ndim]
    first = affine[:3, 3] * _TO_ITK * turned
    vectors = vectors.transpose(2, 1, 0, 3)
    axes = slice(3 - ndim, None)
    return (
        place_vectors(
            vectors if ndim == 3 else vectors[0],
            first[::-1][axes],
            np.abs(steps)[::-1][axes],
        ),
        ndim,
    )


def _import_nibabel() -> Any:  # noqa: ANN401 - a module
    try:
        import nibabel
    except ImportError as error:
        raise InvalidInputError(
            "NIfTI needs a package that is not installed here. Install it: pip install "
            '"fractal-tasks[nifti]".'
        ) from error
    return nibabel
