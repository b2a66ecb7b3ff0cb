"""The form of an answer, as OpenAI's clients ask for it, and vLLM's and llama.cpp's."""

import json
from typing import Any, ClassVar

from pydantic import Field

from localfp4.messages import Constraint, ConstraintKind
from localfp4.server.errors import bad_request
from localfp4.server.fields import Fields, Many, Refusing

JsonSchema = dict[str, Any] | bool
"""A schema; ``true`` allows everything."""


class JsonSchemaFormat(Fields):
    """A schema with a name."""

    name: str | None = None
    schema_: JsonSchema | None = Field(default=None, alias="schema")


class ResponseFormat(Fields):
    """OpenAI's way to ask for JSON; ``schema`` beside ``json_object`` is llama.cpp's."""

    type: str = Field(description="text, json_object or json_schema")
    json_schema: JsonSchemaFormat | None = None
    schema_: JsonSchema | None = Field(default=None, alias="schema")

    def constraint(self) -> Constraint | None:
        """Return what is asked for; ``None`` for plain text.

        Raises:
            ApiError: It is something else than JSON.
            RequestError: The schema is too long.
        """
        schema = self.schema_ if self.json_schema is None else self.json_schema.schema_
        match self.type:
            case "text":
                return None
            case "json_object" | "json_schema" if schema is not None:
                return of_schema(schema)
            case "json_object":
                return Constraint("json_object")
            case "json_schema" if self.json_schema is not None:
                return Constraint("json_object")
            case "json_schema":
                raise bad_request("response_format has no json_schema.", "response_format")
        raise bad_request(
            f"response_format may be text, json_object or json_schema, not {self.type[:40]!r}.",
            "response_format",
        )


class StructuredOutputs(Refusing):
    """vLLM's way to ask for a form."""

    refused: ClassVar = {"structural_tag": "use tools, or a grammar."}

    json_: JsonSchema | str | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: Many[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None


class FormFields(Fields):
    """What says which form an answer has; one of them at a time."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: JsonSchema | str | None = None
    guided_regex: str | None = None
    guided_choice: Many[str] | None = None
    guided_grammar: str | None = None
    grammar: str | None = Field(None, description="GBNF or Lark.")
    json_schema: JsonSchema | None = None

    def constraint(self) -> Constraint | None:
        """Return the form; ``None`` where the answer is free.

        Raises:
            ApiError: Two are asked for, or one is malformed.
            RequestError: It is empty or too long.
        """
        asked = self.structured_outputs or StructuredOutputs()
        wanted = [
            None if self.response_format is None else self.response_format.constraint(),
            of_schema(self.guided_json),
            of_schema(asked.json_),
            of_schema(self.json_schema),
            _of_text("regex", self.guided_regex),
            _of_text("regex", asked.regex),
            _of_choice(self.guided_choice),
            _of_choice(asked.choice),
            _of_text("grammar", self.guided_grammar),
            _of_text("grammar", asked.grammar),
            _of_text("grammar", self.grammar),
            Constraint("json_object") if asked.json_object else None,
        ]
        forms = [form for form in wanted if form is not None]
        if len(forms) > 1:
            kinds = " and ".join(form.kind for form in forms)
            raise bad_request(f"An answer has one form; {kinds} are asked for.")
        return forms[0] if forms else None


def of_schema(schema: JsonSchema | str | None) -> Constraint | None:
    """Return the form of JSON of a schema, which may be given as text.

    Raises:
        RequestError: It is empty or too long.
    """
    if schema is None:
        return None
    text = schema if isinstance(schema, str) else json.dumps(schema, ensure_ascii=False)
    return Constraint("json_schema", text)


def _of_text(kind: ConstraintKind, text: str | None) -> Constraint | None:
    """Clients that have a field for it send it empty where they want nothing."""
    return Constraint(kind, text) if text else None


def _of_choice(choice: list[str] | None) -> Constraint | None:
    return Constraint("choice", json.dumps(choice, ensure_ascii=False)) if choice else None
