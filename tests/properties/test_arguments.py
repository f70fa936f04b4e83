"""Whatever the arguments are, a task ends with an error that names one, or well."""

import inspect
import os
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fractal_tasks.discovery import discover_images, find_work
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from fractal_tasks.tasks.init_calculate_registration import init_calculate_registration
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)
from tests.properties.harness import Sandbox
from tests.tasks.plates import REGISTERED

TASKS: list[Callable[..., object]] = [
    init_calculate_registration,
    calculate_registration,
    init_find_registration_consensus,
    find_registration_consensus,
    apply_registration_to_image,
]

PARTS = st.sampled_from(
    [
        "",
        ".",
        "..",
        "A",
        "01",
        "1",
        "~",
        "*",
        "ü",
        "a b",
        "\n",
        "\0",
        "\ud800",
        "x" * 300,
    ]
)
URLS = st.one_of(
    st.sampled_from(["", "/", "file://", "s3://", "zip::/a", "memory://a/b/c", "{}"]),
    st.text(alphabet=string.printable, max_size=30),
    st.lists(PARTS, max_size=6).map("/".join),
    st.lists(PARTS, max_size=6).map("/".join).map("{}/".__add__),
    st.sampled_from(["file:", "zip::", "https:/", "simplecache::"]).map(
        "{}{{}}".format
    ),
)
"""`{}` stands for the plate."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def good_arguments(task: Callable[..., object], urls: list[str]) -> dict[str, Any]:
    """Give arguments with which a task runs well on the tiny plate."""
    known = {
        "zarr_urls": urls,
        "zarr_dir": "",
        "zarr_url": urls[0] if task is find_registration_consensus else urls[1],
        "init_args": {"reference_zarr_url": urls[0], "zarr_url_list": urls},
        "wavelength_id": "A01_C01",
        "level_path": "0",
        "registered_roi_table": REGISTERED,
    }
    parameters = inspect.signature(task).parameters
    return {name: value for name, value in known.items() if name in parameters}


def run(
    sandbox: Sandbox,
    task: Callable[..., object],
    arguments: dict[str, Any],
    also: str = "",
) -> None:
    """Run a task; what the types of its arguments refuse is refused at the call."""
    refused: list[ValidationError] = []

    def call() -> None:
        try:
            task(**arguments)
        except ValidationError as error:
            refused.append(error)

    sandbox.run(call, also=also)
    for error in refused:
        # That of the call, not one of a model further inside.
        assert error.title == task.__name__
        assert error.errors()[0]["loc"][0] in arguments


@given(url=URLS)
@example("zip::{}/A/01/0")
@example("{}/A/01/\0")
@example("{}/A/01/\ud800")
def test_any_url_is_an_image_or_an_error_of_ours(sandbox: Sandbox, url: str) -> None:
    url = url.replace("{}", str(sandbox.plate))
    found: list[ImageUrl] = []
    error = sandbox.run(lambda: found.append(parse_image_url(url)))
    for image in found:
        assert all((image.plate_url, image.row, image.column, image.image_path))
        assert not {".", ".."} & set(image.zarr_url.split("/"))
    assert found or "zarr_url" in str(error)


@pytest.mark.parametrize("task", TASKS)
@given(url=URLS, both=st.booleans())
@pytest.mark.sampled(3)
def test_tasks_refuse_any_url_that_is_no_image(
    sandbox: Sandbox, task: Callable[..., object], url: str, both: bool
) -> None:
    url = url.replace("{}", str(sandbox.plate))
    arguments = good_arguments(task, sandbox.urls)
    if "zarr_urls" in arguments:
        arguments["zarr_urls"] = [url] if both else [sandbox.urls[0], url]
    else:
        arguments["zarr_url"] = url
        if both and "init_args" in arguments:
            arguments["init_args"] = {"reference_zarr_url": url, "zarr_url_list": [url]}
    # An image can have any url: the name of what is not there is all that can be said.
    name = url.rstrip("/").rpartition("/")[2]
    try:
        run(sandbox, task, arguments, also=name)
    finally:
        sandbox.restore()


@given(url=URLS)
def test_command_line_refuses_any_url_that_is_no_plate(
    sandbox: Sandbox, url: str
) -> None:
    url = url.replace("{}", str(sandbox.plate))
    # Nothing at all, and what cannot be printed, is refused as an argument.
    is_path = url and url.isprintable()
    place = os.path.basename(os.path.abspath(url)) if is_path else "zarr_url"
    sandbox.run(lambda: find_work(discover_images([url]), 0), place)


@pytest.mark.parametrize("task", TASKS)
@given(data=st.data())
def test_any_json_as_an_argument_is_taken_or_refused(
    sandbox: Sandbox, task: Callable[..., object], data: st.DataObject
) -> None:
    arguments = good_arguments(task, sandbox.urls)
    name = data.draw(
        st.sampled_from([*inspect.signature(task).parameters, "unknown_argument"])
    )
    values = {
        "init_args": st.fixed_dictionaries(
            {"reference_zarr_url": URLS | JSON, "zarr_url_list": st.lists(URLS) | JSON},
            optional={"plate": JSON, "unknown": JSON},
        ),
        "method": st.fixed_dictionaries(
            {"type": st.sampled_from(["chi2_shift", "phase_cross_correlation", "x"])},
            optional={"max_shift_um": JSON, "min_overlap": JSON, "unknown": JSON},
        ),
    }
    arguments[name] = data.draw(values.get(name, st.nothing()) | JSON)
    try:
        run(sandbox, task, arguments)
    finally:
        sandbox.restore()
