"""A disk that is full, read-only or closed: what the user reads, and nothing is lost.

What a run that fails leaves is compared byte by byte with what was there before.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.errors import PublishError
from fractal_tasks.storage.local import publish
from tests.tasks.disk_driver import JOBS, NOBODY, WELL, prepare, state_of
from tests.tasks.fault_driver import CREATIONS, Faults
from tests.tasks.plates import image_urls

Cases = dict[tuple[str, str], str]

ROOT = Path(__file__).parents[2]
NAMESPACE = ["unshare", "--map-root-user", "--mount"]
TARGETS = {
    "calculate": "/1/tables/FOV_ROI_table:",
    "consensus": "/[01]/tables/FOV_ROI_table_registered:",
    "apply": "/1:",
    "apply keeping": "/1_registered:",
}


def run_driver(command: list[str], kind: str, folder: Path, cases: Cases) -> None:
    """Run all cases, and compare what the user reads with what is expected."""
    driver = [sys.executable, "-m", "tests.tasks.disk_driver", kind, str(folder)]
    output = subprocess.run(
        [*command, *driver],
        input=json.dumps(list(cases)),
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    results: list[dict[str, Any]] = json.loads(output)
    for (case, expected), result in zip(cases.items(), results, strict=True):
        assert re.match(expected, result["said"]), (case, result["said"])
        assert result["unchanged"] or result["said"] == "done", case


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder where another file system can be mounted."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1) to mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    tried = subprocess.run([*NAMESPACE, *mount], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"needs the right to mount a small disk: {tried.stderr.strip()}")
    return tmp_path


@pytest.mark.e2e
def test_a_disk_that_is_really_full_or_read_only(disk: Path) -> None:
    """Full at the first byte, among tables and labels, and in the pixels."""
    cases = {
        (
            fault,
            job,
        ): f"PublishError: .*{TARGETS[job]} .*No space left.*Check free space"
        for fault, jobs in (
            ("full 0", JOBS),
            ("full 5", ["consensus", "apply"]),
            ("full 25", ["apply", "apply keeping"]),
        )
        for job in jobs
    }
    for job in JOBS:
        lock = r"plate\.zarr\.fractal-tasks-locks/A_01_[01]\.lock"
        cases["read-only", job] = f"PublishError: .*{lock} .*Read-only.*write elsewhere"
    # What is to be replaced is looked at before a lock is taken.
    cases["read-only", "apply"] = (
        rf"PublishError: .* cannot be written: .*/{WELL} is on a disk that can only be "
        "read. Write elsewhere"
    )
    run_driver(NAMESPACE, "mounted", disk, cases)


@pytest.fixture
def folder_of_nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder that another user reaches, too: a test run as root ends as nobody."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@pytest.mark.e2e
def test_files_and_folders_that_are_closed_to_the_user_or_limited_in_size(
    folder_of_nobody: Path,
) -> None:
    lock = "PublishError: The lock .* could not be taken.*Permission denied.*beside the"
    closed = "PublishError: .* cannot be written: no permission to write in "
    unseen = "InvalidDataError: .*/{}: found no OME-Zarr image.*Permission denied"
    table = r"InvalidDataError: .*/1/tables/{}/table/\.zattrs: no permission to read"
    unread = "InvalidDataError: .*{}: no permission to read it. Change its permissions"
    chunk = "InvalidDataError: .*{}, pixels .*Permission denied.*Check the disk and the"
    cases = {
        **{("parent", job): lock for job in JOBS},
        **{("well", job): rf"{closed}.*/{WELL}\. Change its" for job in JOBS},
        ("well unseen", "apply"): f"PublishError: .*/{WELL} cannot be searched.*Check",
        ("reference", "calculate"): unseen.format(0),
        ("reference", "consensus"): unseen.format(0),
        # What it needs of the reference is in the plan.
        ("reference", "apply"): "done",
        ("reference tables", "calculate"): "done",
        ("reference tables", "consensus"): rf"{closed}.*/0/tables\. Change",
        ("reference chunk", "calculate"): chunk.format("/0/0/0/0/0/1"),
        ("acquisition", "consensus"): unseen.format(1),
        ("acquisition closed", "apply"): rf"{closed}.*/1\. Change",
        ("acquisition closed", "apply keeping"): "done",
        ("tables", "calculate"): rf"{closed}.*/1/tables\. Change",
        ("tables", "consensus"): rf"{closed}.*/1/tables\. Change",
        # All in an image has to go when it is replaced.
        ("tables", "apply"): rf"{closed}.*/1/tables\. Change",
        ("table", "calculate"): table.format("FOV_ROI_table"),
        ("table", "consensus"): table.format("FOV_ROI_table"),
        ("registered table", "apply"): table.format("FOV_ROI_table_registered"),
        ("chunk", "consensus"): unread.format("/1/0/0/0/0/1"),
        ("chunk", "apply"): unread.format("/1/0/0/0/0/1"),
        ("label", "consensus"): unread.format("/1/labels/nuclei/0/0/0/0"),
        ("label", "apply"): unread.format("/1/labels/nuclei/0/0/0/0"),
        ("limited 600", "calculate"): "PublishError: .*File too large.*Check free",
        ("limited 600", "consensus"): "PublishError: .*File too large.*Check free",
        ("limited 2500", "apply keeping"): "PublishError: .*File too large.*Check free",
    }
    run_driver([], "plain", folder_of_nobody, cases)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk") / "prepared"
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


def refuse(*_: object) -> None:
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


# What is there when the quota is reached; "*" is the workspace of the new version.
INSTANTS = [
    ("calculate", "prepared"),
    ("calculate", "*/new/table"),
    ("consensus", "*/new"),
    ("apply", "*/new/1"),
    ("apply", "*/new/0/0"),
    ("apply", "*/new/labels/nuclei"),
    ("apply", "*/new/tables/nuclei_features"),
    ("apply keeping", "*/new/tables/FOV_ROI_table"),
]


@pytest.mark.parametrize(("job", "instant"), INSTANTS)
def test_a_quota_that_is_reached_at_any_instant_leaves_all_as_it_was(
    prepared: Path, tmp_path: Path, faults: Faults, job: str, instant: str
) -> None:
    folder = Path(shutil.copytree(prepared, tmp_path / "prepared"))
    well = folder / "plate.zarr" / WELL

    def strike(_: int) -> None:
        if instant == "prepared" or any(well.glob(instant.replace("*", ".f*", 1))):
            refuse()

    before = state_of(folder)
    with (
        faults.striking(folder, strike, CREATIONS),
        pytest.raises(PublishError, match=r"quota exceeded.*[Cc]heck"),
    ):
        JOBS[job](image_urls(folder / "plate.zarr", 2))
    assert state_of(folder) == before


@pytest.mark.parametrize("step", ["_flush_file_system", "_exchange"])
def test_a_quota_that_is_reached_at_the_switch_leaves_all_as_it_was(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """NFS tells of it only when the file system is flushed."""
    folder = Path(shutil.copytree(prepared, tmp_path / "prepared"))
    before = state_of(folder)
    monkeypatch.setattr(publish, step, refuse)
    for job in ("calculate", "consensus", "apply"):
        with pytest.raises(PublishError, match="quota exceeded") as caught:
            JOBS[job](image_urls(folder / "plate.zarr", 2))
        assert re.search(TARGETS[job], str(caught.value))
        assert state_of(folder) == before


@pytest.mark.parametrize("job", ["calculate", "consensus"])
def test_whether_a_table_can_be_written_is_known_before_any_work(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    """Not after hours of it, and not when the tables of the others are replaced."""
    folder = Path(shutil.copytree(prepared, tmp_path / "prepared"))
    urls = image_urls(folder / "plate.zarr", 2)
    for chunk in (Path(urls[1]) / level for level in ("0/0/0/0/0", "1/0/0/0/0")):
        chunk.write_bytes(b"damaged: whoever reads it fails")
    before = state_of(folder)
    closed = Path(urls[1]) / "tables"
    access: Callable[..., bool] = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != closed and access(path, mode)
    )
    with pytest.raises(PublishError, match=f"no permission to write in {closed}"):
        JOBS[job](urls)
    assert state_of(folder) == before
