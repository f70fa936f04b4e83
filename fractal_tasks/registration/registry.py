"""The registration methods there are."""

import logging
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import Discriminator, ValidatorFunctionWrapHandler, WrapValidator

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.chi2_shift import Chi2Shift
from fractal_tasks.registration.elastix import Elastix
from fractal_tasks.registration.elastix_files import ElastixFiles
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.plugins import find_plugins, load_plugin

logger = logging.getLogger(__name__)

_Method: TypeAlias = PhaseCrossCorrelation | Chi2Shift | Elastix | ElastixFiles
"""Name a new method here: forms and contract tests follow."""

METHODS: tuple[type[RegistrationMethod], ...] = get_args(_Method)


_NAMES = {method.model_fields["type"].default for method in METHODS}


class FurtherMethods:
    """Those of other packages, beside the union of a type."""

    def list_models(self) -> tuple[type[RegistrationMethod], ...]:
        """Import all of them; those that cannot be used are named in the log."""
        found = []
        for name, point in sorted(find_plugins().items()):
            try:
                found.append(_load_other(name, point))
            except InvalidInputError as error:
                # It must not keep anybody from using another one.
                logger.warning("%s", error)
        return tuple(found)


def _load_other(name: str, point: EntryPoint) -> type[RegistrationMethod]:
    if name in _NAMES:
        raise InvalidInputError(
            f"method {name!r}: the entry point {point.value!r} has the name of a "
            "method of this package, which is used. Rename the other one."
        )
    return load_plugin(point)


def _validate(
    value: Any,  # noqa: ANN401 - whatever the caller passed
    handler: ValidatorFunctionWrapHandler,
) -> RegistrationMethod:
    """Take the name of a method for its object, and ask other packages if need be."""
    if isinstance(value, RegistrationMethod):
        return value
    if isinstance(value, str):
        value = {"type": value}
    name = value.get("type") if isinstance(value, Mapping) else None
    point = None if name in _NAMES else find_plugins().get(str(name))
    if point is not None:
        return load_plugin(point).model_validate(value)
    method: RegistrationMethod = handler(value)
    return method


Method: TypeAlias = Annotated[
    _Method, Discriminator("type"), WrapValidator(_validate), FurtherMethods()
]
"""Type of a task argument: the object of a method, or its name for the defaults."""
