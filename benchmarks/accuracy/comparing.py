"""Register the same ROIs with fractal-tasks here and the others in their process."""

import argparse
import json
import logging
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from measure import ENVIRONMENT
from ours import ACCEPTANCE_LIMIT, read_pixels, run_ours
from packages import peer_environment, peer_package, this_package
from rows import Pair, Row

HERE = Path(__file__).parent
ASHLAR = "ashlar==1.20.0"


@dataclass(frozen=True)
class Comparison:
    """The methods, ready to register."""

    levels: tuple[str, ...]
    """Of fractal-tasks."""
    peer_python: str
    questions: IO[str]
    """Of the process of the other packages, see `peers.py`."""
    answers: IO[str]

    def register(self, plate: Path, pairs: list[Pair]) -> Iterator[Row]:
        """Register all pairs of a plate with every method."""
        with tempfile.NamedTemporaryFile(suffix=".npz") as pixels:
            np.savez(pixels.name, allow_pickle=False, **read_pixels(plate, pairs))
            # They work while fractal-tasks does.
            print(pixels.name, file=self.questions, flush=True)
            yield from run_ours(plate, pairs, self.levels)
            line = self.answers.readline()
        if not line:
            raise RuntimeError("The other packages failed: see peers.log of the output")
        for answer in json.loads(line):
            yield _peer_row(pairs[answer.pop("index")], answer)

    def facts(self) -> dict[str, Any]:
        """Tell what a report needs to know about the methods and the machine."""
        peer = peer_package(self.peer_python)
        return {
            "limit": ACCEPTANCE_LIMIT,
            "cores": os.cpu_count(),
            "versions": this_package().versions("fractal-tasks", "numpy", "scipy")
            | peer.versions("fractal-tasks-core", "scikit-image")
            | dict([ASHLAR.split("==")]),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `start_comparison` needs."""
    parser.add_argument("--peer-python", help="Python with fractal-tasks-core")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fractal-tasks-accuracy",
        help="folder for what is measured",
    )


@contextmanager
def start_comparison(
    options: argparse.Namespace, levels: tuple[str, ...]
) -> Iterator[Comparison]:
    """Make the methods ready, installing the other packages if need be."""
    # What the libraries say about the plates does not belong into the output.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    options.output.mkdir(parents=True, exist_ok=True)
    python = options.peer_python or peer_environment(HERE.parents[1] / ".venv-peer")
    ashlar = _ashlar_folder(python, options.output / "ashlar")
    with (
        (options.output / "peers.log").open("w") as log,
        subprocess.Popen(
            [python, str(HERE / "peers.py"), str(ashlar)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=ENVIRONMENT,
        ) as process,
    ):
        yield Comparison(
            levels,
            python,
            cast("IO[str]", process.stdin),
            cast("IO[str]", process.stdout),
        )


def _ashlar_folder(python: str, folder: Path) -> Path:
    """Give a folder with ashlar alone: what it needs for reading files needs Java."""
    if not (folder / "ashlar").exists():
        print(f"installing {ASHLAR} into {folder}", flush=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", str(folder), ASHLAR], check=True)
    return folder


def _peer_row(pair: Pair, answer: dict[str, Any]) -> Row:
    """Put the answer, from ROI to ROI, into the frame of the images."""
    fixed_px, moving_px = np.array(pair.start_px)
    for key in ("found_px", "final_px"):
        if answer.get(key) is not None:
            answer[key] = (answer[key] + fixed_px - moving_px).tolist()
    return Row(pair, **answer)
