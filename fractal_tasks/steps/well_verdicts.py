"""Verdicts on the rows of a well's acquisitions, from the estimates of each."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import (
    Candidate,
    ConsensusSettings,
    PlateEvidence,
    RowKey,
    Verdict,
    WellMovement,
)
from fractal_tasks.qc.judgement import Judgement, judge_measurements
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows
from fractal_tasks.transforms import Translation

logger = logging.getLogger(__name__)

_REFERENCE = Verdict(
    Candidate(Translation((0.0, 0.0, 0.0)), None, None),
    "reference",
    "the reference acquisition",
    None,
)

# So much of a ROI must have moved otherwise to be worth a line: a heap of debris does.
_PARTED = 0.1

Verdicts: TypeAlias = Mapping[RowKey, Verdict]


@dataclass(frozen=True)
class _Judged:
    """One acquisition of a well, with what was found about it."""

    rows: AcquisitionRows
    judgement: Judgement

    def where(self, key: RowKey) -> str:
        """Name a row in errors and in the log."""
        return self.rows.where(key)


def find_verdicts(
    well: WellRows, plate: PlateEvidence | None, settings: ConsensusSettings
) -> tuple[WellRows, list[Verdicts]]:
    """Judge the estimates of a well, and say what is used for each of its rows.

    Args:
        well: The rows that *calculate* wrote.
        plate: What the other wells of the plate say.
        settings: How they are judged, and what happens to what is not believed.

    Returns:
        The rows that are left, and the verdicts on them for each acquisition,
        reference first.

    Raises:
        MissingStepError: *Calculate* has not run.
        InvalidDataError: Estimates are not believed, and that must not be; or no ROI is
            left.
    """
    movements = _movements_for(plate, settings.input_roi_table)
    judged = [_judge(rows, movements, settings) for rows in well.others]
    if settings.rejected == "error":
        _refuse_rejected(well, judged)
    elif settings.rejected == "exclude":
        well = _without_rejected(well, judged)
    return well, _complete(well, judged)


def _judge(
    rows: AcquisitionRows,
    movements: Mapping[int, WellMovement],
    settings: ConsensusSettings,
) -> _Judged:
    judgement = judge_measurements(
        rows.read_measurements(),
        min_confidence=settings.min_confidence,
        movement=movements.get(rows.acquisition),
    )
    return _Judged(rows, judgement)


def _refuse_rejected(well: WellRows, judged: Iterable[_Judged]) -> None:
    found = [
        f"{one.where(key)}: {verdict.reason}"
        for one in judged
        for key, verdict in one.judgement.rejected.items()
    ]
    if found:
        raise InvalidDataError(
            f"Well {well.well_url}: found {len(found)} ROIs of which no estimate is "
            f"used and believed; needed is none, with rejected='error'. "
            f"{'; '.join(found)}. "
            "Look at these ROIs, choose rejected='impute' or 'exclude', or lower "
            "min_confidence if it is what they are below."
        )


def _without_rejected(well: WellRows, judged: Iterable[_Judged]) -> WellRows:
    """Leave each ROI that is rejected in one acquisition out of all."""
    excluded: set[RowKey] = set()
    for one in judged:
        excluded |= set(one.judgement.rejected)
        for key, verdict in one.judgement.rejected.items():
            logger.warning(
                "%s: excluded from all acquisitions, %s", one.where(key), verdict.reason
            )
    left = well.without(excluded)
    if not left.reference.keys:
        raise InvalidDataError(
            f"Well {well.well_url}: found no ROI that is believed in all "
            f"acquisitions; needed is at least one, with rejected='exclude'. Choose "
            "rejected='impute' or another wavelength_id, leave an acquisition or the "
            "well out, or lower min_confidence."
        )
    return left


def _movements_for(
    plate: PlateEvidence | None, input_roi_table: str
) -> Mapping[int, WellMovement]:
    if plate is None:
        return {}
    if plate.input_roi_table != input_roi_table:
        logger.warning(
            "Other wells are not asked: the init task read their table %r, not %r. "
            "Give both the same input_roi_table.",
            plate.input_roi_table,
            input_roi_table,
        )
        return {}
    return plate.movements


def _complete(well: WellRows, judged: Sequence[_Judged]) -> list[Verdicts]:
    """Give the verdict on every row that is left, reference first, and log it."""
    verdicts: list[Verdicts] = [dict.fromkeys(well.reference.keys, _REFERENCE)]
    for rows, one in zip(well.others, judged, strict=True):
        own = {key: one.judgement.verdicts[key] for key in rows.keys}
        verdicts.append(own)
        _log_acquisition(one, own)
    return verdicts


def _log_acquisition(one: _Judged, verdicts: Verdicts) -> None:
    counts = Counter(verdict.status for verdict in verdicts.values())
    for key, verdict in verdicts.items():
        if not verdict.is_believed:
            logger.warning("%s: %s, %s", one.where(key), verdict.status, verdict.reason)
    if len(verdicts) == 1:
        _warn_of_parts(one, verdicts)
    stage = one.judgement.stage
    logger.info(
        "Acquisition %d: %s; %d ROIs measured, %d chosen, %d imputed, %d unresolved, "
        "%d excluded%s",
        one.rows.acquisition,
        "no ROI is believed" if stage is None else stage.describe(),
        counts["measured"],
        counts["chosen"],
        counts["imputed"],
        counts["unresolved"],
        len(one.judgement.verdicts) - len(verdicts),
        f", {counts['imported']} imported" if counts["imported"] else "",
    )


def _warn_of_parts(one: _Judged, verdicts: Verdicts) -> None:
    """Say if the only ROI, such as a whole well, has parts that moved otherwise."""
    for key, verdict in verdicts.items():
        parted = verdict.candidate.evidence.get("dissent", 0.0)
        if verdict.is_believed and parted > _PARTED:
            logger.warning(
                "%s: %.0f %% of it moved otherwise, so one shift is %.2f um off; "
                "smaller ROIs, such as its fields, are exact",
                one.where(key),
                100 * parted,
                verdict.candidate.error_um or 0.0,
            )
