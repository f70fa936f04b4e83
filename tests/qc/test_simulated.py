"""Wells of which everything is known: candidates that are right as often as they say.

Each candidate is right with its own probability, and a wrong one lies anywhere. So what
the model believes can be counted.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.model import Candidate, Measurement, RowKey, Verdict
from tests.qc.wells import PIXEL_UM, fov, judge, moves

SIZE_UM = 512 * PIXEL_UM
Vector2 = npt.NDArray[np.float64]


@dataclass
class Count:
    """What happened to the fields of some wells."""

    fields: int = 0
    off: int = 0
    """By more than 2 px."""

    hidden: int = 0
    """Of these, those that nothing marks."""

    worse: int = 0
    """Right within 2 px by their own images, and made worse by more than 1 px."""

    believed: list[bool] = field(default_factory=list)
    """Of each field that is believed, whether that is right."""

    errors: list[float] = field(default_factory=list)
    """Of each, over its standard error."""

    def add(self, verdict: Verdict, own_px: float, used_px: float) -> None:
        error_px = (verdict.candidate.error_um or 0.0) / PIXEL_UM
        is_marked = not verdict.is_believed or error_px > 1
        self.fields += 1
        self.off += used_px > 2
        self.hidden += used_px > 2 and not is_marked
        self.worse += own_px < 2 and used_px > own_px + 1
        if verdict.is_believed:
            self.believed.append(used_px < 2)
            self.errors.append(used_px / error_px)


def field_of(
    rng: np.random.Generator, place_um: Vector2, truth_um: Vector2, confidence: float
) -> Measurement:
    """Give a field with four candidates."""
    error_um = 0.2 * PIXEL_UM * rng.uniform(0.5, 2)
    vectors_um = list(rng.uniform(-SIZE_UM, SIZE_UM, (4, 2)))
    probabilities = [confidence, *[(1 - confidence) / 4] * 3]
    right = rng.choice(5, p=[*probabilities, 1 - sum(probabilities)])
    if right < 4:
        vectors_um[right] = truth_um + rng.normal(0, error_um, 2)
    return Measurement(
        tuple(
            Candidate(moves((0.0, *vector_um)), own, error_um)
            for vector_um, own in zip(vectors_um, probabilities, strict=True)
        ),
        (0.5, float(place_um[0]), float(place_um[1])),
        (1.0, SIZE_UM, SIZE_UM),
        PIXEL_UM,
    )


def simulate(
    seed: int,
    fields: int,
    jitter_px: float,
    *,
    wells: int,
    confidence: float | None = None,
    parted_um: float = 0.0,
) -> Count:
    """Judge some wells.

    Args:
        seed: Of everything random.
        fields: In a well.
        jitter_px: Of the stage, along y and x.
        wells: To be judged.
        confidence: Of the best candidates; None for any, 0.8 on average.
        parted_um: How far the second half of the fields moved from the first.
    """
    rng = np.random.default_rng(seed)
    columns = int(np.ceil(np.sqrt(fields)))
    count = Count()
    for _ in range(wells):
        shift_um = rng.uniform(-30, 30, 2)
        well: dict[RowKey, Measurement] = {}
        truth_um: dict[RowKey, Vector2] = {}
        for index in range(fields):
            own = rng.beta(4, 1) if confidence is None else confidence
            moved_um = shift_um + rng.normal(0, jitter_px * PIXEL_UM, 2)
            if index >= fields / 2:
                moved_um[0] += parted_um
            place_um = (np.array(divmod(index, columns)) + 0.5) * SIZE_UM
            truth_um[fov(index)] = moved_um
            well[fov(index)] = field_of(rng, place_um, moved_um, own)
        for key, verdict in judge(well, min_confidence=0.9).verdicts.items():
            own_px, used_px = (
                np.abs(
                    np.subtract(
                        one.transform.displacement_at((0, 0, 0))[1:], truth_um[key]
                    )
                ).max()
                / PIXEL_UM
                for one in (well[key].best, verdict.candidate)
            )
            count.add(verdict, own_px, used_px)
    return count


@pytest.mark.parametrize(
    "jitter_px",
    [
        0.0,
        pytest.param(1.0, marks=pytest.mark.e2e),
        pytest.param(5.0, marks=pytest.mark.e2e),
        15.0,
    ],
)
@pytest.mark.parametrize("fields", [1, 2, 4, 9, 36])
@pytest.mark.sampled(3)
def test_belief_is_right_and_what_is_not_believed_is_marked(
    fields: int, jitter_px: float
) -> None:
    """About 120 fields, of which a fifth has a wrong best candidate.

    Believed is what has 0.9 at least, so at most a tenth of it is wrong; of some 40
    alone, within three standard deviations (0.047 each), a quarter. Unmarked is what is
    believed to 0.98: the fields here are 0.999 on average, so one of 120 may be wrong.
    """
    count = simulate(fields, fields, jitter_px, wells=max(4, 120 // fields))
    wrong = 1 - np.mean(count.believed)
    assert wrong <= (0.25 if fields == 1 else 0.02)
    assert count.hidden <= 1
    # A candidate of a hundredth loses to "no movement", and may be right.
    assert count.worse <= 2
    if fields >= 4 and jitter_px <= 5:
        # Only wrong fields are left, where no candidate is right: a twentieth.
        assert count.hidden == 0
        assert count.off <= 0.07 * count.fields
        # Of a normal distribution in the plane, the larger of y and x is 1.05 standard
        # deviations in the median.
        assert 0.7 < np.median(count.errors) < 1.5


@pytest.mark.parametrize("confidence", [0.4, 0.6])
@pytest.mark.sampled(2)
def test_weak_fields_are_certain_together(confidence: float) -> None:
    """Candidates are right in 0.25 (1 - c) of the ways each; the rest has none."""
    count = simulate(1, 4, 1.0, wells=30, confidence=confidence)
    assert np.mean(count.believed) > 0.99
    assert count.hidden == count.worse == 0
    # 0.15 or 0.1 have no right candidate; one alone in its well is not enough.
    assert len(count.believed) > 0.7 * count.fields


def test_halves_that_moved_apart_are_each_believed() -> None:
    count = simulate(2, 16, 1.0, wells=8, parted_um=50.0)
    assert np.mean(count.believed) == 1
    assert count.hidden == count.worse == 0
    # A stand-in at the border of the halves may be that of the other one.
    assert count.off <= 0.05 * count.fields
