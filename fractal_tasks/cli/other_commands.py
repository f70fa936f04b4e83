"""The commands that run no task: the list of tasks, the demo plate, the manifest."""

from typing import Annotated

from cyclopts import Parameter

from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.synthetic import PlateOptions
from fractal_tasks.workflow.catalogue import list_task_commands

_QUIETLY = OutputOptions()


def list_tasks(*, options: OutputOptions = _QUIETLY) -> int:
    """List the tasks: command, type and what it does."""
    commands = list_task_commands()
    width = max(len(command.name) for command in commands)
    of_types = max(len(command.type) for command in commands)
    lines = [f"{c.name:{width}}  {c.type:{of_types}}  {c.summary}" for c in commands]
    data = [
        {"command": c.name, "name": c.title, "type": c.type, "summary": c.summary}
        for c in commands
    ]
    Reporter(options).show("\n".join(lines), data)
    return 0


def demo_plate(
    path: str,
    *,
    plate: Annotated[PlateOptions, Parameter(name="*")] = PlateOptions(),  # noqa: B008 (frozen)
    options: OutputOptions = _QUIETLY,
) -> int:
    """Write a synthetic plate with known truth.

    Args:
        path: Folder of the new plate, e.g. `demo.zarr`.
        plate: Size, sample, stage and camera.
        options: How much is shown.
    """
    from fractal_tasks.synthetic import create_plate

    reporter = Reporter(options)
    with reporter.steps() as steps, steps.step("Drawing wells") as step:
        created = create_plate(path, plate, progress=step.show)
    reporter.show(f"Wrote {created}", {"plate": str(created)})
    return 0


def write_manifest(*, options: OutputOptions = _QUIETLY) -> int:
    """Generate the manifest of a checkout from task list, signatures and docstrings."""
    from fractal_tasks.dev import manifest

    reporter = Reporter(options)
    with reporter.log():
        path = manifest.write_manifest()
    reporter.show(f"Wrote {path}", {"manifest": str(path)})
    return 0


def check_manifest(*, options: OutputOptions = _QUIETLY) -> int:
    """Check that the manifest is what task list, signatures and docstrings give."""
    from fractal_tasks.dev import manifest

    reporter = Reporter(options)
    with reporter.log():
        path = manifest.check_manifest()
    reporter.show(f"{path} is up to date", {"manifest": str(path)})
    return 0
