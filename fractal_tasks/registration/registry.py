"""The registration methods there are."""

from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BeforeValidator, Discriminator

from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.chi2_shift import Chi2Shift
from fractal_tasks.registration.elastix import Elastix
from fractal_tasks.registration.elastix_files import ElastixFiles
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation

_Method: TypeAlias = PhaseCrossCorrelation | Chi2Shift | Elastix | ElastixFiles
"""Name a new method here: forms and contract tests follow."""

METHODS: tuple[type[RegistrationMethod], ...] = get_args(_Method)


def _from_name(value: Any) -> Any:  # noqa: ANN401 - whatever the caller passed
    """Turn the name of a method, as older workflows give it, into its object."""
    return {"type": value} if isinstance(value, str) else value


Method: TypeAlias = Annotated[
    _Method,
    Discriminator("type"),
    BeforeValidator(_from_name),
]
"""Type of a task argument: the object of a method, or its name for the defaults."""
