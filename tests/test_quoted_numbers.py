"""Numbers on the pages that explain methods and judgement are those of the code."""

from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"

JUDGING, METHODS = "judging", "methods/correlation"
CALCULATE = "tasks/calculate_registration"
CONSENSUS = "tasks/find_registration_consensus"

CONFIDENCE = "registration.evidence"
CAMERA = "registration.fixed_pattern"
SEARCH = "registration.coarse"
CORRELATION = "registration.correlation"
ROTATION = "registration.motion"
LIKELIHOOD = "registration.likelihood"
COHERENCE = "registration.coherence"
LEFTOVER = "registration.leftover"
REFINE = "registration.refine"
SPECTRA = "registration.spectra"

QUOTES = [
    (JUDGING, "e = {:g} + {:g} ln ratio", CONFIDENCE, "_INTERCEPT _PER_LOG_RATIO"),
    (JUDGING, "ratio + {:g} ln lead", CONFIDENCE, "_PER_LOG_LEAD"),
    (JUDGING, "limited to {:g} to {:g}; beyond", CONFIDENCE, "_WEAKEST _STRONGEST"),
    (JUDGING, "by more than {:g} standard deviations", CONFIDENCE, "_CLEAR_SDS"),
    (JUDGING, "more than {} pixels away", CONFIDENCE, "_PEAK_RADIUS_PX"),
    (JUDGING, "within {} pixels of the search", SEARCH, "_PEAK_RADIUS_PX"),
    (JUDGING, "strongest {:g} um", SEARCH, "_HEAP_UM"),
    (JUDGING, "({} \N{MIDDLE DOT} {} + ", LIKELIHOOD, "_FREEDOM _DISPERSION"),
    (JUDGING, "anything it is {}, and this", LIKELIHOOD, "_DISPERSION"),
    (JUDGING, "counts as {} of their numbers", LIKELIHOOD, "_FREEDOM"),
    (JUDGING, "limited to {:g} to {:g} pixels", LIKELIHOOD, "_LEAST_PX _MOST_PX"),
    (JUDGING, "{:g} planes for the", REFINE, "_INTERPOLATION"),
    (JUDGING, "and {:g} / (number of planes", REFINE, "_OTHER_PLANES"),
    (JUDGING, "confidence of {:g} or less", CORRELATION, "CONVINCING"),
    (JUDGING, "within {:g} um of a better", CORRELATION, "_APART_UM"),
    (JUDGING, "Of up to {} ROIs, binned", CAMERA, "_MAX_FIELDS"),
    (JUDGING, "binned to at most {0} x {0},", CAMERA, "_MAX_BINS"),
    (JUDGING, "needs at least {} ROIs", CAMERA, "_MIN_FIELDS"),
    (JUDGING, "by {:g} standard deviations, or", CAMERA, "_SURPRISING_SDS"),
    (
        METHODS,
        "+ |c| / s), *s* being {:g} times",
        "registration.brightness",
        "_CLEAR_TIMES",
    ),
    (METHODS, "limited to {:g} times", "registration.brightness", "_LIMIT_TIMES"),
    (JUDGING, "or {:g} of what is left", CAMERA, "_CERTAIN"),
    (JUDGING, "and {:g} standard errors)", CAMERA, "_SURPRISING_SDS"),
    (JUDGING, "correlation of {:g} in the mean", CAMERA, "_VISIBLE"),
    (JUDGING, "and of up to {} others", "steps.estimates", "_OTHERS"),
    (
        JUDGING,
        "peak without a shift, {:g} standard deviations",
        "registration.camera",
        "_CLEAR_SDS",
    ),
    (METHODS, "windows of {} pixels are then", LEFTOVER, "_WINDOW_PX"),
    (METHODS, "clear peak, {:g} standard deviations", LEFTOVER, "_CLEAR_SDS"),
    (METHODS, "Up to {0} x {0} windows", LEFTOVER, "_COUNT"),
    (CALCULATE, "a {0} of the size of the image", "model.pairing", "NEAR"),
    (CALCULATE, "at most a {0} of the ROI's size", "model.pairing", "NEAR"),
    (CONSENSUS, "with a probability of {:g}", "qc.candidates", "_UNKNOWN_CONFIDENCE"),
    (CONSENSUS, "standard error of {:g} pixels", "qc.candidates", "_UNKNOWN_ERROR_PX"),
    (CONSENSUS, "if they are below {:.0%}", "qc.groups", "MAX_LINEAR"),
    (CONSENSUS, "alone with a probability of {:g}", "qc.groups", "APART"),
    (CONSENSUS, "a median of {:g} um", "qc.hypotheses", "_MEDIAN_SCATTER_UM"),
    (CONSENSUS, "of the scatter, {:g} um", "qc.hypotheses", "_MEDIAN_SCATTER_UM"),
    (CONSENSUS, "spread in logarithms, {:g}", "qc.hypotheses", "_LOG_SD"),
    (CONSENSUS, "one that did not move, {:g}: so", "qc.decision", "_UNMOVED"),
    (CONSENSUS, "more exact than {:g} (", "qc.turns", "_LEAST_ERROR"),
    (CONSENSUS, "none is right, {:g};", "qc.candidates", "_MIN_NONE_RIGHT"),
    (CONSENSUS, "further group has {:.0%}", "qc.hypotheses", "_FURTHER_GROUP"),
    (CONSENSUS, "in common has {:.0%}", "qc.hypotheses", "ALONE"),
    (CONSENSUS, "within {:g} pixels of no movement", "qc.hypotheses", "STILL_PX"),
    (CONSENSUS, "{:g} times as probable before", "qc.well", "_STILL_ODDS"),
    (CONSENSUS, "beyond {:g} pixels a field", "qc.decision", "LOST_PX"),
    (CONSENSUS, "better by {:g} pixels", "qc.decision", "_WORTH_PX"),
    (CONSENSUS, "one well that was {:g} um off", "qc.plate", "_PRIOR_SCATTER_UM"),
    (CONSENSUS, "of at least {:g} (whatever", "qc.plate", "LEAST_FOR_PLATE"),
    (METHODS, "at least {} of these pixels apart", SEARCH, "_PEAK_RADIUS_PX"),
    (METHODS, "pixels of {:g} um", SEARCH, "_ENOUGH_UM"),
    (METHODS, "below {:g} um", SEARCH, "_TOO_FINE_UM"),
    (METHODS, "at least {0} x {0} remain", SEARCH, "_LEAST_PX"),
    (METHODS, "with a confidence above {:g}", CORRELATION, "CONVINCING"),
    (METHODS, "at least {} and at most", "registration.windows", "_SMALLEST_PX"),
    (METHODS, "low-pass of {:g} pixels", SPECTRA, "_SHARP_PX"),
    (METHODS, "measured in {} rings", SPECTRA, "RINGS"),
    (METHODS, "of at most {} times the usual", COHERENCE, "_RULING_TIMES"),
    (METHODS, "if its peak is {:g} times as high", ROTATION, "_GAIN"),
    (METHODS, "rotation, and {:g} times as high", ROTATION, "_CONTRAST"),
    (METHODS, "stands out {:g} times as clearly", CORRELATION, "_SHARPER"),
]
"""Page, sentence, module, and the constants that the sentence quotes."""

WORDS = {4: "four", 0.25: "quarter"}


@pytest.mark.parametrize(
    ("page", "sentence", "module", "names"),
    QUOTES,
    ids=[f"{page}: {sentence}" for page, sentence, *_ in QUOTES],
)
def test_sentence_quotes_the_constants(
    page: str, sentence: str, module: str, names: str
) -> None:
    constants = vars(import_module(f"fractal_tasks.{module}"))
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for typographic, plain in (
        ("\N{MINUS SIGN}", "-"),
        ("\N{MULTIPLICATION SIGN}", "x"),
    ):
        text = text.replace(typographic, plain)
    text = " ".join(text.replace("\N{MICRO SIGN}", "u").replace("\n> ", " ").split())
    quote = sentence.format(*(constants[name] for name in names.split()))
    spelled = sentence.format(
        *(WORDS.get(constants[name], constants[name]) for name in names.split())
    )
    assert quote.replace("%", " %") in text or spelled in text
