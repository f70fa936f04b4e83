"""What `register` does before its first step: check, ask, or say what it would do."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from fractal_tasks.cli.dry_run import (
    describe_additions,
    describe_plan,
    plan_to_json,
)
from fractal_tasks.cli.output import Reporter
from fractal_tasks.workflow.output_plan import move_plan
from fractal_tasks.workflow.plan import Plan
from fractal_tasks.workflow.run import CHECKS, Workflow


def check(reporter: Reporter, workflow: Workflow) -> None:
    """Find out before the first step which images cannot be registered, and say so.

    Raises:
        InvalidInputError: The arguments fit no well.
    """
    # What is to be warned of, the tasks say.
    with (
        reporter.log(logging.ERROR),
        reporter.steps() as steps,
        steps.step(CHECKS) as step,
    ):
        result = workflow.check(step.show)
    if result is not None:
        reporter.report_failures(result)


def confirm(reporter: Reporter, plan: Plan) -> bool:
    """Ask whether images may be replaced, if somebody is there who could answer.

    Returns:
        Whether to go on; also if nothing is replaced, or nobody is asked.
    """
    replaced = [one for one in plan.images if one.replaces_input]
    if not replaced or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    plates = dict.fromkeys(one.url.plate_url for one in replaced)
    reporter.say(
        f"{len(replaced)} images of {', '.join(plates)} will be replaced by their "
        "registered versions, cropped to what all acquisitions see, and cannot be "
        "brought back. --no-overwrite-input keeps them; --dry-run names them; --yes "
        "asks nothing."
    )
    return reporter.ask("Replace them?")


def show_dry_run(reporter: Reporter, workflow: Workflow, output: str | None) -> int:
    """Say what would be done, in the output folder if there is one; give the exit code.

    The plan is that of the input: nothing is made in the folder to look at.
    """
    with reporter.log():
        plan = workflow.make_plan(writes_here=output is None)
    if output is not None:
        plan = move_plan(plan, output)
    plan.require_arguments()
    reporter.show_errors(plan.failures)
    added = additions(plan, workflow.settings) if output is None else ""
    texts = (describe_plan(plan.images), added)
    text = "\n".join(text for text in texts if text)
    reporter.show(text, plan_to_json(plan.images))
    return int(bool(plan.failures) or workflow.has_failed)


def additions(plan: Plan, settings: Mapping[str, Any]) -> str:
    """Say what is added to images that are kept; '' if there are none."""
    return describe_additions(
        plan.images, settings["input_roi_table"], settings["registered_roi_table"]
    )
