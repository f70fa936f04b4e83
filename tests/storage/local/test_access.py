"""What takes the place of a folder is as open as that was."""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fractal_tasks.storage.local import publish
from fractal_tasks.storage.local.access import keep_access
from fractal_tasks.storage.local.publish import replace_directory, replace_file

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    image = tmp_path / "plate.zarr" / "A" / "01" / "0"
    (image / "0" / "0").mkdir(parents=True)
    (image / "0" / "0" / "0").touch()
    (image / "0" / ".zarray").touch()
    return image


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def replace(image: Path) -> None:
    """Make it anew, with a chunk more."""
    with replace_directory(image, image=image, validate=lambda _: None) as build:
        (build / "0" / "0").mkdir(parents=True)
        (build / "0" / "1").mkdir()
        for name in (".zarray", "0/0", "1/0"):
            (build / "0" / name).touch()


def modes(folder: Path) -> dict[str, int]:
    paths = [folder, *folder.rglob("*")]
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o7777 for path in paths
    }


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_modes_are_those_of_what_was_there(image: Path, mask: int) -> None:
    for folder in (image, image / "0", image / "0/0"):
        folder.chmod(0o2775)
    (image / "0/.zarray").chmod(0o664)
    (image / "0/0/0").chmod(0o640)
    with umask(mask):
        replace(image)
        replace_file(image / "0/.zarray", b"{}", image=image)
    assert modes(image) == {
        ".": 0o2775,
        "0": 0o2775,
        "0/.zarray": 0o664,
        "0/0": 0o2775,
        "0/0/0": 0o640,
        "0/1": 0o2775,
        "0/1/0": 0o664,
    }


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_a_table_that_was_not_there_is_as_open_as_its_folder(
    image: Path, mask: int
) -> None:
    tables = image / "tables"
    tables.mkdir()
    tables.chmod(0o2770)
    with (
        umask(mask),
        replace_directory(
            tables / "new", image=image, validate=lambda _: None
        ) as build,
    ):
        (build / "X").mkdir(parents=True)
        (build / "X" / ".zarray").touch()
    assert modes(tables) == {
        ".": 0o2770,
        "new": 0o2770,
        "new/X": 0o2770,
        "new/X/.zarray": 0o660,
    }


def test_metadata_that_did_not_change_keep_their_times(image: Path) -> None:
    for name, content in ((".zarray", b"{}"), ("0/0", b"old pixels")):
        (image / "0" / name).write_bytes(content)
        os.utime(image / "0" / name, ns=(10**18, 10**18))
    with replace_directory(image, image=image, validate=lambda _: None) as build:
        (build / "0" / "0").mkdir(parents=True)
        (build / "0" / ".zarray").write_bytes(b"{}")
        (build / "0" / "0" / "0").write_bytes(b"new pixels")
    assert (image / "0/.zarray").stat().st_mtime_ns == 10**18
    assert (image / "0/0/0").stat().st_mtime_ns != 10**18


def test_mode_of_what_a_link_leads_to_is_not_taken(image: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    (image / "0").rename(archive)
    archive.chmod(0o500)
    (image / "0").symlink_to(archive)
    image.chmod(0o750)
    replace(image)
    assert modes(image)["0"] == 0o750


@needs_root
def test_owner_and_group_are_those_of_what_was_there(image: Path) -> None:
    for path in (image, *image.rglob("*")):
        os.chown(path, 1234, 4321)
    os.chown(image / "0/0/0", 1235, 4322)
    replace(image)
    found = {
        str(path.relative_to(image)): (path.stat().st_uid, path.stat().st_gid)
        for path in image.rglob("*")
    }
    assert found.pop("0/0/0") == (1235, 4322)
    assert set(found.values()) == {(1234, 4321)}


def test_group_that_may_not_be_given_is_told(
    image: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, uid: int, gid: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    new = image.with_name("new")
    new.mkdir()
    status = os.stat(image)
    changed = os.stat_result((*status[:5], 99, *status[6:]))
    stat = Path.stat
    monkeypatch.setattr(
        Path, "stat", lambda path: changed if path == image else stat(path)
    )
    keep_access(image, new)
    assert f"{new}: may not be given the group 99" in caplog.text


def acl(user: int) -> bytes:
    """Give an ACL, as Linux stores it, by which one more user may read and write."""
    entries = [(1, 7, -1), (2, 6, user), (4, 5, -1), (16, 7, -1), (32, 0, -1)]
    packed = (struct.pack("<HHi", *entry) for entry in entries)
    return struct.pack("<I", 2) + b"".join(packed)


def test_acls_are_those_of_what_was_there(image: Path) -> None:
    try:
        os.setxattr(image / "0", ACCESS, acl(1001))
        os.setxattr(image / "0", DEFAULT, acl(1002))
        os.setxattr(image / "0/0/0", ACCESS, acl(1003))
    except OSError as error:
        pytest.skip(f"no ACLs here: {error}")
    replace(image)
    assert os.getxattr(image / "0", ACCESS) == acl(1001)
    assert os.getxattr(image / "0/1", DEFAULT) == acl(1002)
    assert os.getxattr(image / "0/0/0", ACCESS) == acl(1003)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which what is new gets an ACL by which one more user may write."""
    try:
        os.setxattr(tmp_path, DEFAULT, acl(1001))
    except OSError as error:
        pytest.skip(f"no ACLs here: {error}")
    return tmp_path


def test_what_had_no_acl_has_none(image: Path, shared: Path) -> None:
    """It was moved into a folder that has one, and is built there anew."""
    before = modes(image)
    os.setxattr(image.parent, DEFAULT, acl(1001))
    replace(image)
    replace_file(image / "0/.zarray", b"{}", image=image)
    after = modes(image)
    assert [after[name] for name in before] == list(before.values())
    for path in (image, *image.rglob("*")):
        assert not {ACCESS, DEFAULT} & set(os.listxattr(path)), path


def test_what_is_new_in_a_folder_has_the_acl_that_the_system_would_give(
    image: Path, shared: Path
) -> None:
    os.setxattr(image / "0", DEFAULT, acl(1002))
    with umask(0):
        (shared / "made").mkdir()
        os.setxattr(shared / "made", DEFAULT, acl(1002))
        (shared / "made/1").mkdir()
        (shared / "made/1/0").touch()
    replace(image)
    for name in ("1", "1/0"):
        made, new = shared / "made" / name, image / "0" / name
        assert new.stat().st_mode == made.stat().st_mode
        assert xattrs(new) == xattrs(made)


def xattrs(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def test_failure_to_give_access_leaves_what_was_there(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(old: Path, new: Path) -> None:
        raise OSError(errno.EIO, "disk")

    before = modes(image)
    monkeypatch.setattr(publish, "keep_access", fail)
    with pytest.raises(publish.PublishError, match="What was there before is untouch"):
        replace(image)
    assert modes(image) == before
