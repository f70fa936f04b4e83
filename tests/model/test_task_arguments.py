"""What goes from an init task to its units, and the storage options."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError, validate_call

from fractal_tasks.model import PlateEvidence, WellMovement
from fractal_tasks.model.task_arguments import (
    TASK_CONFIG,
    InitArgsRegistrationConsensus,
    StorageOptionsText,
)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, None),
        ("", ""),
        ('{"anon": true}', '{"anon": true}'),
        ({"anon": True}, '{"anon": true}'),
        ({}, "{}"),
    ],
    ids=["none", "empty", "text", "object", "empty object"],
)
def test_storage_options_are_text_or_an_object(given: Any, text: str | None) -> None:
    assert TypeAdapter(StorageOptionsText).validate_python(given) == text


@pytest.mark.parametrize("given", [7, ["anon"]], ids=["number", "list"])
def test_storage_options_of_another_type_are_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(StorageOptionsText).validate_python(given)


def test_web_form_has_a_text_field_for_storage_options() -> None:
    schema = TypeAdapter(StorageOptionsText).json_schema()
    assert schema == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_errors_of_tasks_do_not_quote_arguments() -> None:
    @validate_call(config=TASK_CONFIG)
    def task(*, storage_options: StorageOptionsText = None) -> None:
        raise AssertionError(storage_options)

    with pytest.raises(ValidationError) as caught:
        task(storage_options=["a secret"])  # type: ignore[arg-type]  # on purpose
    assert "a secret" not in str(caught.value)


def test_evidence_of_the_plate_survives_the_way_through_json() -> None:
    movement = WellMovement(translation_um=(0.0, 1.5, -2.0), wells=3)
    evidence = PlateEvidence(input_roi_table="FOV", movements={1: movement})
    arguments = InitArgsRegistrationConsensus(zarr_url_list=["/p/A/01/0"])
    assert arguments.plate is None
    sent = arguments.model_copy(update={"plate": evidence}).model_dump(mode="json")
    received = InitArgsRegistrationConsensus(**json.loads(json.dumps(sent)))
    assert received.plate == evidence
