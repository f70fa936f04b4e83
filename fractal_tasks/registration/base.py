"""The contract of a registration method."""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.patch import PatchPyramid


class RegistrationMethod(BaseModel, ABC):
    """Parameters of one method and the way to run it.

    A subclass adds ``type: Literal["its_name"]``, its own parameters as fields with
    attribute docstrings (they become the web form), and `estimate`.
    """

    # Field descriptions must not depend on the import order of other packages.
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    dimensionalities: ClassVar[frozenset[int]] = frozenset({2, 3})
    """Numbers of spatial axes the method can register."""

    @abstractmethod
    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        """Estimate the transform that brings `moving` onto `fixed`.

        Args:
            fixed: Reference ROI, finest level first; axes ``([z,] y, x)``.
            moving: ROI to register; at every level the spacing of `fixed`. Shapes
                may differ; the first corners are the common origin.
            start_level: Index of the finest level at which the whole ROI may be
                searched; finer levels only refine the result on small windows.

        Returns:
            Moving-to-fixed transform in micrometres (z, y, x; z is 0 for 2D patches),
            accurate in pixels of level 0, with an honest confidence: an image without
            signal, or unrelated to the other, gives less than 0.5 and never an error.

        Raises:
            InvalidInputError: A patch is smaller than the method can use.
        """
