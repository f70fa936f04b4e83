"""Run tasks on this machine in the way a Fractal server does.

    Task         the functions of a task, and which of three kinds it is
    run_task     runs all units of a task and follows what they do to the image list
    ImageEntry   an image of that list, with its types and attributes
    open_engine  gives what runs the units: this process, others, or a cluster

A *parallel* task has one unit per image; the init function of a *compound* task lists
the units; a *non-parallel* task is one unit over all images. A unit that fails is
recorded and does not stop the others.
"""

from fractal_tasks.runner.capacity import default_workers
from fractal_tasks.runner.cluster import ClusterKind
from fractal_tasks.runner.engine import Engine, Place, open_engine
from fractal_tasks.runner.images import ImageEntry, as_entries
from fractal_tasks.runner.pool import set_log_level
from fractal_tasks.runner.results import TaskResult, UnitResult
from fractal_tasks.runner.run import run_task
from fractal_tasks.runner.task import (
    SERVER_ARGUMENTS,
    TASK_KINDS,
    Task,
    TaskFunction,
    TaskKind,
    convert_arguments,
    describe_names,
    describe_problem,
    select_arguments,
    user_parameters,
)

__all__ = [
    "SERVER_ARGUMENTS",
    "TASK_KINDS",
    "ClusterKind",
    "Engine",
    "ImageEntry",
    "Place",
    "Task",
    "TaskFunction",
    "TaskKind",
    "TaskResult",
    "UnitResult",
    "as_entries",
    "convert_arguments",
    "default_workers",
    "describe_names",
    "describe_problem",
    "open_engine",
    "run_task",
    "select_arguments",
    "set_log_level",
    "user_parameters",
]
