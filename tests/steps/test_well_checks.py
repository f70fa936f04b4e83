"""What *apply* would refuse in one image is refused before its well is judged."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidDataError
from tests.steps.wells import judge, moved_by, store_estimates, tree_of, well_urls

LABEL = "labels/nuclei"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def list_label(image: Path, name: object) -> None:
    (image / "labels" / ".zattrs").write_text(json.dumps({"labels": ["nuclei", name]}))


def make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def make_group(level: Path) -> None:
    (level / ".zarray").unlink()
    (level / ".zgroup").write_text('{"zarr_format": 2}')


def grow(level: Path) -> None:
    document = json.loads((level / ".zarray").read_text())
    document["shape"] = [10 * size for size in document["shape"]]
    (level / ".zarray").write_text(json.dumps(document))


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "list of labels cut": (lambda one: cut(one / "labels/.zattrs"), "list of its lab"),
    "list of labels nested": (lambda one: list_label(one, ["a"]), "no list of names"),
    "label not there": (lambda one: list_label(one, "ghost"), "label 'ghost'"),
    "label outside": (lambda one: list_label(one, "../../outside"), "do not trust"),
    "label cut": (lambda one: cut(one / LABEL / ".zattrs"), "label 'nuclei' cannot"),
    "level of a label missing": (
        lambda one: shutil.rmtree(one / LABEL / "1"),
        "label 'nuclei' cannot",
    ),
    "level of a label no array": (
        lambda one: make_group(one / LABEL / "1"),
        "label 'nuclei' cannot",
    ),
    "level of a label too large": (
        lambda one: grow(one / LABEL / "1"),
        r"label 'nuclei': level '1' has .* Make the pyramid again",
    ),
    "level too large": (lambda one: grow(one / "1"), "level '1' has .* pixels, level"),
    "pipe": (lambda one: make_pipe(one / "notes.txt"), r"notes\.txt: found a named"),
    "pipe as metadata": (lambda one: make_pipe(one / "1/.zarray"), "found a named"),
    "pipe in a label": (
        lambda one: make_pipe(one / LABEL / "0/0/0/0"),
        "found a named",
    ),
    "pipe in a table": (
        lambda one: make_pipe(one / "tables/FOV_ROI_table/notes.txt"),
        "found a named",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
@pytest.mark.sampled(3)
def test_damage_of_one_image_stops_its_well_before_anything_is_written(
    plate: Path, damage: Callable[[Path], None], said: str
) -> None:
    _, url = well_urls(plate)
    store_estimates(url, dict.fromkeys(["FOV_1", "FOV_2"], moved_by(2, 0)))
    damage(url.path)
    others = plate / "A" / "01" / "0"
    before = tree_of(others)
    with pytest.raises(InvalidDataError, match=said):
        judge(plate)
    assert tree_of(others) == before


def test_a_link_to_nowhere_is_no_damage(plate: Path) -> None:
    _, url = well_urls(plate)
    store_estimates(url, dict.fromkeys(["FOV_1", "FOV_2"], moved_by(2, 0)))
    (url.path / "raw").symlink_to("/nowhere")
    assert judge(plate)[url] == "measured"
