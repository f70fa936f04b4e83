"""What a disk may hold after the power failed: every state that POSIX allows.

The model is that of Pillai et al., "All file systems are not created equal" (OSDI
2014), at its weakest: what was not flushed may be there or not, in any order.

- A name that was made, removed or renamed may be lost until each folder it is in has
  been flushed. A rename or an exchange of names is never half done.
- What was written into a file may be lost, be zeros, or end early, until the file has
  been flushed; its name does not come with it.
- `syncfs` and `sync` flush all.

File systems promise more (journals keep the order of names); nothing here builds on it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod

from stress.recording import Operation

ROOT = 0
Tree = dict[str, bytes | None]


@dataclass(frozen=True)
class Change:
    """What an operation does to the disk, whatever the names are meanwhile."""

    names: dict[tuple[int, str], int | None] = field(default_factory=dict)
    """What lies under a name in a folder from now on; None for nothing."""

    file: int | None = None
    offset: int = 0
    data: bytes | None = None
    """What is written into a file; None if it is cut at `offset`."""

    def variants(self) -> list["Change | None"]:
        """Give what may have become of it if it was not flushed; the whole last."""
        if not self.data:
            return [None, self]
        half = replace(self, data=self.data[: len(self.data) // 2])
        return [None, replace(self, data=bytes(len(self.data))), half, self]

    @property
    def holders(self) -> set[int]:
        """The folders, or the file, that must be flushed for it to be kept."""
        if self.file is not None:
            return {self.file}
        return {folder for folder, _ in self.names}


class Disk:
    """A disk in use: what was changed since the beginning, and what was flushed."""

    def __init__(self, tree: Tree) -> None:
        self.changes: list[Change] = []
        self._waiting: dict[int, set[int]] = {}
        self._names: dict[int, dict[str, int]] = {ROOT: {}}
        self._contents: dict[int, bytes] = {}
        self._count = ROOT
        for path, content in sorted(tree.items()):
            self.do(Operation("make folder" if content is None else "make file", path))
            if content:
                self._contents[self._count] = content
        self.do(Operation("flush all"))
        self.changes.clear()
        self._first_names = {key: dict(names) for key, names in self._names.items()}
        self._first_contents = dict(self._contents)

    @property
    def pending(self) -> list[int]:
        """Numbers of the changes that may be lost."""
        return sorted(self._waiting)

    def do(self, operation: Operation) -> bool:
        """Do an operation; False if it is a flush that had nothing to do."""
        if operation.kind == "flush all":
            flushed = bool(self._waiting)
            self._waiting.clear()
            return flushed
        if operation.kind == "flush":
            return self._flush(self._find(operation.path))
        change = self._understand(operation)
        if change is not None:
            self._waiting[len(self.changes)] = set(change.holders)
            self.changes.append(change)
            for (folder, name), inode in change.names.items():
                self._set(self._names[folder], name, inode)
            if change.file is not None:
                _write(self._contents, change.file, change)
        return True

    def tree(self, lost: dict[int, Change | None] | None = None) -> Tree:
        """Give the content after a power failure.

        Args:
            lost: What became of changes that were pending, by their number; None for
                nothing. All others are there.
        """
        names = {key: dict(names) for key, names in self._first_names.items()}
        contents = dict(self._first_contents)
        for number, whole in enumerate(self.changes):
            change = lost.get(number, whole) if lost else whole
            if change is None:
                continue
            for (folder, name), inode in change.names.items():
                self._set(names.setdefault(folder, {}), name, inode)
            if change.file is not None:
                _write(contents, change.file, change)
        return dict(self._walk(ROOT, "", names, contents))

    def _walk(
        self,
        folder: int,
        prefix: str,
        names: dict[int, dict[str, int]],
        contents: dict[int, bytes],
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, inode in names.get(folder, {}).items():
            if inode in self._names:
                yield prefix + name, None
                yield from self._walk(inode, f"{prefix}{name}/", names, contents)
            else:
                yield prefix + name, contents.get(inode, b"")

    def _flush(self, inode: int) -> bool:
        flushed = False
        for number, holders in list(self._waiting.items()):
            flushed |= inode in holders
            holders.discard(inode)
            if not holders:
                del self._waiting[number]
        return flushed

    def _understand(self, operation: Operation) -> Change | None:
        folder, name = self._place(operation.path)
        present = self._names[folder].get(name)
        match operation.kind:
            case "make file" if present is not None:
                return None
            case "make file" | "make folder":
                self._count += 1
                if operation.kind == "make folder":
                    self._names[self._count] = {}
                return Change({(folder, name): self._count})
            case "remove":
                return Change({(folder, name): None})
            case "rename" | "exchange":
                target = self._place(operation.target)
                other = self._names[target[0]].get(target[1])
                other = other if operation.kind == "exchange" else None
                return Change({(folder, name): other, target: present})
            case "write":
                return Change(
                    file=present, offset=operation.offset, data=operation.data
                )
            case "copy":
                source = self._contents.get(self._find(operation.target), b"")
                end = operation.offset + operation.length
                data = source[operation.offset : end]
                return Change(file=present, offset=operation.offset, data=data)
            case "cut":
                return Change(file=present, offset=operation.offset)
        raise NotImplementedError(operation.kind)

    def _place(self, path: str) -> tuple[int, str]:
        """Give the folder (its inode) and the name that a path ends in."""
        parent, _, name = path.rpartition("/")
        return self._find(parent), name

    def _find(self, path: str) -> int:
        inode = ROOT
        for name in path.split("/") if path else []:
            inode = self._names[inode][name]
        return inode

    def _set(self, names: dict[str, int], name: str, inode: int | None) -> None:
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _write(contents: dict[int, bytes], file: int, change: Change) -> None:
    content = contents.get(file, b"")
    before = content[: change.offset].ljust(change.offset, b"\0")
    if change.data is None:
        contents[file] = before
    else:
        after = content[change.offset + len(change.data) :]
        contents[file] = before + change.data + after


def states(disk: Disk, limit: int, rng: random.Random) -> Iterator[Tree]:
    """Give what a disk may hold if the power fails now.

    All of it if that is at most `limit` states. Else those in which nothing, all, all
    but one or only one of the pending changes was lost, up to `limit` of each of the
    last two, and `limit` by chance.
    """
    pending = disk.pending
    variants = [disk.changes[number].variants() for number in pending]
    for choice in _choices(variants, limit, rng):
        lost = dict(zip(pending, choice, strict=True))
        yield disk.tree(lost)


def _choices(
    variants: Sequence[Sequence[Change | None]], limit: int, rng: random.Random
) -> Iterator[Sequence[Change | None]]:
    if prod(len(variant) for variant in variants) <= limit:
        yield from product(*variants)
        return
    lost = [variant[0] for variant in variants]
    whole = [variant[-1] for variant in variants]
    yield lost
    yield whole
    count = len(variants)
    for index in rng.sample(range(count), min(count, limit)):
        yield [*lost[:index], whole[index], *lost[index + 1 :]]
        for variant in variants[index][:-1]:
            yield [*whole[:index], variant, *whole[index + 1 :]]
    for _ in range(limit):
        # From nearly nothing to nearly all: even chances would seldom keep a path.
        kept = rng.random()
        yield [
            variant[-1] if rng.random() < kept else rng.choice(variant)
            for variant in variants
        ]
