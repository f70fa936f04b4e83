"""Command line flags made from the signatures and docstrings of task functions.

A parameter that is one of several pydantic models, told apart by their field ``type``,
becomes a flag for the type and one flag per field of each model, e.g.
``--method chi2_shift --method.max-shift-um 40``. One that is a model without a ``type``
becomes one flag per field, e.g. ``--output-format.chunk-size-px 1024``.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter
from docstring_parser import parse
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.registration.registry import FurtherMethods
from fractal_tasks.runner import TaskFunction, user_parameters

_SEPARATOR = "__"

_GROUPS = {
    name: Group(title, sort_key=position)
    for position, (name, title) in enumerate(
        {
            "init_calculate_registration": "Images and reference",
            "calculate_registration": "What is compared",
            "init_find_registration_consensus": "Images and reference",
            "find_registration_consensus": "What is believed and kept",
            "apply_registration_to_image": "What is written",
        }.items(),
        start=1,
    )
}
"""Headings of the help, by the first function that has a flag."""

_OTHERS = Group("Arguments of the task", sort_key=6)
"""Of functions without a heading."""


def make_flags(functions: Sequence[TaskFunction]) -> list[inspect.Parameter]:
    """Make the flags of all user parameters of some task functions.

    Of parameters with the same name the first is taken.
    """
    flags = []
    for name, (parameter, help_text) in _merge(functions).items():
        first = next(one for one in functions if name in user_parameters(one))
        group = _GROUPS.get(first.__name__, _OTHERS)
        models = _models_of(parameter.annotation)
        if models:
            flags += _model_flags(name, models, parameter.default, help_text, group)
        else:
            annotation, default = parameter.annotation, parameter.default
            flags.append(_flag(name, annotation, default, help_text, group))
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
            model_type = arguments.get(name, _type_of(parameter.default))
            arguments[name] = _build_model(name, models[model_type], fields)
    return arguments


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
    """Give the models of a union by the value of their field ``type``; {} if none.

    One that is alone and has no such field is found by ''.
    """
    further: tuple[type[BaseModel], ...] = ()
    if get_origin(annotation) is Annotated:
        annotation, *notes = get_args(annotation)
        for note in notes:
            further += note.list_models() if isinstance(note, FurtherMethods) else ()
    models = (*(get_args(annotation) or (annotation,)), *further)
    if not all(isinstance(m, type) and issubclass(m, BaseModel) for m in models):
        return {}
    if "type" not in models[0].model_fields:
        return {"": models[0]}
    return {get_args(m.model_fields["type"].annotation)[0]: m for m in models}


def _type_of(default: Any) -> str:
    return str(getattr(default, "type", ""))


def _model_flags(
    name: str,
    models: dict[str, type[BaseModel]],
    default: Any,
    help_text: str,
    group: Group,
) -> list[inspect.Parameter]:
    """Make the flag that chooses a model, and one flag per field of the models.

    Fields of the same name share a flag, which says what differs between the models.
    """
    # For example, strength: Sharp | Smooth = Smooth(), where only Smooth has sigma_um
    # and both have edge_px, becomes these keyword parameters and flags:
    #     strength             --strength smooth|sharp      [default: smooth]
    #     strength__sigma_um   --strength.sigma-um FLOAT    Only for ['smooth'].
    #     strength__edge_px    --strength.edge-px INTEGER   [default: 3 (sharp), 4 ...]
    # The parameters of fields have None for "not given", so that `collect_arguments`
    # can leave the default to the model that is chosen.
    types = Literal[tuple(models)]  # type: ignore[valid-type]  # known at run time only
    users: dict[str, dict[str, FieldInfo]] = {}
    for model_type, model in models.items():
        for field, info in model.model_fields.items():
            users.setdefault(field, {})[model_type] = info
    has_type = users.pop("type", None) is not None
    return [
        *([_flag(name, types, default.type, help_text, group)] if has_type else []),
        *(
            _field_flag(name, field, infos, group, is_common=len(infos) == len(models))
            for field, infos in users.items()
        ),
    ]


def _field_flag(
    name: str,
    field: str,
    infos: Mapping[str, FieldInfo],
    group: Group,
    *,
    is_common: bool,
) -> inspect.Parameter:
    """Make the flag of a field from what each model that has it says about it."""
    annotation: Any = reduce(or_, (info.annotation for info in infos.values()))
    remark = "" if is_common else f" Only for {list(infos)}."
    flag = Parameter(
        name=f"--{name}.{field}".replace("_", "-"),
        help=(_merge_help(infos) + remark).strip(),
        show_default=_merge_defaults(infos) or False,
        group=group,
    )
    return inspect.Parameter(
        name + _SEPARATOR + field,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, flag],
    )


def _merge_help(infos: Mapping[str, FieldInfo]) -> str:
    """Give the description of a field, by model if they differ."""
    texts = {key: " ".join((i.description or "").split()) for key, i in infos.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return " ".join(f"{key}: {text}" for key, text in texts.items() if text)


def _merge_defaults(infos: Mapping[str, FieldInfo]) -> str:
    """Give the default of a field as text, by model if they differ; '' if none."""
    defaults = {
        model_type: None
        if info.is_required()
        else info.get_default(call_default_factory=True, validated_data={})
        for model_type, info in infos.items()
    }
    first, *others = defaults.values()
    if all(other == first for other in others):
        return "" if first is None else str(first)
    return ", ".join(
        f"{'none' if default is None else default} ({model_type})"
        for model_type, default in defaults.items()
    )


def _flag(
    name: str, annotation: Any, default: Any, help_text: str, group: Group
) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, Parameter(help=help_text, group=group)],
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
