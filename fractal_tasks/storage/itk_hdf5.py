"""Transform files of ITK in HDF5, `.h5`: as ITK, SimpleITK and ANTs write them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fractal_tasks.transforms.itk import COMPOSITE, ItkPart

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How such a file begins."""

_GROUP = "TransformGroup"
_KIND, _PARAMETERS, _FIXED = (
    "TransformType",
    "TransformParameters",
    "TransformFixedParameters",
)
_OLD = {_PARAMETERS: "TranformParameters", _FIXED: "TranformFixedParameters"}
"""As ITK wrote the names before version 5."""


def to_itk_hdf5(parts: Sequence[ItkPart]) -> bytes:
    """Give the content of such a file."""
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for number, part in enumerate(parts):
            group = file.create_group(f"{_GROUP}/{number}")
            # ITK reads no other text.
            text = h5py.string_dtype("ascii")
            group.create_dataset(_KIND, data=[part.name], dtype=text)
            if part.kind != COMPOSITE:
                group.create_dataset(_PARAMETERS, data=part.parameters)
                group.create_dataset(_FIXED, data=part.fixed)
    return content.getvalue()


def read_itk_hdf5(path: Path) -> list[ItkPart]:
    """Read what such a file lists.

    Raises:
        OSError: It cannot be read.
        ValueError: A part is missing or something else.
    """
    import h5py

    with h5py.File(path) as file:
        try:
            groups = file[_GROUP]
            return [_read_part(groups[number]) for number in sorted(groups, key=int)]
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"it is no transform file of ITK: {error}") from error


def _read_part(group: Any) -> ItkPart:  # noqa: ANN401 - of HDF5
    name = group[_KIND].asstr()[0]
    values = (group.get(key, group.get(_OLD[key], ())) for key in (_PARAMETERS, _FIXED))
    parameters, fixed = (np.array(one, dtype=np.float64) for one in values)
    return ItkPart(name, parameters, fixed)
