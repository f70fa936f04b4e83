"""The overlay of a well in an object store."""

from pathlib import Path

import pytest

import fractal_tasks as ft
from fractal_tasks.cli import main
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture
from tests.storage.remote.conftest import PlatePair


@pytest.mark.e2e
def test_well_in_an_object_store_is_drawn_as_its_copy(
    plate_pair: PlatePair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    local, remote = plate_pair(acquisitions=2, channels=1)
    for plate in (local, remote):
        words = ["calculate-registration", str(plate), *CHANNEL, *IN_PROCESS]
        assert main([*words, "--quiet"]) == 0
    one, other = (ft.show(f"{plate}/A/01") for plate in (local, remote))
    assert one.tobytes() == other.tobytes()
    monkeypatch.chdir(tmp_path)
    assert main(["show", f"{remote}/A/01/1", "--roi", "FOV_1"]) == 0
    assert capsys.readouterr().out == "plate_A01_FOV_1.png\n"
    assert (tmp_path / "plate_A01_FOV_1.png").exists()
