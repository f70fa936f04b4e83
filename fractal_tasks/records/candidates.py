"""Candidates as JSON text, as a cell of a table holds them."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fractal_tasks.model import Candidate
from fractal_tasks.transforms import PixelSizes, ReadDisplacements


class _StoredCandidate(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    transform: dict[str, Any]
    confidence: Annotated[float, Field(ge=0, le=1)] | None
    error_um: Annotated[float, Field(ge=0)] | None
    evidence: dict[str, float] = {}
    error_z_um: Annotated[float, Field(ge=0)] | None = None


_STORED = TypeAdapter(list[_StoredCandidate])


def candidates_to_json(candidates: Iterable[Candidate], pixels: PixelSizes) -> str:
    """Write candidates, in their order; `pixels` are those of both images."""
    return json.dumps(
        [
            {
                "transform": pixels.to_fields(candidate.transform),
                "confidence": candidate.confidence,
                "error_um": candidate.error_um,
                "evidence": dict(candidate.evidence),
                "error_z_um": candidate.error_z_um,
            }
            for candidate in candidates
        ]
    )


def candidates_from_json(
    text: str, pixels: PixelSizes, displacements: ReadDisplacements | None = None
) -> list[Candidate]:
    """Read candidates from the text that `candidates_to_json` wrote.

    Args:
        text: The text.
        pixels: Those of both images.
        displacements: Reads those that transforms name.

    Raises:
        ValueError: The text does not hold any.
    """
    return [
        Candidate(
            pixels.from_fields(stored.transform, displacements),
            stored.confidence,
            stored.error_um,
            stored.evidence,
            stored.error_z_um,
        )
        for stored in _STORED.validate_json(text)
    ]
