"""Texts that have to look like something."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class TextForm:
    """What a text has to look like: web forms know the pattern, people read words.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import TypeAdapter
        >>> Size = Annotated[str, TextForm("^(all|[0-9]+)$", "'all' or a number")]
        >>> TypeAdapter(Size).validate_python("12")
        '12'
    """

    pattern: str
    needed: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic check it."""
        return core_schema.no_info_after_validator_function(
            self._check, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Let web forms check it."""
        return {**handler(schema), "pattern": self.pattern}

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"needed is {self.needed}")
        return text
