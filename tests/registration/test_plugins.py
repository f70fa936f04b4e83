"""Methods of other packages are found by their entry points."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from fractal_tasks.cli import main
from fractal_tasks.registration.registry import METHODS, FurtherMethods, Method
from tests.cli.helpers import IN_PROCESS, Capture
from tests.conftest import MakePlate
from tests.tasks.plates import image_urls, read_table

MODULE = """
from typing import Literal
from fractal_tasks.model import Candidate
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.transforms import Translation


class Blind(RegistrationMethod):
    \"\"\"The same shift for all.\"\"\"

    type: Literal["blind"] = "blind"

    rows: int = 2
    \"\"\"Pixels along y.\"\"\"

    def estimate(self, fixed, moving, *, start_level):
        shift = Translation((0.0, self.rows * fixed[0].spacing_um[-2], 0.0))
        return Estimate((Candidate(shift, 0.99, 0.01),))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a method, as it is installed."""
    site = tmp_path / "site"
    metadata = site / "blind-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "blind_method.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: blind\n")
    (metadata / "entry_points.txt").write_text(
        "[fractal_tasks.methods]\nblind = blind_method:Blind\n"
    )
    monkeypatch.syspath_prepend(str(site))
    return metadata / "entry_points.txt"


@pytest.mark.usefixtures("package")
def test_method_of_a_package_is_chosen_and_has_its_parameters(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    words = ["calculate-registration", str(plate), "--wavelength-id", "A01_C01"]
    method = ["--method", "blind", "--method.rows", "3"]
    assert main([*words, *method, *IN_PROCESS]) == 0
    rows = read_table(image_urls(plate, 2)[1], "FOV_ROI_table").rois
    moved = [(roi.model_extra or {})["translation_y"] for roi in rows.values()]
    assert moved == pytest.approx([3 * 0.325] * 2)


@pytest.mark.usefixtures("package")
def test_help_shows_it_and_the_manifest_does_not(capsys: Capture) -> None:
    assert main(["calculate-registration", "--help"]) == 0
    assert "blind" in capsys.readouterr().out
    assert "blind" not in str(TypeAdapter(Method).json_schema())


@pytest.mark.usefixtures("package")
def test_parameters_are_checked() -> None:
    adapter = TypeAdapter(Method)
    found = adapter.validate_python({"type": "blind", "rows": 5})
    assert found.model_dump() == {"type": "blind", "rows": 5}
    assert adapter.validate_python(found) is found
    with pytest.raises(ValidationError, match="columns"):
        adapter.validate_python({"type": "blind", "columns": 5})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("blind = blind_method:Gone", "cannot be imported"),
        ("blind = gone_module:Blind", "cannot be imported"),
        ("other = blind_method:Blind", "of type 'blind'"),
        ("blind = blind_method:Candidate", "of type None"),
    ],
    ids=["no such name", "no such module", "another name", "no method"],
)
def test_broken_package_is_named_and_harms_no_other_method(
    package: Path, line: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    package.write_text(f"[fractal_tasks.methods]\n{line}\n")
    name = line.split()[0]
    with pytest.raises(ValidationError, match=f"{name}.*{reason}"):
        TypeAdapter(Method).validate_python(name)
    assert FurtherMethods().list_models() == ()
    assert reason in caplog.text
    for method in METHODS:
        assert TypeAdapter(Method).validate_python(method().type) == method()  # type: ignore[attr-defined]


def test_own_methods_cannot_be_replaced(
    package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package.write_text("[fractal_tasks.methods]\nchi2_shift = blind_method:Blind\n")
    assert FurtherMethods().list_models() == ()
    assert "has the name of a method of this package" in caplog.text
    assert type(TypeAdapter(Method).validate_python("chi2_shift")) in METHODS
