"""The command line names its flags where messages name arguments of Python."""

import pytest

from fractal_tasks.cli.wording import name_flags


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "Set register_labels=True, or overwrite_input=False.",
            "Set --register-labels, or --no-overwrite-input.",
        ),
        (
            "reference_acquisition=7; lower min_confidence.",
            "--reference-acquisition 7; lower --min-confidence.",
        ),
        ("choose rejected='impute'", "choose --rejected 'impute'"),
        (
            "environment or storage_options)",
            "environment or --storage-options)",
        ),
        *(
            (text, text)
            for text in (
                "keep the dimensions",
                "/data/wavelength_id/fill_value.zarr: 'level_path', \"level_path\"",
                "the only placeholder is '{input_roi_table}'",
                "no_such_argument=True",
            )
        ),
    ],
)
def test_arguments_in_a_message_are_flags(message: str, shown: str) -> None:
    assert name_flags(message) == shown
