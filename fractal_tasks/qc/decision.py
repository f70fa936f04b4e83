"""What is used for each ROI: the option with the smallest expected loss.

Options are the candidates of the ROI, and stand-ins: where the well or the plate
expects it, and no movement. The loss is the distance from the truth; beyond 10 pixels a
field is lost, however far it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fractal_tasks.model import Status, WellMovement
from fractal_tasks.qc.candidates import CandidateArrays
from fractal_tasks.qc.places import (
    Places,
    find_loss,
    find_places,
    find_square,
    find_stand_ins,
)
from fractal_tasks.qc.well import WellModel
from fractal_tasks.transforms import FloatArray, Vector

LOST_PX = 10.0
"""A field that is so far off is lost."""

# Pixels are moved by whole pixels: what is not better by half of one is not better than
# what was measured.
_WORTH_PX = 0.5
# Where nothing at all is known, one in ten acquisitions did not move.
_UNMOVED = 0.1
_STAND_INS = 5
_CHUNK = 1000
# Probabilities that should be equal may differ by rounding.
_ROUNDING = 1e-9

Source: TypeAlias = Literal["candidate", "well", "plate", "nothing"]
"""Where the displacement comes from that is used."""


@dataclass(frozen=True)
class Decision:
    """What is used for a ROI, and the numbers that led to it."""

    source: Source

    rank: int
    """Of the candidate that is used, or else of the most probable one; 0 is the best by
    its own images."""

    displacement_um: Vector
    """Of the ROI's centre (z, y, x)."""

    posteriors: tuple[float, ...]
    """Probability of each candidate in view of everything."""

    error_um: float
    """Root mean square distance from the truth along y or x; of what is lost it is
    taken to be 10 px."""

    status: Status

    @property
    def confidence(self) -> float:
        """The probability of the candidate."""
        return self.posteriors[self.rank]


def decide(
    candidates: CandidateArrays,
    counts: Sequence[int],
    well: WellModel,
    plate: WellMovement | None,
    limits: FloatArray,
    min_confidence: float,
) -> list[Decision]:
    """Decide about all ROIs of one acquisition of a well.

    Args:
        candidates: Of all ROIs.
        counts: How many candidates each ROI has.
        well: How it may have moved.
        plate: What the other wells say.
        limits: How probable each candidate is at most, shape ``(n, k)``.
        min_confidence: A candidate is believed from this probability on. 0 takes the
            best candidate of each ROI, whatever speaks against it.
    """
    options = _find_options(candidates, well, plate)
    pieces = [
        _choose(
            find_places(candidates.take(piece), well, plate, limits[piece]),
            candidates.take(piece),
            options.places_um[piece],
            np.asarray(counts)[piece],
            trusting=min_confidence == 0,
        )
        for piece in np.array_split(np.arange(len(counts)), -(-len(counts) // _CHUNK))
    ]
    chosen, errors_um, posteriors = (
        np.concatenate(parts) for parts in zip(*pieces, strict=True)
    )
    is_known = plate is not None or is_enough(float(posteriors.max()), min_confidence)
    decisions = []
    for index, count in enumerate(counts):
        own = tuple(posteriors[index, :count].tolist())
        option = int(chosen[index])
        source = options.sources[option]
        rank = option if source == "candidate" else int(np.argmax(own))
        status = _find_status(source, rank, own[rank], min_confidence, is_known)
        z_um, y_um, x_um = options.places_um[index, option].tolist()
        decisions.append(
            Decision(
                source, rank, (z_um, y_um, x_um), own, float(errors_um[index]), status
            )
        )
    return decisions


def is_enough(posterior: float, min_confidence: float) -> bool:
    """Whether a candidate of this probability is believed."""
    return posterior >= min_confidence - _ROUNDING


@dataclass(frozen=True)
class _Options:
    """What can be used for each ROI."""

    sources: list[Source]
    """The candidates first, in their order."""

    places_um: FloatArray
    """Shape ``(n, o, 3)``."""


def _find_options(
    candidates: CandidateArrays, well: WellModel, plate: WellMovement | None
) -> _Options:
    n, k = candidates.probabilities.shape
    stand_ins = find_stand_ins(candidates, well, _STAND_INS)
    sources: list[Source] = ["candidate"] * k
    of_well: list[Source] = ["well"] * len(stand_ins)
    sources += of_well
    places_um = [*np.moveaxis(candidates.displacements_um, 1, 0), *stand_ins]
    if plate is not None:
        sources.append("plate")
        places_um.append(np.tile(plate.translation_um, (n, 1)))
    sources.append("nothing")
    places_um.append(np.zeros((n, 3)))
    return _Options(sources, np.stack(places_um, axis=1))


def _choose(
    places: Places,
    candidates: CandidateArrays,
    options_um: FloatArray,
    counts: FloatArray,
    *,
    trusting: bool,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the best option of each ROI, its error, and all posteriors."""
    most_um = LOST_PX * candidates.pixels_um
    losses = find_loss(places, options_um[..., 1:], most_um)
    ranks = np.arange(candidates.probabilities.shape[1])
    losses[:, ranks] += np.where(ranks >= counts[:, None], np.inf, 0.0)
    losses[:, len(ranks) :] += _WORTH_PX * candidates.pixels_um[:, None]
    # A shift leaves undone what is bent, if the candidate is right.
    undone_um = (places.posteriors * candidates.bends_um).sum(axis=1)
    losses[:, len(ranks) :] += np.minimum(undone_um, most_um)[:, None]
    as_good_px = (_WORTH_PX + _UNMOVED * LOST_PX) * places.lost
    losses[:, -1] -= as_good_px * candidates.pixels_um
    # The first of equal ones: a candidate before a stand-in.
    chosen = np.argmin(losses, axis=1)
    if trusting:
        chosen[:] = 0
    used_um = options_um[np.arange(len(chosen)), chosen][:, None, 1:]
    squares_um2 = find_square(places, used_um, most_um)[:, 0]
    return chosen, np.sqrt(squares_um2 / 2), places.posteriors


def _find_status(
    source: Source,
    rank: int,
    posterior: float,
    min_confidence: float,
    is_known: bool,
) -> Status:
    if source == "candidate" and is_enough(posterior, min_confidence):
        return "measured" if rank == 0 else "chosen"
    if source in ("well", "plate") and is_known:
        return "imputed"
    return "unresolved"
