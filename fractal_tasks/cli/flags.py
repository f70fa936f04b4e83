"""Command line flags made from the signatures and docstrings of task functions.

A parameter that is one of several pydantic models, told apart by their field ``type``,
becomes a flag for the type and one flag per field of each model, e.g.
``--method chi2_shift --method.upsample-factor 20``.
"""

import inspect
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Parameter
from docstring_parser import parse
from pydantic import BaseModel, ValidationError

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.runner import TaskFunction, user_parameters

_SEPARATOR = "__"


def make_flags(functions: Iterable[TaskFunction]) -> list[inspect.Parameter]:
    """Make the flags of all user parameters of some task functions.

    Of parameters with the same name the first is taken.
    """
    flags = []
    for name, (parameter, help_text) in _merge(functions).items():
        models = _models_of(parameter.annotation)
        if models:
            flags.extend(_model_flags(name, models, parameter.default, help_text))
        else:
            flags.append(
                _flag(name, parameter.annotation, parameter.default, help_text)
            )
    return flags


def collect_arguments(
    functions: Iterable[TaskFunction], values: dict[str, Any]
) -> dict[str, Any]:
    """Turn the values of flags into arguments of the task functions.

    Args:
        functions: As given to `make_flags`.
        values: By name of the flag's parameter; flags that were not given are left out.

    Raises:
        InvalidInputError: A model's parameters are not valid.
    """
    arguments = {k: v for k, v in values.items() if _SEPARATOR not in k}
    for name, (parameter, _) in _merge(functions).items():
        fields = {
            key.removeprefix(name + _SEPARATOR): value
            for key, value in values.items()
            if key.startswith(name + _SEPARATOR) and value is not None
        }
        models = _models_of(parameter.annotation)
        if models and (fields or name in arguments):
            model_type = arguments.get(name, parameter.default.type)
            arguments[name] = _build_model(name, models[model_type], fields)
    return arguments


def read_defaults(functions: Iterable[TaskFunction]) -> dict[str, Any]:
    """Give the default of every user parameter that has one."""
    return {
        name: parameter.default
        for name, (parameter, _) in _merge(functions).items()
        if parameter.default is not parameter.empty
    }


def _merge(
    functions: Iterable[TaskFunction],
) -> dict[str, tuple[inspect.Parameter, str]]:
    merged: dict[str, tuple[inspect.Parameter, str]] = {}
    for function in functions:
        documented = {
            item.arg_name: " ".join((item.description or "").split())
            for item in parse(function.__doc__ or "").params
        }
        for name, parameter in user_parameters(function).items():
            merged.setdefault(name, (parameter, documented.get(name, "")))
    return merged


def _models_of(annotation: Any) -> dict[str, type[BaseModel]]:
    """Give the models of a union by the value of their field ``type``; {} if none."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    models = get_args(annotation) or (annotation,)
    if not all(isinstance(m, type) and issubclass(m, BaseModel) for m in models):
        return {}
    return {get_args(m.model_fields["type"].annotation)[0]: m for m in models}


def _model_flags(
    name: str, models: dict[str, type[BaseModel]], default: Any, help_text: str
) -> list[inspect.Parameter]:
    types = Literal[tuple(models)]  # type: ignore[valid-type]  # known at run time only
    flags = [_flag(name, types, default.type, help_text)]
    users: dict[str, list[str]] = {}
    for model_type, model in models.items():
        for field in model.model_fields:
            users.setdefault(field, []).append(model_type)
    del users["type"]
    for field, model_types in users.items():
        info = models[model_types[0]].model_fields[field]
        annotation: Any = info.annotation
        remark = "" if len(model_types) == len(models) else f"Only for {model_types}."
        flag = Parameter(
            name=f"--{name}.{field}".replace("_", "-"),
            help=f"{' '.join((info.description or '').split())} {remark}".strip(),
            show_default=False if info.default is None else str(info.default),
        )
        flags.append(
            inspect.Parameter(
                name + _SEPARATOR + field,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[annotation | None, flag],
            )
        )
    return flags


def _flag(
    name: str, annotation: Any, default: Any, help_text: str
) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, Parameter(help=help_text)],
    )


def _build_model(
    name: str, model: type[BaseModel], fields: dict[str, Any]
) -> BaseModel:
    flag = f"--{name}".replace("_", "-")
    unknown = sorted(set(fields) - set(model.model_fields))
    if unknown:
        known = sorted(set(model.model_fields) - {"type"})
        raise InvalidInputError(
            f"{flag}.{unknown[0].replace('_', '-')} is no parameter of {flag} "
            f"{model.model_fields['type'].default}, which has {known}. Leave it out, "
            f"or choose another {flag}."
        )
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]).replace("_", "-")
        raise InvalidInputError(
            f"{flag}.{field} {problem['input']!r}: {problem['msg']}."
        ) from error
