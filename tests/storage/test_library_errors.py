"""What libraries say of damaged files, in words that say what is wrong with them."""

from pathlib import Path
from typing import Any

import ngio
import pytest
import zarr

from fractal_tasks.storage.library_errors import describe_cause, library_errors

ODD = "its metadata are not as OME-Zarr has them"
LEVEL: dict[str, Any] = {
    "path": "0",
    "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}],
}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("axes", "datasets", "found"),
    [
        ("yxc", [LEVEL], "multiscales.0.axes All space axes must be at the end"),
        ("cyx", [], "multiscales.0.datasets Tuple should have at least 1 item"),
    ],
)
def test_metadata_are_described_by_what_is_wrong_in_their_own_version(
    tmp_path: Path, axes: str, datasets: list[Any], found: str, zarr_format: Any
) -> None:
    kinds = {"c": "channel"}
    described = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    image = {"multiscales": [{"axes": described, "datasets": datasets}]}
    group = zarr.open_group(tmp_path / "image", mode="w", zarr_format=zarr_format)
    if zarr_format == 2:
        group.attrs["multiscales"] = [{**image["multiscales"][0], "version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", **image}
    with pytest.raises(library_errors()) as caught:
        ngio.open_ome_zarr_container(tmp_path / "image").get_image()
    text = describe_cause(caught.value)
    assert text.startswith(f"{ODD}: ")
    assert found in text
    for word in ("Ngio", "NGIO", "Version", "validation error", "Field required"):
        assert word not in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("wells"), f"{ODD}, without: 'wells'"),
        (TypeError("odd"), f"{ODD}: odd"),
        (OSError("disk\n  is gone"), "OSError: disk is gone"),
    ],
)
def test_cause_is_told_in_one_line(error: Exception, text: str) -> None:
    assert describe_cause(error) == text
