"""The errors a user can meet.

    FractalTasksError
    ├── InvalidInputError (ValueError)   an argument
    ├── InvalidDataError (ValueError)    what is on disk
    │   └── MissingStepError             an earlier task has not run
    └── PublishError                     writing or replacing failed; the old survives

Every message says where (ROI, acquisition, url), what was found against what is
needed, and what to do.
"""


class FractalTasksError(Exception):
    """Base of all errors raised on purpose by this package."""


class InvalidInputError(FractalTasksError, ValueError):
    """An argument is wrong."""


class InvalidDataError(FractalTasksError, ValueError):
    """Something on disk is not as the task needs it."""


class DisplacementsError(InvalidDataError):
    """Displacements that a transform needs are missing or damaged."""


class MissingStepError(InvalidDataError):
    """The task needs the result of another task that has not run."""


class PublishError(FractalTasksError):
    """Writing or replacing data failed; what was there before is untouched."""
