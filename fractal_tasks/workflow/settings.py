"""The arguments of the tasks that register images, together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fractal_tasks.model import CalculateSettings, ConsensusSettings
from fractal_tasks.records.table_names import format_table_name
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.steps.apply_order import ApplyOrder
from fractal_tasks.storage.urls import ImageUrl


@dataclass(frozen=True)
class Settings:
    """The arguments of the three tasks, as each of them takes them."""

    values: Mapping[str, Any]
    calculate: CalculateSettings
    consensus: ConsensusSettings

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Check the arguments that are right or wrong for all images.

        Args:
            values: Of all arguments of the tasks, by name.

        Raises:
            InvalidInputError: They are wrong.
        """
        name = format_table_name(
            values["registered_roi_table"], values["input_roi_table"]
        )
        values = {**values, "registered_roi_table": name}
        calculate, consensus = (
            {name: values[name] for name in model.model_fields}
            for model in (CalculateSettings, ConsensusSettings)
        )
        return cls(
            values, CalculateSettings.of(**calculate), ConsensusSettings(**consensus)
        )

    @staticmethod
    def cover(values: Mapping[str, Any]) -> bool:
        """Whether these are arguments of all three tasks."""
        needed = (
            *CalculateSettings.model_fields,
            *ConsensusSettings.model_fields,
            *_APPLY,
        )
        return values.keys() >= set(needed)

    @property
    def method(self) -> RegistrationMethod:
        """How images are compared."""
        method: RegistrationMethod = self.values["method"]
        return method

    def order_of(self, url: ImageUrl) -> ApplyOrder:
        """Give what *apply* would do with an image.

        Raises:
            InvalidInputError: An argument does not fit it.
        """
        return ApplyOrder.of(url, **{one: self.values[one] for one in _APPLY})


_APPLY = (
    "overwrite_input",
    "output_image_suffix",
    "registered_roi_table",
    "reference_acquisition",
    "register_labels",
    "discard_labels",
    "interpolation",
    "seen_label",
    "output_format",
    "rerun",
    "save_overlays",
)
"""The arguments of *apply* that say what it is to do."""
