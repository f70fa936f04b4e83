"""Running elastix. The only module that imports ITK, when it runs first.

Of ITK only the four extension modules that are needed are loaded: the usual ``import
itk`` way loads 69, in ten seconds instead of half a second. Their names are those of
itk-elastix 0.25, which the project asks for.
"""

import ctypes
import importlib
import re
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Parameters: TypeAlias = Mapping[str, Sequence[str]]
"""A parameter map of elastix: names, and for each the texts of its values."""


_LOG = "elastix.log"
_REASON = re.compile(r"ERROR:|Description:( ITK ERROR:)?( ERROR:)?( \w+\(0x\w+\):)?")
"""Beginnings of the lines of a log that say what went wrong."""

_SETTINGS = re.compile(r'component|parameter "')
"""Words of elastix about what it was given, and not about the images."""


class ElastixError(Exception):
    """elastix found no transform; it says why in its own words."""

    @property
    def is_of_parameters(self) -> bool:
        """Whether the parameter maps are at fault, and not the images."""
        return _SETTINGS.search(str(self)) is not None


@dataclass(frozen=True)
class ElastixImage:
    """Pixels and where they lie."""

    pixels: npt.NDArray[np.float32]
    """Axes ``([z,] y, x)``."""

    spacing_um: tuple[float, ...]
    """Pixel size, same order."""

    @property
    def origin_um(self) -> tuple[float, ...]:
        """Centre of the first pixel, from its corner."""
        return tuple(size / 2 for size in self.spacing_um)


def run_elastix(
    fixed: ElastixImage,
    moving: ElastixImage,
    parameters: Sequence[Parameters],
    *,
    initial: Parameters | None = None,
    mask: npt.NDArray[np.bool_] | None = None,
) -> list[dict[str, tuple[str, ...]]]:
    """Register two images.

    In one thread, with the same result each time; other threads of Python wait.

    Args:
        fixed: Reference.
        moving: Image to register, of the same number of axes.
        parameters: Parameter maps, one stage after the other.
        initial: Transform parameter map to start from.
        mask: The pixels of `fixed` that count, of its shape; all by default.

    Returns:
        Transform parameter maps, fixed to moving, each applied after those before;
        `initial` is the first of them.

    Raises:
        ElastixError: elastix gave up.

    References:
        Klein et al., IEEE Trans. Med. Imaging 29, 196 (2010),
        doi:10.1109/TMI.2009.2035616.
    """
    itk = _Itk.load()
    ndim = fixed.pixels.ndim
    registration = itk.new_registration(ndim)
    # ITK only looks at the pixels of these: they must outlive the run.
    arrays = [np.ascontiguousarray(one.pixels) for one in (fixed, moving)]
    images = [
        itk.view(array, one) for array, one in zip(arrays, (fixed, moving), strict=True)
    ]
    registration.SetFixedImage(images[0])
    registration.SetMovingImage(images[1])
    if mask is not None:
        arrays.append(np.ascontiguousarray(mask, dtype=np.uint8))
        images.append(itk.view(arrays[-1], fixed))
        registration.SetFixedMask(images[-1])
    if initial is not None:
        registration.SetInitialTransformParameterObject(itk.new_parameters([initial]))
    registration.SetParameterObject(itk.new_parameters(parameters))
    with tempfile.TemporaryDirectory() as folder:
        registration.SetLogToConsole(False)
        registration.SetLogToFile(True)
        registration.SetOutputDirectory(folder)
        registration.SetLogFileName(_LOG)
        try:
            registration.UpdateLargestPossibleRegion()
        except RuntimeError as error:
            # Its own message only says that there is a log.
            raise ElastixError(_find_reason(Path(folder) / _LOG)) from error
    found = registration.GetTransformParameterObject()
    maps = range(found.GetNumberOfParameterMaps())
    given = [dict(found.GetParameterMap(index).asdict()) for index in maps]
    return ([] if initial is None else [_texts(initial)]) + [
        _texts(one) for one in given[-len(parameters) :]
    ]


def _find_reason(log: Path) -> str:
    """Give what a log says went wrong."""
    lines = log.read_text(errors="replace").splitlines()
    reasons = [line for line in lines if _REASON.match(line)] or lines[-1:]
    return "; ".join(dict.fromkeys(_REASON.sub("", line).strip() for line in reasons))


def _texts(parameters: Parameters) -> dict[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in parameters.items()}


def _keep_types() -> None:
    """Have what SWIG shares between the modules live until the process ends.

    Why: where the interpreter, as it ends, removes it after the modules themselves,
    SWIG's cleanup of it uses types that are gone, and the process ends by a
    segmentation fault, though all is done.
    Where: `SWIG_Python_DestroyModule`, SWIG 4; https://github.com/swig/swig/issues/2037
    is about the same order.
    """
    shared = [name for name in sys.modules if name.startswith("swig_runtime_data")]
    for name in shared:
        capsule = sys.modules[name].type_pointer_capsule
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(capsule))


@dataclass(frozen=True)
class _Itk:
    """The extension modules of ITK."""

    registration: Any
    parameters: Any
    buffers: Any

    @classmethod
    @cache
    def load(cls) -> "_Itk":
        """Import them once."""
        with warnings.catch_warnings():
            # Its generated types name no module, which Python 3.12 and later report.
            warnings.simplefilter("ignore", DeprecationWarning)
            registration, parameters, buffers, common = (
                importlib.import_module(f"itk.{name}Python")
                for name in (
                    "itkElastixRegistrationMethod",
                    "elxParameterObject",
                    "itkPyBuffer",
                    "ITKCommonBase",
                )
            )
        _keep_types()
        # Tasks run one per core, and the last digits depend on the number of threads.
        common.itkMultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
        return cls(registration, parameters, buffers)

    # `__New_orig__` is `New` without the layer of templates, which loads all of ITK.
    def new_registration(self, ndim: int) -> Any:  # noqa: ANN401 - ITK has no types
        """Make a registration of float images."""
        name = f"itkElastixRegistrationMethodIF{ndim}IF{ndim}"
        return getattr(self.registration, name).__New_orig__()

    def new_parameters(self, maps: Sequence[Parameters]) -> Any:  # noqa: ANN401
        """Make a parameter object."""
        made = self.parameters.elastixParameterObject.__New_orig__()
        for one in maps:
            made.AddParameterMap(_texts(one))
        return made

    def view(self, array: npt.NDArray[Any], like: ElastixImage) -> Any:  # noqa: ANN401
        """Show an array to ITK, which counts axes backwards."""
        kind = {"f": "F", "u": "UC"}[array.dtype.kind]
        buffer = getattr(self.buffers, f"itkPyBufferI{kind}{array.ndim}")
        image = buffer._GetImageViewFromArray(array, array.shape[::-1], 1)
        image.SetSpacing(list(like.spacing_um[::-1]))
        image.SetOrigin(list(like.origin_um[::-1]))
        return image
