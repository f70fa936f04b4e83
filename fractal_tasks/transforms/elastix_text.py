"""Parameter maps of elastix: dictionaries of texts."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

_VALUE = re.compile(r'(")([^"]*)"|([^\s"()]+)')
"""A text in quotes, or a number."""

_ENTRY = re.compile(
    r'\s*(?:\(\s*(\w+)((?:\s+(?:"[^"]*"|[^\s"()]+))*)\s*\))?\s*(?://.*)?'
)
"""A line: nothing, or a name with values; perhaps a remark."""

_SHOWN = 60
"""Characters of a line that errors show."""

ElastixMap: TypeAlias = Mapping[str, Sequence[str]]
"""Names of elastix, and for each the texts of its values."""


def parse_elastix_text(text: str, name: str) -> dict[str, tuple[str, ...]]:
    """Read a parameter file of elastix: one ``(Name value ...)`` in a line.

    Args:
        text: Content of the file; what follows ``//`` is a remark.
        name: What the file is called in errors.

    Raises:
        ValueError: A line is something else, or names something twice.

    Example:
        >>> parse_elastix_text('(Size 64 32) // y, x' + chr(10) + '(Metric "MI")', "a")
        {'Size': ('64', '32'), 'Metric': ('MI',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            raise ValueError(
                f"{name}, line {number}: found {line.strip()[:_SHOWN]!r}; needed is "
                "(Name value ...), texts in double quotes"
            )
        key, values = entry.groups()
        if key is None:
            continue
        if key in found:
            raise ValueError(f"{name}, line {number}: {key} is there twice")
        found[key] = tuple(
            text if is_quoted else number
            for is_quoted, text, number in _VALUE.findall(values)
        )
    return found


def read_text(parameters: ElastixMap, name: str, default: str | None = None) -> str:
    """Give the only value of a name.

    Raises:
        ValueError: There is none.
    """
    values = parameters.get(name, [] if default is None else [default])
    if not values:
        raise ValueError(f"it has no {name}")
    return values[0]


def check_composed(parameters: ElastixMap) -> None:
    """Refuse transforms that are added to those before.

    Raises:
        ValueError: It is one.
    """
    if read_text(parameters, "HowToCombineTransforms", "Compose") != "Compose":
        raise ValueError("its HowToCombineTransforms is not Compose")
