"""Settings classes of pydantic, of either major, read without importing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

FOLDERS = ("DirectoryPath", "NewPath", "Path", "PosixPath")


def is_validation(error: BaseException) -> bool:
    """Tell pydantic's ValidationError, of either major."""
    return type(error).__name__ == "ValidationError" and callable(getattr(error, "errors", None))


def settings_named(error: Any) -> list[dict[str, Any]]:
    """Return the unset variables of a settings class about which pydantic complains."""
    found = []
    model = getattr(error, "model", None) or _class_of(error.title)  # pydantic 1 has the class
    for entry in error.errors():
        place = [str(part) for part in entry.get("loc") or ()]
        if place and model is not None:
            found.extend(_variables(model, place))
    return [variable for variable in found if _is_unset(variable["name"])]


def settings_unset() -> list[str]:
    """Return the unset variables of all settings classes that are defined by now."""
    names = [
        variable["name"]
        for model in _settings_classes()
        for name, field in _fields(model).items()
        for variable in _variables(model, [_alias_of(name, field)])
    ]
    return [name for name in dict.fromkeys(names) if _is_unset(name)]


def settings_leading_to(path: str) -> list[dict[str, Any]]:
    """Return the unset variables whose default is a path, or lies below it."""
    found = []
    for model in _settings_classes():
        for name, field in _fields(model).items():
            default = field.default
            if isinstance(default, (str, os.PathLike)) and str(default).startswith("/"):
                place = os.path.realpath(str(default))
                if place == path or place.startswith(path + os.sep):
                    found.append({**_variable(model, [_alias_of(name, field)]), "kind": "folder"})
    return [variable for variable in found if _is_unset(variable["name"])]


def _is_unset(name: str) -> bool:
    return name.upper() not in {key.upper() for key in os.environ}


def _settings_classes() -> Iterator[Any]:
    todo = [
        vars(sys.modules[name]).get("BaseSettings")
        for name in ("pydantic_settings", "pydantic", "pydantic.v1")
        if name in sys.modules
    ]
    seen = set()
    while todo:
        candidate = todo.pop()
        if candidate is not None and candidate not in seen:
            seen.add(candidate)
            yield candidate
            todo.extend(candidate.__subclasses__())


def _class_of(title: str) -> Any:
    named = (c for c in _settings_classes() if title in (c.__name__, _option(c, "title")))
    return next(named, None)


def _option(model: Any, name: str) -> Any:
    config = getattr(model, "model_config", None)
    if config is not None:
        return config.get(name)
    return getattr(model.__config__, name, None)


def _fields(model: Any) -> dict[str, Any]:
    fields = getattr(model, "model_fields", None)
    return dict(model.__fields__ if fields is None else fields)


def _alias_of(name: str, field: Any) -> str:
    aliases = _aliases(field)
    return aliases[0] if aliases else name


def _aliases(field: Any) -> list[str]:
    """Return the names that a field is read by, which no prefix is put in front of."""
    found = []
    for given in (getattr(field, "validation_alias", None), getattr(field, "alias", None)):
        found += [one for one in getattr(given, "choices", [given]) if isinstance(one, str)]
    is_old = hasattr(field, "field_info")  # pydantic 1: a field without alias has its name
    return [one for one in found if not is_old or one != field.name]


def _variables(model: Any, place: list[str]) -> list[dict[str, Any]]:
    """Return the variables that would fill a place, of a model in it each that it needs."""
    variable = _variable(model, place)
    if variable["kind"] != "other" or not _option(model, "env_nested_delimiter"):
        return [variable]
    field = next((f for n, f in _fields(model).items() if place == [n]), None)
    inner = _plain(_annotation(field))
    needed = [n for n, f in _fields(inner).items() if _is_needed(f)] if _is_model(inner) else []
    return [_variable(model, [*place, name]) for name in needed] or [variable]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__fields__")


def _is_needed(field: Any) -> bool:
    asks = getattr(field, "is_required", None)  # pydantic 1 has `required` instead
    return bool(asks() if asks is not None else field.required)


def _variable(model: Any, place: list[str]) -> dict[str, Any]:
    """Return the variable that would fill what is at a place of the settings."""
    prefix, delimiter = _option(model, "env_prefix") or "", _option(model, "env_nested_delimiter")
    name, field = next(
        ((n, f) for n, f in _fields(model).items() if place[0] in (n, *_aliases(f))),
        (place[0], None),
    )
    variable = prefix + name
    if field is not None:
        info = getattr(field, "field_info", None)  # pydantic 1 knows the variables by itself
        names = sorted(info.extra.get("env_names", [])) if info is not None else _aliases(field)
        if names:
            variable = place[0] if place[0] in names else names[0]
    for part in place[1:] if delimiter else []:
        inner = _plain(_annotation(field))
        variable += delimiter + part
        field = _fields(inner).get(part) if _is_model(inner) else None
    kind, scheme = _kind(field)
    is_sensitive = bool(_option(model, "case_sensitive"))
    return {
        "name": variable if is_sensitive else variable.upper(),
        "kind": kind,
        "scheme": scheme,
    }


def _annotation(field: Any) -> Any:
    return getattr(field, "annotation", None) or getattr(field, "outer_type_", None)


def _plain(annotation: Any) -> Any:
    """Return a type without `Optional` and `Annotated`."""
    while True:
        inner = [a for a in getattr(annotation, "__args__", ()) if a is not type(None)]
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif len(inner) == 1 and len(annotation.__args__) == 2:
            annotation = inner[0]
        else:
            return annotation


def _kind(field: Any) -> tuple[str, str | None]:
    """Return as what a variable is parsed and, for a URL, a scheme that will do."""
    kind = _plain(_annotation(field)) if field is not None else None
    if not isinstance(kind, type):
        return "other", None
    schemes = _schemes(kind, getattr(field, "metadata", ()))
    if schemes or kind.__name__.endswith(("Url", "Dsn")):
        return "url", next(iter(schemes), "http")
    for base, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "text")):
        if kind is base:
            return name, None
    if kind.__name__ in FOLDERS:
        return "folder", None
    return {"SecretStr": "secret", "EmailStr": "email"}.get(kind.__name__, "other"), None


def _schemes(kind: Any, metadata: Any) -> list[str]:
    constraints = [kind, getattr(kind, "_constraints", None), *metadata]
    found = (getattr(one, "allowed_schemes", None) for one in constraints)
    schemes = sorted(next((one for one in found if one), []))
    wanted = ("https", "http", "redis", "amqp", "postgresql", "postgres")
    return [one for one in wanted if one in schemes] or schemes
