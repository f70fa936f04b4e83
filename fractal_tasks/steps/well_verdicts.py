"""Verdicts on the rows of a well's acquisitions, from the estimates of each."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import (
    Candidate,
    ConsensusSettings,
    Measurement,
    PlateEvidence,
    RowKey,
    Verdict,
    WellMovement,
)
from fractal_tasks.qc.judgement import (
    Judgement,
    impute_rejected,
    judge_measurements,
)
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows
from fractal_tasks.transforms import Translation

logger = logging.getLogger(__name__)

_REFERENCE = Verdict(
    Candidate(Translation((0.0, 0.0, 0.0)), None, None),
    "reference",
    "the reference acquisition",
    None,
)

Verdicts: TypeAlias = Mapping[RowKey, Verdict]


@dataclass(frozen=True)
class _Judged:
    """One acquisition of a well, with what was found about it."""

    rows: AcquisitionRows
    measurements: Mapping[RowKey, Measurement]
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
        InvalidDataError: Estimates are not believed and cannot be replaced, or must
            not be.
    """
    judged = [_judge(rows, settings) for rows in well.others]
    if settings.rejected == "error":
        _refuse_rejected(well, judged)
    elif settings.rejected == "exclude":
        well = _without_rejected(well, judged)
    movements = _movements_for(plate, settings.input_roi_table)
    return well, _complete(well, judged, movements, settings)


def _judge(rows: AcquisitionRows, settings: ConsensusSettings) -> _Judged:
    measurements = rows.read_measurements()
    judgement = judge_measurements(
        measurements,
        min_confidence=settings.min_confidence,
        outlier_tolerance_um=settings.outlier_tolerance_um,
    )
    return _Judged(rows, measurements, judgement)


def _refuse_rejected(well: WellRows, judged: Iterable[_Judged]) -> None:
    found = [
        f"{one.where(key)}: {verdict.reason}"
        for one in judged
        for key, verdict in one.judgement.rejected.items()
    ]
    if found:
        raise InvalidDataError(
            f"Well {well.well_url}: found {len(found)} estimates that are "
            f"not believed; needed is none, with rejected='error'. {'; '.join(found)}. "
            "Look at these ROIs, choose rejected='impute' or 'exclude', or lower "
            "min_confidence."
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


def _complete(
    well: WellRows,
    judged: Sequence[_Judged],
    movements: Mapping[int, WellMovement],
    settings: ConsensusSettings,
) -> list[Verdicts]:
    """Give a verdict on every row that is left, reference first; log what was found."""
    verdicts: list[Verdicts] = [dict.fromkeys(well.reference.keys, _REFERENCE)]
    for rows, one in zip(well.others, judged, strict=True):
        complete = impute_rejected(one.judgement, movements.get(rows.acquisition))
        if complete is None:
            everything = one.judgement.verdicts.values()
            best = max(verdict.confidence or 0.0 for verdict in everything)
            raise InvalidDataError(
                f"Acquisition {rows.acquisition} ({rows.image.zarr_url}): none of "
                f"its {len(everything)} ROIs could be registered with the "
                f"needed min_confidence={settings.min_confidence}; the highest "
                f"confidence is {best:.2f}, and no other well of the plate tells how "
                "this acquisition moved. Choose another wavelength_id, leave this "
                "acquisition or well out, or lower min_confidence."
            )
        own = {
            key: _with_evidence(complete[key], one.measurements[key])
            for key in rows.keys
        }
        verdicts.append(own)
        _log_acquisition(one, own)
    return verdicts


def _with_evidence(verdict: Verdict, measurement: Measurement) -> Verdict:
    """Let the candidate that is stored say how sure it is, and what was seen."""
    used = replace(verdict.candidate, confidence=verdict.confidence)
    if verdict.status == "imputed":
        # It stands in for an estimate; this is what speaks for and against that.
        best = measurement.best
        used = replace(used, error_um=best.error_um, evidence=best.evidence)
    return replace(verdict, candidate=used)


def _log_acquisition(one: _Judged, verdicts: Verdicts) -> None:
    counts = Counter(verdict.status for verdict in verdicts.values())
    for key, verdict in verdicts.items():
        if verdict.status == "imputed":
            logger.warning("%s: imputed, %s", one.where(key), verdict.reason)
    stage = one.judgement.stage
    logger.info(
        "Acquisition %d: %s; %d ROIs measured, %d chosen, %d imputed, %d excluded",
        one.rows.acquisition,
        "no ROI is believed" if stage is None else stage.describe(),
        counts["measured"],
        counts["chosen"],
        counts["imputed"],
        len(one.judgement.verdicts) - len(verdicts),
    )
