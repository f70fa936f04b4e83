"""The contract of a registration method."""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.patch import PatchPyramid


class RegistrationMethod(BaseModel, ABC):
    """Parameters of one method and the way to run it.

    A subclass adds ``type: Literal["its_name"]``, its own parameters as fields with
    attribute docstrings (they become the web form), and `estimate`. All parameters
    have defaults. What `estimate` promises is tested for every member of the registry.

    Space: points are in micrometres, z, y, x, counted from the first corner of each
    patch. The first corner is that of the first pixel, so pixel ``i`` of size ``s`` has
    its centre at ``(i + 1/2) s``. Planes (2D) lie at z = 0, and stay there.

    Direction: moving to fixed, ``x_fixed = T(x_moving)``.

    Confidence and error, of any transform: the displacement of the ROI's centre may be
    wrong in y and x; so may, if the transform is not a translation, that of the ROI's
    corners. The largest of these counts. The confidence is the probability (0 to 1)
    that the peak is the right one, and does not belong to something else. The standard
    error is how far off it is, if it is the right one. Neither says anything about the
    other.
    """

    # Field descriptions must not depend on the import order of other packages.
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    dimensionalities: ClassVar[frozenset[int]] = frozenset({2, 3})
    """Numbers of spatial axes the method can register."""

    takes_long: ClassVar[bool] = False
    """Whether a ROI takes so long that a process of its own pays: seconds."""

    @abstractmethod
    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        """Estimate the transform that brings `moving` onto `fixed`.

        No pixels are an error. Where nothing is found, since an image is empty, flat,
        invalid (NaN) or shows something else, a candidate has less than 0.5 of
        confidence; without any candidate it is the identity, with confidence 0.

        Args:
            fixed: Reference ROI, finest level first; axes ``([z,] y, x)``.
            moving: ROI to register; at every level the spacing of `fixed`. Shapes
                may differ; the first corners are the common origin.
            start_level: Index of the finest level at which the whole ROI may be
                searched; finer levels only refine the result on small windows.

        Returns:
            Candidates, best first, accurate in pixels of level 0. Each has confidence,
            error, and its evidence by the names of `candidate.EVIDENCE`, or further
            ones that are explained there.

        Raises:
            InvalidInputError: A patch has too few pixels for the method, or there is no
                level `start_level`.

        Example:
            Blobs that lie 8 px higher and 4 px further left in the moving image, with
            pixels of 0.5 um:

            >>> import numpy as np
            >>> from fractal_tasks.registration.patch import ArrayPatch
            >>> from fractal_tasks.registration.registry import METHODS
            >>> blobs = np.random.default_rng(0).random((33, 33)) > 0.9
            >>> sample = np.kron(1000.0 * blobs, np.ones((8, 8)))
            >>> fixed = [ArrayPatch(sample[:256, :256], (0.5, 0.5))]
            >>> moving = [ArrayPatch(sample[8:264, 4:260], (0.5, 0.5))]
            >>> best = METHODS[0]().estimate(fixed, moving, start_level=0).best
            >>> z_um, y_um, x_um = best.transform.displacement_at((0.0, 64.0, 64.0))
            >>> round(z_um, 1), round(y_um, 1), round(x_um, 1)
            (0.0, 4.0, 2.0)
            >>> best.confidence > 0.9, best.error_um < 0.5
            (True, True)
        """
