"""Owner, group, mode, ACL and times: what is new is as open as what was in its place.

A plate in a folder that a group shares stays open to the group, whatever the umask of
who registers it.
"""

import errno
import logging
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

logger = logging.getLogger(__name__)

_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_NO_ACL = {errno.ENODATA, errno.ENOTSUP}
_NOT_EXECUTABLE = 0o666

_ACL_HEADER, _ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
"""As Linux stores an ACL: its version, and for each entry whose, what, and an id."""

_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20
_READ_WRITE = 6

_SMALL_BYTES = 4096
"""Metadata have fewer; of pixels nobody would compare the old with the new."""


@dataclass(frozen=True)
class _Access:
    """Who may do what with a file or folder."""

    uid: int
    gid: int
    mode: int
    acls: Mapping[str, bytes]

    @classmethod
    def of(cls, path: Path) -> Self:
        status = path.stat()
        mode = status.st_mode & 0o7777
        return cls(status.st_uid, status.st_gid, mode, _read_acls(path))

    def inherited(self, *, is_folder: bool) -> "_Access":
        """Give that of something new in a folder which has this one."""
        default = self.acls.get(_DEFAULT)
        if default is None:
            mode = self.mode if is_folder else self.mode & _NOT_EXECUTABLE
            return replace(self, mode=mode, acls={})
        if is_folder:
            acls = {_ACCESS: default, _DEFAULT: default}
            return replace(self, mode=self.mode & ~0o777 | _to_mode(default), acls=acls)
        acl = _not_executable(default)
        return replace(self, mode=_to_mode(acl), acls={_ACCESS: acl})

    def give(self, path: Path) -> None:
        """Give a path this access, as far as the user may."""
        status = path.stat()
        uid = self.uid if os.geteuid() == 0 else status.st_uid
        if (status.st_uid, status.st_gid) != (uid, self.gid):
            try:
                os.chown(path, uid, self.gid)
            except PermissionError:
                logger.warning("%s: may not be given the group %d", path, self.gid)
        for name in _read_acls(path):
            # The folder in which it was made may pass on one.
            if name not in self.acls:
                os.removexattr(path, name)
        for name, acl in self.acls.items():
            os.setxattr(path, name, acl)
        # After the owner and the ACL, of which a change takes the bit that passes on a
        # group.
        if path.stat().st_mode & 0o7777 != self.mode:
            path.chmod(self.mode)


def _read_acls(path: Path) -> dict[str, bytes]:
    acls = {}
    for name in (_ACCESS, _DEFAULT) if hasattr(os, "getxattr") else ():
        try:
            acls[name] = os.getxattr(path, name)
        except OSError as error:
            if error.errno not in _NO_ACL:
                raise
    return acls


def _not_executable(acl: bytes) -> bytes:
    """Give what Linux makes of a default ACL for a file: nobody may execute it."""
    start = _ACL_HEADER.size
    entries = list(_ACL_ENTRY.iter_unpack(acl[start:]))
    limits = {_OWNER, _OTHER, _MASK}
    if _MASK not in {whose for whose, _, _ in entries}:
        limits.add(_GROUP)
    return acl[:start] + b"".join(
        _ACL_ENTRY.pack(whose, may & _READ_WRITE if whose in limits else may, who)
        for whose, may, who in entries
    )


def _to_mode(acl: bytes) -> int:
    """Give the mode that Linux shows for an ACL: for the group, its mask."""
    entries = _ACL_ENTRY.iter_unpack(acl[_ACL_HEADER.size :])
    may: dict[int, int] = {whose: rights for whose, rights, _ in entries}
    return may[_OWNER] << 6 | may.get(_MASK, may[_GROUP]) << 3 | may[_OTHER]


def keep_access(old: Path, new: Path) -> None:
    """Give a file, or a folder and all that is in it, the access of what was there.

    And its times, if it is small and did not change.

    Args:
        old: What is to be replaced. What is new in a folder gets what its folder tells.
        new: What takes its place, on the same file system. Links are left alone.

    Raises:
        OSError: It could not be done.
    """
    access = _Access.of(old)
    access.give(new)
    if not new.is_dir():
        _keep_times(old, new)
        return
    for part in sorted(new.iterdir()):
        if part.is_symlink():
            continue
        other = old / part.name
        # What a link leads to is that of others, as the pixels of an archive are.
        is_there = other.exists() and not other.is_symlink()
        if is_there and other.is_dir() == part.is_dir():
            keep_access(other, part)
        else:
            _inherit(access, part)


def inherit_access(folder: Path, new: Path) -> None:
    """Give what is new in a folder, and all that is in it, the access it tells.

    Raises:
        OSError: It could not be done.
    """
    _inherit(_Access.of(folder), new)


def _keep_times(old: Path, new: Path) -> None:
    was, now = old.stat(), new.stat()
    is_small = was.st_size == now.st_size <= _SMALL_BYTES
    if is_small and old.read_bytes() == new.read_bytes():
        os.utime(new, ns=(was.st_atime_ns, was.st_mtime_ns))


def _inherit(access: _Access, new: Path) -> None:
    own = access.inherited(is_folder=new.is_dir())
    own.give(new)
    if new.is_dir():
        for part in sorted(new.iterdir()):
            if not part.is_symlink():
                _inherit(access, part)
