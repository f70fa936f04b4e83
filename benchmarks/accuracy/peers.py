"""Register fields with the other packages; runs in their environment.

Usage: ``peers.py [ASHLAR_FOLDER]``. Reads paths of ``.npz`` files, as `read_pixels`
gives them, from the standard input, one a line, and answers each with a line of JSON:
a list of ``{"index", "method", "level", "found_px", "score", "cpu_s"}``, one per ROI
and method, and of ashlar also ``"final_px"`` and ``"status"``. ``found_px`` is z, y, x
in pixels of level 0, from ROI to ROI.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from math import nan
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import numpy.typing as npt
from fractal_tasks_core._registration_utils import RegistrationMethod
from skimage.exposure import rescale_intensity
from skimage.registration import phase_cross_correlation

Pixels = npt.NDArray[Any]
Answer = dict[str, Any]
Register = Callable[[Pixels, Pixels], tuple[Any, float | None]]

LEVELS = ("0", "2")


def main() -> None:
    warnings.simplefilter("ignore")
    ashlar = _import_ashlar(sys.argv[1]) if len(sys.argv) > 1 else None
    for line in sys.stdin:
        with redirect_stdout(sys.stderr), np.load(line.strip()) as pixels:
            answers = list(_register_rois(pixels))
            if ashlar is not None:
                answers += _register_tiles(ashlar, pixels)
        print(json.dumps(answers), flush=True)


def _register_rois(pixels: Mapping[str, Pixels]) -> Iterator[Answer]:
    for level in LEVELS:
        step = pixels[f"step_{level}"]
        both = zip(pixels[f"fixed_{level}"], pixels[f"moving_{level}"], strict=True)
        for index, (fixed, moving) in enumerate(both):
            for name, register in _METHODS.items():
                if fixed.shape[0] > 1 and name.endswith("chi2_shift"):
                    # Refused for stacks, by the package itself.
                    continue
                start = time.process_time()
                shift, score = register(np.squeeze(fixed), np.squeeze(moving))
                cpu_s = time.process_time() - start
                padded = np.concatenate([np.zeros(3 - len(shift)), shift])
                yield {
                    "index": index,
                    "method": name,
                    "level": level,
                    "found_px": (padded * step).tolist(),
                    "score": score,
                    "cpu_s": cpu_s,
                }


def _fractal_tasks_core(method: RegistrationMethod) -> Register:
    """Do with two images what its *calculate* task does, with its defaults."""

    def register(fixed: Pixels, moving: Pixels) -> tuple[Any, None]:
        rescaled = [
            rescale_intensity(
                image, in_range=(np.quantile(image, 0.0), np.quantile(image, 0.99))
            )
            for image in (fixed, moving)
        ]
        return method.register(*rescaled)[0], None

    return register


def _scikit_image(fixed: Pixels, moving: Pixels) -> tuple[Any, float]:
    shift, error, _ = phase_cross_correlation(
        fixed, moving, upsample_factor=20, normalization=None
    )
    return shift, -float(error)


_METHODS: dict[str, Register] = {
    "fractal-tasks-core phase_cross_correlation": _fractal_tasks_core(
        RegistrationMethod.PHASE_CROSS_CORRELATION
    ),
    "fractal-tasks-core chi2_shift": _fractal_tasks_core(RegistrationMethod.CHI2_SHIFT),
    "scikit-image": _scikit_image,
}


def _import_ashlar(folder: str) -> ModuleType:
    """Import ashlar's registration without what it needs for files and mosaics only."""
    sys.path.append(folder)
    for name in ("jnius", "jnius_config", "sklearn", "sklearn.linear_model"):
        sys.modules.setdefault(name, MagicMock())
    # Importing it creates a font cache, which needs a folder.
    os.environ.setdefault("MPLBACKEND", "agg")
    from ashlar import reg

    module: ModuleType = reg
    return module


def _register_tiles(ashlar: ModuleType, pixels: Mapping[str, Pixels]) -> list[Answer]:
    """Let ashlar's `LayerAligner` align one acquisition to the other, as it does.

    It finds the offset of the cycle on thumbnails, then registers each tile with the
    nearest tile of the reference, and replaces what is far from the others. The tiles
    of the reference keep their nominal places, which are the true ones. Stacks are
    projected, so that it says nothing about z.
    """
    places = pixels["start_fixed"][:, 1:]
    reference, reader = (
        _make_reader(pixels[name].max(axis=1), places, float(pixels["pixel_size_um"]))
        for name in ("fixed_0", "moving_0")
    )
    thumbnail = sys.modules["ashlar.thumbnail"]
    scale = reference.thumbnail_scale = thumbnail.calculate_scale(reference)
    start = time.process_time()
    reference.thumbnail = thumbnail.make_thumbnail(reference, scale=scale)
    aligner = ashlar.LayerAligner(
        reader,
        SimpleNamespace(
            reader=reference,
            metadata=reference.metadata,
            channel=0,
            positions=places,
            lr=SimpleNamespace(predict=lambda positions: positions),
        ),
    )
    aligner.run()
    cpu_s = (time.process_time() - start) / len(places)
    found = aligner.corrected_nominal_positions + aligner.shifts - places
    return [
        {
            "index": tile,
            "method": "ashlar",
            "level": "0",
            "found_px": [nan, *found[tile].tolist()],
            "score": -float(aligner.errors[tile]),
            "cpu_s": cpu_s,
            "final_px": [nan, *(aligner.positions - places)[tile].tolist()],
            "status": "imputed" if aligner.discard[tile] else "measured",
        }
        for tile in range(len(places))
    ]


def _make_reader(
    tiles: Pixels, places: Pixels, pixel_size_um: float
) -> SimpleNamespace:
    """Give the tiles in the form in which ashlar reads them."""
    return SimpleNamespace(
        read=lambda series, c: tiles[series],
        metadata=SimpleNamespace(
            positions=places,
            origin=places.min(axis=0),
            size=np.array(tiles.shape[1:]),
            num_images=len(tiles),
            pixel_size=pixel_size_um,
        ),
    )


if __name__ == "__main__":
    main()
