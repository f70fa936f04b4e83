"""Registration methods of other packages, by their entry points.

A package names them in its metadata, each by the `type` of the method::

    [project.entry-points."fractal_tasks.methods"]
    my_method = "my_package.my_module:MyMethod"
"""

from importlib.metadata import EntryPoint, entry_points

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.registration.base import RegistrationMethod

GROUP = "fractal_tasks.methods"


def find_plugins() -> dict[str, EntryPoint]:
    """Find the entry points of methods, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_plugin(point: EntryPoint) -> type[RegistrationMethod]:
    """Import the method of an entry point.

    Raises:
        InvalidInputError: It cannot be imported, or is no method of this name.
    """
    where = f"method {point.name!r}: the entry point {point.value!r} of {GROUP!r}"
    try:
        method = point.load()
    except (AttributeError, ImportError) as error:
        raise InvalidInputError(
            f"{where} cannot be imported ({error}). Mend or remove the package that "
            "has it."
        ) from error
    is_method = isinstance(method, type) and issubclass(method, RegistrationMethod)
    kind = method.model_fields["type"].default if is_method else None
    if kind != point.name:
        raise InvalidInputError(
            f"{where} is {method!r}, of type {kind!r}; needed is a RegistrationMethod "
            f"whose type is {point.name!r}. Correct the package that has it."
        )
    found: type[RegistrationMethod] = method
    return found
