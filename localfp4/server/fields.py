"""Kinds of fields that several requests have, and those that none can heed."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from localfp4.server.errors import bad_request

Item = TypeVar("Item")


class Fields(BaseModel):
    """An object in a body.

    Values are not converted from one kind to another; a field that is null is as if it were left
    out, and one that is not known is passed over.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict) and None in value.values():
            return {name: item for name, item in value.items() if item is not None}
        return value


class Refusing(Fields):
    """An object some of whose fields would change the answer, and cannot be heeded.

    Attributes:
        refused: Why, by their names; nothing, null, false, 0 and what is empty are let pass.
    """

    refused: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        """Refuse such fields.

        Raises:
            ApiError: One of them is set.
        """
        if isinstance(value, dict):
            for name, why in cls.refused.items():
                if value.get(name):
                    raise bad_request(f"{name} cannot be heeded: {why}", name)
        return value


Many = Annotated[list[Item], Field(fail_fast=True)]
"""Several of something. What comes after the first that is wrong is not looked at: a body has room
for millions, and pydantic would say of each one why it is wrong."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[Many[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
"""Several texts, or one by itself."""

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A whole number of something."""

Integer64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""A whole number, which may be below 0."""
