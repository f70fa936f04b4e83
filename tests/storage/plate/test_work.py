"""A unit of work holds its images alone, and begins with healing them."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.local.files import LocalFiles
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl, parse_image_url


@pytest.fixture
def images(tmp_path: Path) -> list[ImageUrl]:
    well = tmp_path / "plate.zarr" / "B" / "03"
    for name in "012":
        (well / name).mkdir(parents=True)
    return [parse_image_url(f"{well}/{name}") for name in "012"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the files, in order."""
    found: list[str] = []

    @contextmanager
    def lock(self: LocalFiles, image: ImageUrl) -> Iterator[None]:
        found.append(f"lock {image.image_path}")
        try:
            yield
        finally:
            found.append(f"release {image.image_path}")

    def heal(self: LocalFiles, image: ImageUrl) -> None:
        found.append(f"heal {image.image_path}")

    monkeypatch.setattr(LocalFiles, "lock_image", lock)
    monkeypatch.setattr(LocalFiles, "heal_image", heal)
    return found


def test_images_are_locked_in_one_order_and_healed_before_the_body(
    images: list[ImageUrl], steps: list[str]
) -> None:
    first, second, third = images
    with working_on(third, first, second, first):
        steps.append("work")
    assert steps == [
        *("lock 0", "lock 1", "lock 2"),
        *("heal 0", "heal 1", "heal 2"),
        "work",
        *("release 2", "release 1", "release 0"),
    ]


def test_locks_are_released_if_the_body_raises(
    images: list[ImageUrl], steps: list[str]
) -> None:
    with pytest.raises(KeyError), working_on(images[0]):
        raise KeyError
    assert steps[-1] == "release 0"


def test_nothing_is_locked_if_one_image_can_only_be_read(
    images: list[ImageUrl], steps: list[str]
) -> None:
    read_only = parse_image_url("https://host/plate.zarr/B/03/1")
    with pytest.raises(InvalidInputError), working_on(images[0], read_only):
        pass
    assert steps == []


def test_workers_that_hold_several_images_never_wait_for_each_other_forever(
    images: list[ImageUrl],
) -> None:
    """Each names them in another order; each must come to its end, one at a time."""
    inside: list[int] = []
    most = []

    def work(number: int) -> None:
        turned = images[number:] + images[:number]
        with working_on(*turned):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert most == [1, 1, 1]


def test_what_an_interrupted_run_left_is_cleared(
    images: list[ImageUrl], caplog: pytest.LogCaptureFixture
) -> None:
    image = images[1].path
    workspace = image.with_name(f".fractal-tasks-1-{'0' * 32}")
    workspace.mkdir()
    (workspace / "marker.json").write_text('{"target": "1"}')
    (workspace / "new").mkdir()
    with caplog.at_level(logging.INFO), working_on(images[1]):
        assert not workspace.exists()
    assert "was interrupted" in caplog.text
