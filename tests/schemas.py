"""The published JSON Schemas, held against what is written."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from gatekeeper.policy.shipped import read_shipped


def closed(schema: Any) -> Any:
    """Return the schema with additions refused: what we write is what is described.

    A condition is of some properties, whatever others there are.
    """
    if isinstance(schema, dict):
        extra = {"additionalProperties": False} if "properties" in schema else {}
        conditional = ("if", "then")
        kept = {k: v if k in conditional else closed(v) for k, v in schema.items()}
        return {**kept, **extra}
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


def hold_to_schema(kind: str, data: Any) -> None:
    """Raise where data is not as `policies/KIND.schema.json` says, or has more."""
    schema = json.loads(read_shipped(f"{kind}.schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.FormatChecker()
    jsonschema.Draft202012Validator(closed(schema), format_checker=checker).validate(data)
