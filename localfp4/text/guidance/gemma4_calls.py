"""Tool calls of Gemma 4: ``<|tool_call>call:f{k:<|"|>text<|"|>,n:1}<tool_call|>``.

Its values are no JSON, so schemas are followed here, as far as calls of tools need it.
"""

from collections.abc import Mapping
from typing import Any

from localfp4.text.guidance.json_calls import several
from localfp4.text.guidance.limits import target
from localfp4.text.guidance.rules import Rules, either, in_order, literal, repeated
from localfp4.text.guidance.texts import ANNOTATIONS, add_text, refuse_unknown
from localfp4.text.guidance.tools import Tool, narrowed
from localfp4.text.parsers.gemma4 import QUOTE

_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_NUMBERS = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "type")
)
_KNOWN = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"pattern", "minLength", "maxLength"},
    "integer": _NUMBERS,
    "number": _NUMBERS,
}
_BARE_KEY = "/[A-Za-z_][A-Za-z0-9_]{0,60}/"


def add_gemma4(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add calls to some tools."""
    opens, closes = rules.token("<|tool_call>"), rules.token("<tool_call|>")
    functions = either(
        f"{literal(f'call:{tool.name}')} {_Values(rules, tool).value(tool.schema)}"
        for tool in tools
    )
    return several(rules.rule(f"{opens} {functions} {closes}"), '""', parallel=parallel)


class _Values:
    """What matches the values of one tool's arguments."""

    def __init__(self, rules: Rules, tool: Tool) -> None:
        self._rules = rules
        self._tool = tool
        self._referred: dict[str, str] = {}
        self._any: str | None = None

    def value(self, schema: Any) -> str:
        """Return what matches a value that follows a schema."""
        if not isinstance(schema, Mapping):
            return self._anything()
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema["$ref"])
        if "const" in schema or isinstance(schema.get("enum"), list):
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return either(self._literal(value) for value in values)
        for key in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self._combined(schema, key)
        types = schema.get("type")
        if types is None and not schema.keys() - ANNOTATIONS:
            return self._anything()
        names = [types] if isinstance(types, str) else types or _likely_types(schema)
        if self._tool.is_strict:
            known = ANNOTATIONS.union({"type"}, *(_KNOWN.get(name, ()) for name in names))
            refuse_unknown(schema, known, "an argument")
        return either(self._typed(schema, name) for name in names)

    def _combined(self, schema: Mapping[str, Any], key: str) -> str:
        """Follow alternatives; of several schemas that hold at once the first is followed."""
        if self._tool.is_strict:
            allowed = ANNOTATIONS | ({key} if key != "allOf" or len(schema[key]) == 1 else set())
            refuse_unknown(schema, frozenset(allowed), "an argument")
        parts = schema[key][:1] if key == "allOf" else schema[key]
        return either(self.value(part) for part in parts)

    def _typed(self, schema: Mapping[str, Any], name: str) -> str:
        match name:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return self._text(schema)
            case "boolean":
                return '("true" | "false")'
            case "null":
                return '"null"'
        bounds = {key: value for key, value in schema.items() if key in _NUMBERS}
        number = narrowed({**bounds, "type": name})
        return self._rules.schema(number, lenient=not self._tool.is_strict)

    def _object(self, schema: Mapping[str, Any]) -> str:
        described, required = schema.get("properties") or {}, schema.get("required") or []
        entries = {**described, **{key: True for key in required if key not in described}}
        if not entries:
            return self._map(schema.get("additionalProperties", True))
        parts = (
            (f"{self._key(key)} {self.value(part)}", key in required)
            for key, part in entries.items()
        )
        return self._rules.rule(f'"{{" {in_order(self._rules, parts, literal(","))} "}}"')

    def _map(self, values: Any) -> str:
        """Return what matches an object of any keys."""
        if values is False:
            return '"{}"'
        entry = f'{self._rules.terminal(_BARE_KEY)} ":" {self.value(values)}'
        return self._rules.rule(f'"{{" {repeated(entry, literal(","), 0)} "}}"')

    def _array(self, schema: Mapping[str, Any]) -> str:
        item = self._rules.rule(self.value(schema.get("items", True)))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        return self._rules.rule(f'"[" {repeated(item, literal(","), least, most)} "]"')

    def _text(self, schema: Mapping[str, Any]) -> str:
        quote = self._rules.token(QUOTE)
        text = add_text(self._rules, schema, [QUOTE])
        return f"{quote} {text} {quote}"

    def _key(self, key: str) -> str:
        if key.isidentifier():
            return literal(f"{key}:")
        quote = self._rules.token(QUOTE)
        return f'{quote} {literal(key)} {quote} ":"'

    def _literal(self, value: Any) -> str:
        match value:
            case str():
                quote = self._rules.token(QUOTE)
                return f"{quote} {literal(value)} {quote}" if value else f"{quote} {quote}"
            case dict():
                entries = (f"{self._key(key)} {self._literal(v)}" for key, v in value.items())
                return f'"{{" {literal(",").join(entries)} "}}"'
            case list():
                return f'"[" {literal(",").join(map(self._literal, value))} "]"'
        return literal({True: "true", False: "false", None: "null"}.get(value, str(value)))

    def _reference(self, reference: str) -> str:
        """Return the rule for what is referred to, which may refer to itself."""
        if reference not in self._referred:
            name = self._referred[reference] = self._rules.name()
            self._rules.define(name, self.value(target(self._tool.schema, reference)))
        return self._referred[reference]

    def _anything(self) -> str:
        """Return the rule for any value."""
        if self._any is None:
            name = self._any = self._rules.name()
            self._rules.define(name, either(self._typed({}, type_) for type_ in _TYPES))
        return self._any


def _likely_types(schema: Mapping[str, Any]) -> list[str]:
    """Return the types of which a schema speaks that names none."""
    if "properties" in schema or "required" in schema:
        return ["object"]
    return ["array"] if "items" in schema else list(_TYPES)
