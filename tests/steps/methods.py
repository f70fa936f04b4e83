"""Methods of registration that know their result, and count how often they run."""

import logging
import os
import signal
from typing import ClassVar, Literal

import numpy as np
from pydantic import PrivateAttr

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import CalculateSettings, Candidate
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.patch import PatchPyramid
from fractal_tasks.steps.estimates import Estimation
from fractal_tasks.steps.roi_pairs import RoiPair, open_pairs
from fractal_tasks.steps.sides import open_sides
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Translation, Vector
from tests.records.plates import TABLE
from tests.transforms.affine import turn_about

MOVED_UM: Vector = (0.0, 13.0, -2.6)
"""Farther than a tiny field reaches, so that the camera cannot be what is seen: of two
fields of 16 x 16 bins it may be suspected at any shift within them."""


class Moves(RegistrationMethod):
    """Says that everything moved by the same vector."""

    type: Literal["moves"] = "moves"
    vector_um: Vector = MOVED_UM
    _calls: list[tuple[int, ...]] = PrivateAttr(default_factory=list)

    @property
    def calls(self) -> list[tuple[int, ...]]:
        """Shapes of the fixed patches that it was asked about."""
        return self._calls

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        self._calls.append(tuple(fixed[0].shape))
        best = Candidate(Translation(self.vector_um), 0.75, 0.05, {"ratio": 3.0})
        other = Candidate(Translation((0.0, -13.0, 2.6)), 0.25, None)
        return Estimate((best, other))


class InProcess(Moves):
    """Says which process it was asked in, and in which order; logs a line."""

    type: Literal["moves"] = "moves"
    takes_long: ClassVar[bool] = True
    fails: bool = False
    kills: bool = False

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        if self.fails:
            raise InvalidInputError("ROI: found nothing; needed is something. Try.")
        if self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        first = fixed[0].read((slice(0, 1),) * len(fixed[0].shape)).item()
        logging.getLogger("fractal_tasks.test").info("its first pixel is %g", first)
        evidence = {"process": float(os.getpid()), "first_pixel": first}
        return Estimate((Candidate(Translation(MOVED_UM), 0.75, 0.05, evidence),))


def estimation_of(
    url: ImageUrl, reference: ImageUrl, method: RegistrationMethod
) -> tuple[Estimation, list[RoiPair]]:
    """Give all ROIs of an image, and what their estimates depend on."""
    settings = settings_for(method)
    pairs = open_pairs(*open_sides(reference, url, settings), method, settings)
    channels = (settings.wavelength_id, settings.wavelength_id)
    keys = frozenset(pair.key for pair in pairs)
    return Estimation(url, reference, channels, method, settings, keys, None), pairs


class Leaves(RegistrationMethod):
    """Says how far its transforms leave places off, of one field after the other."""

    type: Literal["leaves"] = "leaves"
    left_px: tuple[float, ...]
    confidence: float = 0.99
    _count: int = PrivateAttr(default=0)

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        evidence = {"left_px": self.left_px[self._count]}
        self._count += 1
        moved = Translation(MOVED_UM)
        return Estimate((Candidate(moved, self.confidence, 0.05, evidence),))


class Turns(RegistrationMethod):
    """Says that everything turned about the middle of the moving patch."""

    type: Literal["turns"] = "turns"
    degrees: float = 2.0

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        sizes = np.multiply(moving[0].shape, moving[0].spacing_um) / 2
        y_um, x_um = sizes[-2:].tolist()
        turn = turn_about((0.0, y_um, x_um), degrees=self.degrees)
        return Estimate((Candidate(turn, 0.9, 0.1),))


def settings_for(method: RegistrationMethod, **changes: object) -> CalculateSettings:
    settings = CalculateSettings(
        wavelength_id="A01_C01",
        more_wavelength_ids=(),
        method=method.model_dump(mode="json"),
        lower_rescale_quantile=0.0,
        upper_rescale_quantile=1.0,
        input_roi_table=TABLE,
        level_path="1",
        dimensions="auto",
        planes="all",
        normalize="none",
        mask="none",
        missing_length_unit="micrometer",
    )
    return settings.model_copy(update=changes)
