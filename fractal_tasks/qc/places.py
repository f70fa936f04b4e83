"""Where the ROIs of a well truly are, as probabilities: what all decisions follow from.

Each part says: with this probability the true displacement is normally distributed
about this place. What is left is the probability that it may be anywhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from fractal_tasks.model import WellMovement
from fractal_tasks.qc.candidates import CandidateArrays
from fractal_tasks.qc.groups import APART, Group
from fractal_tasks.qc.hypotheses import PLATE_KNOWS, Hypothesis, stillness
from fractal_tasks.qc.well import WellModel
from fractal_tasks.transforms import FloatArray


@dataclass(frozen=True)
class Part:
    """One part of the distribution of all ROIs."""

    rank: int | None
    """Of the candidate that is right; None if none is."""

    weights: FloatArray
    """Its probability for each ROI, shape ``(n,)``."""

    centres_um: FloatArray
    """Shape ``(n, 2)``, order y, x."""

    variances_um2: FloatArray
    """Along y or x, shape ``(n,)``."""


@dataclass(frozen=True)
class Places:
    """The distribution of the true displacements."""

    weights: FloatArray
    """Of the parts, shape ``(n, m)``."""

    centres_um: FloatArray
    """Shape ``(n, m, 2)``."""

    variances_um2: FloatArray
    """Shape ``(n, m)``."""

    posteriors: FloatArray
    """That each candidate is the right peak, shape ``(n, k)``."""

    @property
    def lost(self) -> FloatArray:
        """The probability that a ROI may be anywhere, shape ``(n,)``."""
        lost: FloatArray = np.clip(1 - self.weights.sum(axis=1), 0, 1)
        return lost


def find_places(
    candidates: CandidateArrays,
    well: WellModel,
    plate: WellMovement | None,
    limits: FloatArray,
) -> Places:
    """Join all that may have happened.

    Args:
        candidates: All ROIs of one acquisition of a well.
        well: How it may have moved.
        plate: What the other wells say.
        limits: How probable each candidate is at most, shape ``(n, k)``.
    """
    parts = [
        part
        for share, hypothesis in zip(well.shares, well.hypotheses, strict=True)
        for part in _parts_of(candidates, hypothesis, plate, share)
    ]
    posteriors = np.zeros_like(candidates.probabilities)
    for part in parts:
        if part.rank is not None:
            posteriors[:, part.rank] += part.weights
    kept = np.minimum(1.0, limits / np.maximum(posteriors, 1e-300))
    # What an objection takes from a candidate is probable as far as none is right.
    taken = (posteriors * (1 - kept)).sum(axis=1)
    none = sum(
        (part.weights for part in parts if part.rank is None), np.zeros(len(taken))
    )
    more = 1 + taken / np.maximum(1 - posteriors.sum(axis=1), 1e-12)
    more = np.minimum(more, (none + taken) / np.maximum(none, 1e-300))
    return Places(
        np.stack(
            [
                part.weights * (more if part.rank is None else kept[:, part.rank])
                for part in parts
            ],
            axis=1,
        ),
        np.stack([part.centres_um for part in parts], axis=1),
        np.stack([part.variances_um2 for part in parts], axis=1),
        posteriors * kept,
    )


def _parts_of(
    candidates: CandidateArrays,
    hypothesis: Hypothesis,
    plate: WellMovement | None,
    share: float,
) -> Iterator[Part]:
    """Give the parts of one hypothesis, for all candidates right or none."""
    n, k = candidates.probabilities.shape
    gains = np.zeros((0, n, k))
    if hypothesis.groups:
        gains = (1 - APART) * hypothesis.gains(candidates)
    # By itself each candidate counts as it is; with a group it is seldom apart from it.
    alone = APART if hypothesis.is_common else 1.0
    total = candidates.none_right + (
        candidates.probabilities * (alone + gains.sum(axis=0))
    ).sum(axis=1)
    weights = share * candidates.probabilities / total[:, None]
    none = share * candidates.none_right / total
    for rank in range(k):
        moves_um = candidates.displacements_um[:, rank, 1:]
        variances = candidates.errors_um[:, rank] ** 2
        yield Part(rank, alone * weights[:, rank], moves_um, variances)
    local = hypothesis.local_shares(candidates).T if hypothesis.groups else ()
    for group, part, gain in zip(hypothesis.groups, local, gains, strict=True):
        at_um = group.model.predict(candidates.centres_um)[:, 1:]
        spread = group.scatter_um**2 + group.variances_um2(candidates.centres_um)
        known = _known(candidates, hypothesis, group)
        yield Part(None, (1 - APART) * known * part * none, at_um, spread)
        for rank in range(k):
            # Both know something: where the group is, and where the peak is.
            own = candidates.errors_um[:, rank] ** 2
            trust = (spread / (spread + own))[:, None]
            moves_um = candidates.displacements_um[:, rank, 1:]
            centres_um = trust * moves_um + (1 - trust) * at_um
            variances = spread * own / (spread + own)
            yield Part(rank, gain[:, rank] * weights[:, rank], centres_um, variances)
    if plate is not None and hypothesis.is_common and not hypothesis.groups:
        at_um = np.tile(plate.translation_um[1:], (n, 1))
        yield Part(None, PLATE_KNOWS * none, at_um, np.full(n, plate.scatter_um**2))


def _known(candidates: CandidateArrays, hypothesis: Hypothesis, group: Group) -> float:
    """Say how much a group tells of fields that show nothing; the camera does not."""
    return 1 - stillness(candidates, group) if hypothesis.camera else 1.0


def find_loss(
    places: Places, options_um: FloatArray, most_um: FloatArray
) -> FloatArray:
    """Give the expected distance from the truth, shape ``(n, o)``.

    Args:
        places: Where ROIs are.
        options_um: Where they may be put (y, x), shape ``(n, o, 2)``.
        most_um: A larger distance costs no more: a lost field is lost. ``(n,)``
    """
    most = most_um[:, None]

    def expected(squares: FloatArray) -> FloatArray:
        # A distance r of this mean square is taken to follow Rayleigh's distribution:
        # the mean of min(r, c) is the integral up to c of P(r > t) = exp(-t^2 / 2 s^2).
        sigma = np.sqrt(np.maximum(squares, 1e-12) / 2)
        means: FloatArray = (
            np.sqrt(np.pi / 2) * sigma * scipy.special.erf(most / (np.sqrt(2) * sigma))
        )
        return means

    return _average(places, options_um, expected) + places.lost[:, None] * most


def find_square(
    places: Places, options_um: FloatArray, most_um: FloatArray
) -> FloatArray:
    """Give the mean square distance from the truth, as `find_loss` does."""
    most = most_um[:, None] ** 2

    def expected(squares: FloatArray) -> FloatArray:
        squares = np.maximum(squares, 1e-12)
        means: FloatArray = -squares * np.expm1(-most / squares)
        return means

    return _average(places, options_um, expected) + places.lost[:, None] * most


def _average(
    places: Places,
    options_um: FloatArray,
    expected: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """Average over all parts what is expected from mean square distances."""
    losses = np.empty(options_um.shape[:2])
    for index in range(options_um.shape[1]):
        apart_um = places.centres_um - options_um[:, index, None]
        squares = (apart_um**2).sum(axis=2) + 2 * places.variances_um2
        losses[:, index] = (places.weights * expected(squares)).sum(axis=1)
    return losses


def find_stand_ins(
    candidates: CandidateArrays, well: WellModel, count: int
) -> Sequence[FloatArray]:
    """Give where the most probable groups are, at most `count`; ``(n, 3)`` each."""
    groups = [
        (share * part * _known(candidates, hypothesis, group), group)
        for share, hypothesis in zip(well.shares, well.hypotheses, strict=True)
        for part, group in zip(hypothesis.shares, hypothesis.groups, strict=True)
    ]
    groups.sort(key=lambda one: -one[0])
    return [group.model.predict(candidates.centres_um) for _, group in groups[:count]]
