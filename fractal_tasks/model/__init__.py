"""The nouns that the layers above share: one word for one thing.

Pure: no IO, and nothing of how something is measured, judged or stored.

    RowKey        a ROI, and the timepoint and channel it is about
    Candidate     a transform, its confidence and standard error
    Measurement   the candidates of a ROI, and where the ROI lies
    Verdict       the candidate that is used, its status and why
    Outcome       what became of an image, in one word
    Grid          the pixels of an image, and where they lie
    Canvas        the pixels that the registered images of a well get
    View          how an acquisition sees a ROI
    Placement     which pixels are kept, and where they go
    Pairing       which ROIs or images of two acquisitions show the same place
    WellMovement  how an acquisition of a well moved, as other wells say
"""

from fractal_tasks.model.candidate import Candidate
from fractal_tasks.model.canvas import Canvas
from fractal_tasks.model.grid import Grid
from fractal_tasks.model.measurement import Measurement
from fractal_tasks.model.outcome import (
    OUTCOME_ATTRIBUTE,
    Outcome,
    find_outcome,
    find_outcomes,
)
from fractal_tasks.model.pairing import Item, PairedBy, Pairing, pair_items
from fractal_tasks.model.placement import Placement, find_canvas, place_views
from fractal_tasks.model.planes import ALL_PLANES, Planes
from fractal_tasks.model.plate_evidence import PlateEvidence, WellMovement
from fractal_tasks.model.row_key import RowKey
from fractal_tasks.model.settings import (
    DEFAULT_LEVEL_PATH,
    DEFAULT_ROI_TABLE,
    NO_MASK,
    OTSU,
    OWN_GRID,
    USUAL_LENGTH_UNIT,
    ApplySettings,
    CalculateSettings,
    ConsensusSettings,
    Dimensions,
    Keep,
    LengthUnit,
    Normalize,
    OutputGrid,
    Rejected,
)
from fractal_tasks.model.verdict import DEFAULT_MIN_CONFIDENCE, Status, Verdict
from fractal_tasks.model.view import View

__all__ = [
    "ALL_PLANES",
    "DEFAULT_LEVEL_PATH",
    "DEFAULT_MIN_CONFIDENCE",
    "DEFAULT_ROI_TABLE",
    "NO_MASK",
    "OTSU",
    "OUTCOME_ATTRIBUTE",
    "OWN_GRID",
    "USUAL_LENGTH_UNIT",
    "ApplySettings",
    "CalculateSettings",
    "Candidate",
    "Canvas",
    "ConsensusSettings",
    "Dimensions",
    "Grid",
    "Item",
    "Keep",
    "LengthUnit",
    "Measurement",
    "Normalize",
    "Outcome",
    "OutputGrid",
    "PairedBy",
    "Pairing",
    "Placement",
    "Planes",
    "PlateEvidence",
    "Rejected",
    "RowKey",
    "Status",
    "Verdict",
    "View",
    "WellMovement",
    "find_canvas",
    "find_outcome",
    "find_outcomes",
    "pair_items",
    "place_views",
]
