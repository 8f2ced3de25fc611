"""What every body in a vendor's shape has to be, beside its own form."""

import json
from typing import Any

from pydantic import BaseModel, model_validator

from overfetch.requests import SURROGATE


class Body(BaseModel):
    """Text all through, names of fields too: half a character, which JSON can spell, no model reads."""

    @model_validator(mode="before")
    @classmethod
    def _has_whole_characters(cls, given: Any) -> Any:
        if SURROGATE.search(json.dumps(given, ensure_ascii=False, default=str)):
            raise ValueError("there is half a character in it (a lone surrogate); is it UTF-8?")
        return given
