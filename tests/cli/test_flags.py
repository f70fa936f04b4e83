"""Flags follow from the signatures of the tasks; wrong ones are told in one line."""

import inspect
from typing import Any

import pytest

from fractal_tasks.cli import build_app, main
from fractal_tasks.cli.flags import collect_arguments, make_flags
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.runner import select_arguments, user_parameters
from fractal_tasks.synthetic import PlateOptions
from fractal_tasks.workflow.run import REGISTER_TASKS
from tests import fake_tasks
from tests.cli.helpers import (
    CHANNEL,
    COMMANDS,
    OUTPUT_FLAGS,
    RUN_FLAGS,
    Capture,
    flags_of,
)


def flag(parameter: str) -> str:
    return "--" + parameter.replace("_", "-")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_of_a_task_has_a_flag_and_every_flag_a_parameter(
    name: str,
) -> None:
    expected = {
        flag(parameter): info.default
        for function in COMMANDS[name].load().functions
        for parameter, info in user_parameters(function).items()
    }
    found = flags_of(name)
    simple = {key for key in found if "." not in key} - RUN_FLAGS - {"--zarr-url"}
    # It has only fields.
    fields = expected.pop("--output-format", None)
    if fields is not None:
        for field in type(fields).model_fields:
            assert f"--output-format.{field.replace('_', '-')}" in found
    assert simple == set(expected)
    for key in simple - {"--method"}:
        if expected[key] is not inspect.Parameter.empty:
            assert found[key] == expected[key], key


def test_register_has_the_flags_of_all_its_tasks() -> None:
    names = [name.replace("_", "-") for name in REGISTER_TASKS]
    expected = {key for name in names for key in flags_of(name)}
    own = {"--dry-run", "--csv", "--yes", "--output", "--report"}
    assert set(flags_of("register")) == expected | own


def test_one_rerun_flag_serves_all_tasks_of_register() -> None:
    app = build_app()["register"]
    names = [a.names[0] for a in app.assemble_argument_collection()]
    assert names.count("--rerun") == 1
    for name in REGISTER_TASKS:
        assert "--rerun" in flags_of(name.replace("_", "-"))


def test_flag_of_several_tasks_reaches_each_of_them() -> None:
    functions = [fake_tasks.filter_image, fake_tasks.sharpen_image]
    names = [parameter.name for parameter in make_flags(functions)]
    assert names.count("clip") == 1
    arguments = collect_arguments(functions, {"clip": False})
    for function in functions:
        assert select_arguments([function], arguments) == {"clip": False}


def test_demo_plate_has_a_flag_for_every_option() -> None:
    options = {flag(name) for name in PlateOptions.model_fields}
    assert set(flags_of("demo-plate")) == options | OUTPUT_FLAGS | {"--path"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"strength": "sharp"}, {"strength": fake_tasks.Sharp()}),
        (
            {"strength": "sharp", "strength__edge_px": 7},
            {"strength": fake_tasks.Sharp(edge_px=7)},
        ),
        (
            {"strength__sigma_um": 0.5, "clip": False},
            {"strength": fake_tasks.Smooth(sigma_um=0.5), "clip": False},
        ),
    ],
    ids=["nothing", "type", "type and field", "field of the default"],
)
def test_flags_of_a_choice_of_models_become_one_of_them(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert collect_arguments([fake_tasks.filter_image], given) == expected


@pytest.mark.parametrize(
    ("field", "default", "help_text"),
    [
        ("strength__edge_px", "3 (sharp), 4 (smooth)", "Width of an edge."),
        (
            "strength__limit",
            "none (sharp), 0.5 (smooth)",
            "sharp: Largest value. smooth: Share of the largest value.",
        ),
        ("strength__sigma_um", "1.5", "Width of the filter. Only for ['smooth']."),
    ],
    ids=["other default", "other default and text", "one model"],
)
def test_help_of_a_field_says_what_differs_between_models(
    field: str, default: str, help_text: str
) -> None:
    flags = {flag.name: flag for flag in make_flags([fake_tasks.filter_image])}
    shown = flags[field].annotation.__metadata__[0]
    assert shown.show_default == default
    assert shown.help == help_text


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("sharp", fake_tasks.Sharp(limit=2)),
        ("smooth", fake_tasks.Smooth(limit=2)),
    ],
)
def test_default_of_a_field_is_that_of_the_chosen_model(
    chosen: str, expected: fake_tasks.Filter
) -> None:
    """Two models may give fields of the same name other defaults."""
    given = {"strength": chosen, "strength__limit": 2}
    built = collect_arguments([fake_tasks.filter_image], given)["strength"]
    assert built == expected
    assert built.edge_px == {"sharp": 3, "smooth": 4}[chosen]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["calculate-registration", "p.zarr"], "--wavelength-id"),
        (["calculate-registration", *CHANNEL], "zarr-url"),
        (["register", "p.zarr", *CHANNEL, "--keep", "all"], "--keep"),
        (["register", "p.zarr", *CHANNEL, "--colour", "red"], "--colour"),
        (
            ["register", "p.zarr", *CHANNEL, "--min-confidence", "2"],
            "--min-confidence 2.0: Input should be less than or equal to 1",
        ),
        (
            ["register", "p.zarr", *CHANNEL, "--method.min-overlap", "3"],
            "--method.min-overlap 3.0: Input should be less than or equal to 1",
        ),
        (
            ["register", "p.zarr", *CHANNEL, "--planes", "3-"],
            "--planes '3-': needed is 'all', so many planes in the middle, as '5', or "
            "the first to the last one, counted from 0, as '2-9'",
        ),
        (
            ["register", "p.zarr", *CHANNEL, "--output-grid", "0"],
            "--output-grid '0': needed is 'own', 'reference', or a pixel size in um",
        ),
        (["register", "p.zarr", *CHANNEL, "--workers", "0"], "--workers 0: Input"),
        (["demo-plate", "p", "--levels", "1"], "--levels '1': Input should be greater"),
        (["demo-plate", "p", "--z-shift-um", "2"], "needs planes > 1"),
        (["register", "no/such.zarr", *CHANNEL], "found no Zarr group"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_wrong_usage_is_code_2_and_names_the_flag_in_one_line(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "pydantic" not in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_field_of_another_model_is_wrong_usage() -> None:
    given = {"strength": "sharp", "strength__sigma_um": 1.0}
    with pytest.raises(InvalidInputError, match=r"--strength.sigma-um is no parameter"):
        collect_arguments([fake_tasks.filter_image], given)
