"""Holds a document against the published schema and says what is wrong in a sentence."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import jsonschema

from gatekeeper.errors import ConfigError
from gatekeeper.model import Check
from gatekeeper.policy.document import Document, KeyPath, key_path, shown
from gatekeeper.policy.shipped import read_shipped

_JSON_TYPES = {int: "integer", str: "string", bool: "boolean"}
_VALUE_WORDS = {
    dict: "a mapping",
    list: "a list",
    str: "a text",
    int: "a whole number",
    bool: "a truth value",
    type(None): "empty",
}
_TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def validate(document: Document, known: Sequence[Check]) -> None:
    """Raise a ConfigError for the first thing, by line, that the schema refuses."""
    if "custom" in document.data:
        raise ConfigError(
            "`custom` asks for checks of your own, which this version does not know yet.",
            where=document.where(("custom",)),
            fix="Remove the block; `checks` and `overrides` weigh the checks there are.",
        )
    validator = jsonschema.Draft202012Validator(policy_schema(known))
    errors = [_config_error(document, error) for error in validator.iter_errors(document.data)]
    if errors:
        raise min(errors, key=lambda pair: pair[0])[1]


def policy_schema(known: Sequence[Check]) -> dict[str, Any]:
    """Return the published schema, closed over the checks that are known and their options."""
    schema: dict[str, Any] = json.loads(read_shipped("policy.schema.json"))
    definitions = schema["$defs"]
    severity = {"$ref": "#/$defs/severity"}
    definitions["checks"] = _closed({check.id: _setting_schema(check) for check in known})
    definitions["override_checks"] = _closed({check.id: severity for check in known})
    return schema


def suggestion(value: str, allowed: Iterable[str]) -> str:
    """Return "Allowed: …" and, where one is near, what was probably meant."""
    choices = list(dict.fromkeys(allowed))
    nearest = difflib.get_close_matches(value, choices, n=1)
    meant = f" Did you mean `{nearest[0]}`?" if nearest else ""
    return f"Allowed: {', '.join(f'`{choice}`' for choice in choices)}.{meant}"


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _setting_schema(check: Check) -> dict[str, Any]:
    severity = {"$ref": "#/$defs/severity"}
    options = {
        option.name: {"type": _JSON_TYPES[type(option.default)], "description": option.meaning}
        for option in check.options
    }
    return {
        "type": ["string", "object"],
        "if": {"type": "string"},
        "then": severity,
        "else": {"properties": {"severity": severity, **options}, "additionalProperties": False},
    }


def _config_error(document: Document, error: jsonschema.ValidationError) -> tuple[int, ConfigError]:
    path: KeyPath = tuple(error.absolute_path)
    value: Any = error.instance
    rule: Any = error.validator_value
    schema = error.schema if isinstance(error.schema, dict) else {}
    if "propertyNames" in error.schema_path:
        path = (*path, value)
    what = f"`{key_path(path)}` is `{shown(value)}`."
    match error.validator:
        case "additionalProperties":
            properties = schema.get("properties", {})
            unknown = next(key for key in value if key not in properties)
            path = (*path, unknown)
            what = f"`{key_path(path)}` is not known."
            fix = suggestion(unknown, properties)
        case "enum":
            fix = suggestion(str(value), map(str, rule))
        case "type":
            types = [rule] if isinstance(rule, str) else rule
            what = f"`{key_path(path)}` is {_VALUE_WORDS[type(value)]}: `{shown(value)}`."
            fix = f"Allowed: {' or '.join(_TYPE_WORDS[t] for t in types)}."
        case "required":
            missing = next(key for key in rule if key not in value)
            what = f"`{key_path(path)}` has no `{missing}`."
            fix = f"Add `{missing}: …`."
        case "oneOf":
            keys = [branch["required"][0] for branch in rule]
            given = [key for key in keys if key in value]
            what = f"`{key_path(path)}` is incomplete."
            if given:
                what = f"`{key_path(path)}` has {' and '.join(f'`{key}`' for key in given)}."
            fix = f"Give exactly one of {', '.join(f'`{key}`' for key in keys)}."
        case "minimum":
            fix = f"Allowed: {rule} or more."
        case "maximum":
            fix = f"Allowed: {rule} or less."
        case "minItems":
            fix = f"Allowed: a list of at least {rule}."
        case "maxItems":
            what = f"`{key_path(path)}` has {len(value)} entries."
            fix = f"Allowed: at most {rule}."
        case "minLength":
            fix = "Allowed: a text that is not empty."
        case "maxLength":
            what = f"`{key_path(path)}` has {len(value)} characters."
            fix = f"Allowed: at most {rule}."
        case _:  # "pattern"; a test holds this list against the schema
            fix = f"Allowed: {schema['description']}."
    return document.line(path), ConfigError(what, where=document.where(path), fix=fix)
