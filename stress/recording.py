"""What processes ask of the file system, as `strace` sees it.

A recorder inside the process would see what goes through the functions it wraps;
zarr, ctypes and libraries in C have ways of their own. The kernel is asked by all.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stress.launcher import Launch

NAMES = (
    *("open", "openat", "creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
    *("rename", "renameat", "renameat2", "write", "pwrite64", "lseek", "close"),
    *("truncate", "ftruncate", "sendfile", "fsync", "fdatasync", "syncfs", "sync"),
)
# Not understood: it is an error if one of them succeeds in a recorded folder.
OTHERS = (
    *("link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "writev"),
    *("pwritev", "pwritev2", "copy_file_range", "splice", "fallocate"),
)
STRACE = (
    *("strace", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--signal=none"),
    *("--decode-fds=path", "--strings-in-hex=all", "--string-limit=999999999"),
    f"--trace={','.join(NAMES + OTHERS)}",
)

Kind = Literal[
    "make file", "make folder", "remove", "rename", "exchange", "write", "copy",
    "cut", "flush", "flush all",
]  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One change of a folder, or a flush; paths are relative to it."""

    kind: Kind
    path: str = ""
    target: str = ""
    """Of a rename or an exchange; the file that is copied from."""

    offset: int = 0
    """Where is written or copied; the new length of a file that is cut."""

    data: bytes = b""
    length: int = 0
    """How much is copied."""


def record(launches: Iterable[Launch], log: Path) -> None:
    """Run units one after the other, and let `strace` write what they do to a file.

    Raises:
        subprocess.CalledProcessError: It could not be run.
    """
    subprocess.run(
        [*STRACE, f"--output={log}", sys.executable, "-m", "stress.launcher"],
        input="\n".join(order.to_json() for order in launches),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )


def read_operations(log: Path, folder: Path) -> list[Operation]:
    """Give what happened in a folder, in the order in which it was done."""
    reader = _Reader(folder)
    return [
        operation
        for call in _calls(log, folder)
        for operation in reader.understand(*call)
    ]


def _calls(log: Path, folder: Path) -> Iterator[tuple[str, str, int]]:
    """Give name, arguments and result of each call that succeeded in a folder."""
    begun: dict[str, str] = {}
    named = "".join(rf"\x{byte:02x}" for byte in str(folder).encode())
    with log.open() as lines:
        for line in lines:
            pid, text = line.rstrip("\n").split(maxsplit=1)
            if named not in text and pid not in begun and "sync()" not in text:
                continue
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>")
                continue
            if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
                text = begun.pop(pid) + text[resumed.end() :]
            if match := re.fullmatch(r"(\w+)\((.*)\)\s+= (\d+)\S*", text):
                yield match[1], match[2], int(match[3])


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.replace(r"\x", ""))


class _Reader:
    """Understands calls; keeps the positions in files that are open for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._positions: dict[int, int] = {}

    def understand(self, name: str, arguments: str, result: int) -> Iterator[Operation]:
        """Give what a call changed in the folder, if anything."""
        strings = [_decode(text) for text in re.findall(r'"([^"]*)"', arguments)]
        opened = [
            _decode(text).decode() for text in re.findall(r"<([^>]*)>", arguments)
        ]
        if name.startswith("open") or name == "creat":
            yield from self._open(self._join(opened, strings[0]), arguments, result)
        elif name in ("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"):
            path = self._inner(self._join(opened, strings[0]))
            kind: Kind = "make folder" if name.startswith("mkdir") else "remove"
            if path is not None:
                yield Operation(kind, path)
        elif name.startswith("rename"):
            yield from self._rename(opened, strings, arguments)
        elif name == "sync":
            yield Operation("flush all")
        elif opened:
            yield from self._use(name, opened, arguments, strings, result)

    def _use(
        self,
        name: str,
        opened: list[str],
        arguments: str,
        strings: list[bytes],
        result: int,
    ) -> Iterator[Operation]:
        """Understand what is done with an open file or folder."""
        path = self._inner(opened[0])
        at_end = name == "sendfile" and result == 0
        if path is None or at_end or "(deleted)" in arguments:
            return
        descriptor = int(arguments.split("<", 1)[0])
        if name in ("fsync", "fdatasync"):
            yield Operation("flush", path)
        elif name == "syncfs":
            yield Operation("flush all")
        elif name == "lseek":
            self._positions[descriptor] = result
        elif name == "write":
            offset = self._positions.get(descriptor, 0)
            self._positions[descriptor] = offset + result
            yield Operation("write", path, offset=offset, data=strings[0][:result])
        elif name == "pwrite64":
            offset = int(arguments.rsplit(",", 1)[1])
            yield Operation("write", path, offset=offset, data=strings[0][:result])
        elif name == "sendfile":
            source = self._inner(opened[1])
            offset = self._positions.get(descriptor, 0)
            self._positions[descriptor] = offset + result
            if source is None or f"[{offset}] =>" not in arguments:
                raise NotImplementedError(f"{name}({arguments})")
            yield Operation("copy", path, source, offset, length=result)
        elif name == "ftruncate":
            yield Operation("cut", path, offset=int(arguments.rsplit(",", 1)[1]))
        elif name != "close":
            raise NotImplementedError(f"{name}({arguments})")

    def _open(self, path: str, arguments: str, result: int) -> Iterator[Operation]:
        self._positions[result] = 0
        inner = self._inner(path)
        if inner is None:
            return
        if "O_APPEND" in arguments or "O_TMPFILE" in arguments:
            raise NotImplementedError(f"open({arguments})")
        if "O_CREAT" in arguments:
            yield Operation("make file", inner)
        if "O_TRUNC" in arguments:
            yield Operation("cut", inner)

    def _rename(
        self, opened: list[str], strings: list[bytes], arguments: str
    ) -> Iterator[Operation]:
        folders = opened or ["", ""]
        first, second = (
            self._inner(self._join([folder], string))
            for folder, string in zip(folders, strings, strict=True)
        )
        if first is None and second is None:
            return
        if first is None or second is None:
            raise NotImplementedError(f"moved over the border: {arguments}")
        exchange = "RENAME_EXCHANGE" in arguments
        yield Operation("exchange" if exchange else "rename", first, second)

    def _join(self, folders: list[str], path: bytes) -> str:
        return str(Path(folders[0] if folders else "", path.decode()))

    def _inner(self, path: str) -> str | None:
        """Give a path relative to the folder; None outside."""
        if path == self._folder:
            return ""
        if not path.startswith(self._folder + "/"):
            return None
        return path[len(self._folder) + 1 :]


def to_json(operations: Iterable[Operation]) -> str:
    """Give a list to read: one operation a line, data by its length."""
    return "\n".join(
        json.dumps([op.kind, op.path, op.target, op.offset, len(op.data)])
        for op in operations
    )
