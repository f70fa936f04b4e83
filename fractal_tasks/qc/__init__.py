"""Is this estimate believable? Pure code, in four steps.

    well          the model: how probable each candidate is in view of all ROIs
    vetoes        what the model cannot see, and what speaks against a candidate
    decision      which candidate is used, from these numbers
    wording       the decision in words

`judgement` runs them for one acquisition of a well; `plate` says what the other wells
of its plate know about it.
"""

from fractal_tasks.qc.judgement import Judgement, judge_measurements
from fractal_tasks.qc.plate import (
    LEAST_FOR_PLATE,
    Place,
    centre_of_well,
    place_from_names,
    predict_movement,
)
from fractal_tasks.qc.vetoes import VETOES, Objection, Veto

__all__ = [
    "LEAST_FOR_PLATE",
    "VETOES",
    "Judgement",
    "Objection",
    "Place",
    "Veto",
    "centre_of_well",
    "judge_measurements",
    "place_from_names",
    "predict_movement",
]
