"""Base of everything that is published: null only with a reason, instants without lost digits.

The rule for what is not known: a field is ``null`` *with a reason*, never absent and never a stand-in number.
Every model carries ``why_null``, a map from the name of each null field to the reason (``port.eth0`` for an
entry of a map). Validation refuses a null without a reason and a reason without a null, so the promise holds
wherever such a model exists.

Instants are integers of nanoseconds; in JSON they are strings of digits, because JSON numbers lose digits
beyond 2**53. ``_mono_ns`` is CLOCK_MONOTONIC_RAW of the host, ``_tai_ns`` the card's clock.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

NO_CARD_CLOCK: Final = "the card's clock could not be read"
"""Why there is no instant on the card's timescale."""


def _int_from_digits(value: object) -> object:
    if (
        isinstance(value, str)
        and len(value) <= 24
        and value.removeprefix("-").isdecimal()
        and value.isascii()
    ):
        return int(value)
    return value


InstantNs = Annotated[
    int,
    BeforeValidator(_int_from_digits),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^-?[0-9]+$",
            "description": "Integer of nanoseconds as a string: a JSON number would lose digits.",
            "examples": ["1795310242000000000"],
        }
    ),
]
"""An instant in ns: ``int`` in Python, a string of digits in JSON."""


class Reported(BaseModel):
    """A published record. Null fields are explained in ``why_null``."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )

    why_null: dict[str, str] = Field(default_factory=dict)
    """For every field that is null: why. Keys are field names, ``name.key`` for entries of a map."""

    @model_validator(mode="after")
    def _nulls_have_reasons(self) -> Self:
        nulls = set()
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None:
                nulls.add(name)
            elif isinstance(value, dict):
                nulls.update(f"{name}.{key}" for key, item in value.items() if item is None)
        unexplained, unfounded = nulls - self.why_null.keys(), self.why_null.keys() - nulls
        if unexplained:
            raise ValueError(f"null without a reason: {', '.join(sorted(unexplained))}")
        if unfounded:
            raise ValueError(f"reason for what is not null: {', '.join(sorted(unfounded))}")
        return self

    @classmethod
    def partial(cls, reason: str, /, **values: Any) -> Self:
        """A record from what is known: missing or None fields become null with ``reason``.

        A reason of its own for a field is given in ``why_null``. Raises ``pydantic.ValidationError`` for a
        field that must not be null.
        """
        why = dict(values.pop("why_null", {}))
        for name, info in cls.model_fields.items():
            if name == "why_null":
                continue
            if name not in values and info.is_required():
                values[name] = None
            value = values.get(name)
            if name in values and value is None:
                why.setdefault(name, reason)
            elif isinstance(value, dict):
                for key, item in value.items():
                    if item is None:
                        why.setdefault(f"{name}.{key}", reason)
        return cls(why_null=why, **values)
