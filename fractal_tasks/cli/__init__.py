"""The command line `fractal-tasks`.

Exit codes: 0 all went well; 1 a task failed, or data are not as needed; 2 wrong usage,
found before anything was run; 130 and 143 it was stopped, by Ctrl-C or SIGTERM.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from pydantic import ValidationError

from fractal_tasks import __version__
from fractal_tasks.cli.wording import name_flags
from fractal_tasks.errors import FractalTasksError, InvalidInputError
from fractal_tasks.interrupts import Stopped, stopping_on_signals
from fractal_tasks.runner import describe_problem
from fractal_tasks.workflow.catalogue import list_task_commands

_HELP = """Register multiplexed OME-Zarr plates.

`register` runs the three registration tasks on a plate, a well or images; the tasks
can also be run one by one. Try it on a plate made by `demo-plate`.
"""


_NEEDED = defaultdict(
    str,
    {
        "calculate-registration": " --wavelength-id DAPI",
        "apply-registration-to-image": " --registered-roi-table "
        "FOV_ROI_table_registered",
    },
)
"""Flags without which a command does not run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the name of the program; left out, that of the process.

    Returns:
        The exit code.
    """
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with stopping_on_signals():
            result = build_app()(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _fail(_describe(error), 2)
    except InvalidInputError as error:
        return _fail(str(error), 2)
    except FractalTasksError as error:
        return _fail(str(error), 1)
    except Stopped as stop:
        text = f"stopped by {stop.signal_name}. Run the same command again to go on."
        return _fail(text, stop.code)
    return result if isinstance(result, int) else 0


def build_app() -> App:
    """Make the application; the module of a command is imported when it is called."""
    app = App(
        name="fractal-tasks",
        help=_HELP,
        help_prologue=_example("inspect plate.zarr"),
        help_format="markdown",
        version=__version__,
        result_action="return_value",
    )
    app.command(
        "fractal_tasks.cli.task_commands:register",
        help="Register a plate, wells or images: the three tasks in order.",
        help_prologue=_example("register plate.zarr --wavelength-id DAPI"),
        sort_key=0,
    )
    app.command(
        "fractal_tasks.cli.inspect_command:inspect",
        help="Say what is in a plate or in images, and how to register it.",
        help_prologue=_example("inspect plate.zarr"),
        sort_key=0,
    )
    app.command(
        "fractal_tasks.cli.report_command:report",
        help="Say on a page whether a plate is usable: maps, overlays, all ROIs.",
        help_prologue=_example("report plate.zarr"),
        sort_key=0,
    )
    app.command(
        "fractal_tasks.cli.show_command:show",
        help="Draw a well before and after registration: acquisition on reference.",
        help_prologue=_example("show plate.zarr/A/01 --roi FOV_1"),
        sort_key=0,
    )
    app.command(
        "fractal_tasks.cli.heal_command:heal",
        help="Clear what interrupted runs left of a plate or of images.",
        help_prologue=_example("heal plate.zarr --dry-run"),
        sort_key=0,
    )
    app.command(
        "fractal_tasks.cli.points_command:points",
        help="Map points or shapes from an acquisition to the reference, or back.",
        help_prologue=_example(
            "points plate.zarr/A/01/1 cells.csv --to reference --output mapped.csv"
        ),
        sort_key=0,
    )
    for command in list_task_commands():
        app.command(
            f"fractal_tasks.cli.task_commands:{command.function_name}",
            name=command.name,
            help=command.summary,
            help_prologue=_example(f"{command.name} plate.zarr{_NEEDED[command.name]}"),
            sort_key=1,
        )
    app.command(
        "fractal_tasks.cli.demo_command:demo",
        help="Register a synthetic plate and compare the result with the truth.",
        help_prologue=_example("demo demo-output"),
        sort_key=2,
    )
    app.command(
        "fractal_tasks.cli.other_commands:demo_plate",
        help="Write a synthetic plate with known truth.",
        help_prologue=_example("demo-plate demo.zarr --columns 2 --acquisitions 3"),
        sort_key=2,
    )
    app.command(
        "fractal_tasks.cli.other_commands:list_tasks",
        name="list",
        help="List the tasks.",
        help_prologue=_example("list --json"),
        sort_key=2,
    )
    app.command(
        _make_group(
            "transforms",
            "Show the transforms of an acquisition, or give them to other software.",
            module="transforms_command",
            sort_key=0,
            commands={
                "inspect plate.zarr/A/01/1": "Show the transform of each ROI.",
                "export plate.zarr/A/01/1 --format itk --output transforms": (
                    "Write transforms for ngff-zarr, ITK, napari and others."
                ),
                "import plate.zarr/A/01/1 turned.tfm": (
                    "Take transforms of other software instead of estimates."
                ),
                "compose first.tfm then.txt --format itk --output both.tfm": (
                    "Write one transform that does what several do."
                ),
                "invert turned.tfm --format matrix --output back.txt": (
                    "Write the transform that leads back."
                ),
            },
        )
    )
    app.command(
        _make_group(
            "manifest",
            "Write or check the manifest, by which a Fractal server knows the tasks.",
            module="other_commands",
            sort_key=3,
            commands={
                "check": "Check that the manifest is what the tasks' signatures give.",
                "write": "Write the manifest of a checkout.",
            },
        )
    )
    return app


def _make_group(
    group: str, summary: str, *, module: str, sort_key: int, commands: dict[str, str]
) -> App:
    """Make a command that has others, e.g. `manifest check`.

    Args:
        group: Its name.
        summary: What its help says.
        module: Where these others are, as `<name>_<group>`.
        sort_key: Where it stands among the commands.
        commands: What the help of each says, by an example of it without the group.
    """
    examples = [_example(f"{group} {words}") for words in commands]
    made = App(name=group, help=summary, help_prologue=examples[0], sort_key=sort_key)
    for (words, text), example in zip(commands.items(), examples, strict=True):
        name = words.split()[0]
        made.command(
            f"fractal_tasks.cli.{module}:{name}_{group}",
            name=name,
            help=text,
            help_prologue=example,
        )
    return made


def _example(words: str) -> str:
    return f"Example: `fractal-tasks {words}`"


def _fail(message: str, exit_code: int) -> int:
    print(f"Error: {name_flags(message)}", file=sys.stderr)
    return exit_code


def _describe(error: CycloptsError) -> str:
    """Say what is wrong with the arguments, without the words of the libraries."""
    cause = error.__cause__
    # cyclopts parses, pydantic checks. For `demo-plate p --levels 1` pydantic says
    #     1 validation error for function-after[_check_together(), PlateOptions]
    #     levels
    #       Input should be greater than or equal to 3 [type=greater_than_equal, ...]
    # and the user reads
    #     --levels '1': Input should be greater than or equal to 3
    # The name is the `loc` of the problem. A flag that is no field of a model has no
    # `loc`: its name is that of cyclopts' argument. Neither stands before what is wrong
    # with several flags together: "z_shift_um=2.0 needs planes > 1, got planes=1."
    if not isinstance(cause, ValidationError):
        return str(error)
    problems = []
    for problem in cause.errors():
        name = ""
        if problem["loc"]:
            path = ".".join(str(part).replace("_", "-") for part in problem["loc"])
            name = f"--{path} "
        elif error.argument is not None and error.argument.name.startswith("--"):
            name = f"{error.argument.name} "
        problems.append(describe_problem(problem, name))
    return "; ".join(problems)
