"""The stages of a registration that pages and pictures show."""

from pathlib import Path

from fractal_tasks.cli import main
from tests.cli.helpers import CHANNEL, IN_PROCESS
from tests.records.plates import REGISTERED

TABLE = ("--registered-roi-table", REGISTERED)


def run(command: str, plate: Path, *words: str) -> None:
    assert main([command, str(plate), *words, *IN_PROCESS, "--quiet"]) == 0


def calculated(plate: Path) -> None:
    run("calculate-registration", plate, *CHANNEL)


def judged(plate: Path) -> None:
    run("find-registration-consensus", plate)


def kept(plate: Path) -> None:
    run("apply-registration-to-image", plate, *TABLE, "--no-overwrite-input")


def replaced(plate: Path) -> None:
    run("apply-registration-to-image", plate, *TABLE)
