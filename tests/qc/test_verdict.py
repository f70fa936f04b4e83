from fractal_tasks.qc.verdict import Measurement, judge_measurements


def measured(y_um: float, confidence: float | None = 0.9) -> Measurement:
    return Measurement((0.0, y_um, 0.0), confidence)


def test_unbelieved_roi_gets_the_median_of_the_others() -> None:
    verdicts = judge_measurements(
        {
            "FOV_1": measured(1.0),
            "FOV_2": measured(2.0),
            "FOV_3": measured(50.0, confidence=0.1),
            "FOV_4": measured(3.0),
        },
        min_confidence=0.5,
    )
    assert verdicts is not None
    assert verdicts["FOV_3"].translation_um == (0.0, 2.0, 0.0)
    assert verdicts["FOV_3"].status == "imputed"
    assert "confidence 0.10" in verdicts["FOV_3"].reason
    assert verdicts["FOV_4"].translation_um == (0.0, 3.0, 0.0)
    assert verdicts["FOV_4"].status == "measured"


def test_estimates_without_confidence_are_believed() -> None:
    verdicts = judge_measurements({"FOV_1": measured(1.0, None)}, min_confidence=0.5)
    assert verdicts is not None
    assert verdicts["FOV_1"].status == "measured"


def test_nothing_believable_gives_no_verdict() -> None:
    assert judge_measurements({"FOV_1": measured(1.0, 0.2)}, min_confidence=0.5) is None
