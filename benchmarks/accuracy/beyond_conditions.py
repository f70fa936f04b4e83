"""The plates that turned, grew or bent, and the methods that register them.

Three wells of four fields of 512 x 512 pixels each, moved as in `plate_conditions.py`.
"""

from dataclasses import dataclass
from typing import Any

from plate_geometry import PlateKind

METHODS: dict[str, dict[str, str]] = {
    "correlation, similarity": {
        "type": "phase_cross_correlation",
        "motion": "similarity",
    },
    **{
        f"elastix, {transform}": {"type": "elastix", "transform": transform}
        for transform in ("similarity", "auto", "rigid", "bspline")
    },
}
"""Arguments of *calculate*, by the name in the report."""


@dataclass(frozen=True)
class Condition:
    """Plates, the methods that register them, and how exact these should be."""

    kind: PlateKind
    methods: tuple[str, ...]
    median_px: float = 0.1
    most_px: float = 0.3
    """Limit of the 95th percentile."""

    @property
    def only_moved(self) -> bool:
        """Whether a shift is all there is to find."""
        return self.kind.correctable


_TURNED: dict[str, Any] = {"rotation_deg": 1, "scale": 1.005}
_STACK: dict[str, Any] = {"planes": 12, "size_px": 256, "rotation_deg": 1}
_LINEAR = ("correlation, similarity", "elastix, similarity", "elastix, auto")
_AUTO, _BSPLINE = ("elastix, auto",), ("elastix, bspline",)

CONDITIONS = [
    Condition(PlateKind("turned, nuclei", **_TURNED), _LINEAR),
    Condition(PlateKind("turned, tissue", "tissue", **_TURNED), _LINEAR),
    *(
        Condition(PlateKind(f"bent, {scene}", scene, bend_px=8), _BSPLINE, 0.3, 1)
        for scene in ("tissue", "membranes", "nuclei")
    ),
    Condition(
        PlateKind("stack, turned", **_STACK), ("elastix, rigid", "elastix, auto")
    ),
    *(
        Condition(PlateKind(f"moved, {scene}", scene), _AUTO)
        for scene in ("nuclei", "tissue", "membranes")
    ),
    Condition(PlateKind("moved, debris 30", debris=30), _AUTO),
]
