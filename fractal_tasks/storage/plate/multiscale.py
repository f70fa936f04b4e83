"""The metadata of a pyramid as they are stored: units, scales and translations.

The only place that reads or writes units and translations. ngio takes a missing unit
for micrometres, and knows nothing of what translations are for.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import LengthUnit
from fractal_tasks.transforms import Vector
from fractal_tasks.transforms.boxes import AXES

_UM_BY_UNIT = {
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "inch": 25_400.0,
}

_OTHER_NAMES = {
    "pm": "picometer",
    "nm": "nanometer",
    "um": "micrometer",
    "\N{MICRO SIGN}m": "micrometer",
    "\N{GREEK SMALL LETTER MU}m": "micrometer",
    "micron": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
}
"""What some programs write instead."""

_NO_SHIFT_UM = 1e-6
"""A picometre: translations that differ by less are the same, stored with rounding."""


@dataclass(frozen=True)
class Multiscale:
    """What the metadata of an image or label say of its levels."""

    document: Mapping[str, Any]
    """The multiscale as it is stored."""

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> "Multiscale":
        """Take it out of the attributes of a group, of any version that ngio opens."""
        return cls(attributes.get("ome", attributes)["multiscales"][0])

    @property
    def axes(self) -> list[str]:
        """Names of the axes, in the order of the arrays."""
        return [str(axis["name"]) for axis in self.document["axes"]]

    @property
    def has_unit(self) -> bool:
        """Whether any axis of space has a unit."""
        return bool(self._units)

    @property
    def unit(self) -> str | None:
        """The unit of the axes of space as it is stored; several with commas."""
        return ", ".join(dict.fromkeys(self._units.values())) or None

    @property
    def _units(self) -> dict[str, str]:
        axes = self.document["axes"]
        named = {str(axis["name"]): axis.get("unit") for axis in axes}
        return {name: str(named[name]) for name in AXES if named.get(name)}

    def units_um(self, missing: Vector, where: str) -> Vector:
        """Give how many micrometres one unit of z, y, x is.

        Args:
            missing: That of the axes there are, if none has a unit; an axis without
                has that of the others.
            where: Names the image in errors.

        Raises:
            InvalidDataError: A unit is not one of length.
        """
        found = {name: _um_of(unit, where) for name, unit in self._units.items()}
        if not found:
            found = dict(zip(AXES, missing, strict=True))
        # y and x have a unit more often than z.
        usual = next(found[name] for name in ("y", "x", "z") if name in found)
        # An axis that is not there is one pixel of 1 um.
        z, y, x = (
            found.get(name, usual) if name in self.axes else 1.0 for name in AXES
        )
        return z, y, x

    def levels(self) -> dict[str, tuple[list[float], list[float]]]:
        """Give scale and translation of each level, in the order of the axes."""
        scale, offset = self._combine(self.document)
        found = {}
        for level in self.document["datasets"]:
            own_scale, own_offset = self._combine(level)
            found[str(level["path"])] = (
                np.multiply(scale, own_scale).tolist(),
                # That of the whole pyramid comes after that of the level.
                np.add(np.multiply(scale, own_offset), offset).tolist(),
            )
        return found

    def _combine(self, holder: Mapping[str, Any]) -> tuple[list[float], list[float]]:
        count = len(self.axes)
        scale, offset = [1.0] * count, [0.0] * count
        for step in holder.get("coordinateTransformations") or ():
            if step["type"] == "scale":
                scale = np.multiply(scale, step["scale"]).tolist()
                offset = np.multiply(offset, step["scale"]).tolist()
            elif step["type"] == "translation":
                offset = np.add(offset, step["translation"]).tolist()
        return scale, offset

    def in_space(self, values: Sequence[float], default: float) -> Vector:
        """Take z, y, x out of values in the order of the axes."""
        by_axis = dict(zip(self.axes, values, strict=True))
        z, y, x = (float(by_axis.get(axis, default)) for axis in AXES)
        return z, y, x


def with_origins(
    attributes: Mapping[str, Any],
    origin_of: Callable[[Vector], Vector],
    unit_um: Vector,
    larger: Vector = (1.0, 1.0, 1.0),
) -> dict[str, Any]:
    """Give the attributes of an image or label with pixels that lie elsewhere.

    Args:
        attributes: Of its group. They are not changed.
        origin_of: Gives the translation in um of a level by its pixel size in um.
        unit_um: How many micrometres one unit is (z, y, x).
        larger: How many times as large the pixels become (z, y, x).

    Returns:
        The same if all levels lie there already. Else, each level has one scale and
        one translation, and the pyramid as a whole has none.
    """
    changed = copy.deepcopy(dict(attributes))
    multiscale = Multiscale.of(changed)
    units = dict(zip(AXES, unit_um, strict=True))
    moved, is_changed = {}, larger != (1.0, 1.0, 1.0)
    grown = [dict(zip(AXES, larger, strict=True)).get(a, 1.0) for a in multiscale.axes]
    for path, (old_scale, offset) in multiscale.levels().items():
        scale = np.multiply(old_scale, grown).tolist()
        size_um = np.multiply(multiscale.in_space(scale, 1.0), unit_um).tolist()
        z, y, x = size_um
        wanted_um = dict(zip(AXES, origin_of((z, y, x)), strict=True))
        origin = list(offset)
        for index, axis in enumerate(multiscale.axes):
            if axis in units:
                off_um = wanted_um[axis] - offset[index] * units[axis]
                if abs(off_um) > _NO_SHIFT_UM:
                    origin[index] = wanted_um[axis] / units[axis]
                    is_changed = True
        moved[path] = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": origin},
        ]
    if is_changed:
        document: Any = multiscale.document
        document.pop("coordinateTransformations", None)
        for level in document["datasets"]:
            level["coordinateTransformations"] = moved[str(level["path"])]
    return changed


def with_unit(attributes: Mapping[str, Any], unit: LengthUnit) -> dict[str, Any]:
    """Give the attributes of an image or label whose axes of space have a unit.

    Args:
        attributes: Of its group. They are not changed.
        unit: That of the axes, if none of them has one.
    """
    changed = copy.deepcopy(dict(attributes))
    multiscale = Multiscale.of(changed)
    if not multiscale.has_unit:
        for axis in multiscale.document["axes"]:
            if axis["name"] in AXES:
                axis["unit"] = unit
    return changed


def as_um(unit: LengthUnit) -> Vector:
    """Give how many micrometres a unit is along z, y, x."""
    return (_UM_BY_UNIT[unit],) * 3


def _um_of(unit: str, where: str) -> float:
    name = unit.replace("metre", "meter")
    name = _OTHER_NAMES.get(name, name.lower())
    factor = _UM_BY_UNIT.get(name)
    if factor is None:
        raise InvalidDataError(
            f"{where}: its axes have the unit {unit!r}; needed is a unit of length, "
            f"one of {', '.join(_UM_BY_UNIT)}. Correct the unit in the metadata."
        )
    return factor
