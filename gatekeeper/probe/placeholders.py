"""Words in braces that stand for the ephemeral database in what the project is given. No I/O.

Only these are replaced: any other brace may be the project's own.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from gatekeeper.probe.model import Target

# Filled by the sandbox, which makes the folder.
PRIVATE_FOLDER = "{private_folder}"


class Placeholder(enum.Enum):
    """What can be said of the ephemeral database."""

    URL = "{database_url}"
    ASYNC_URL = "{async_database_url}"
    HOST = "{database_host}"
    PORT = "{database_port}"
    USER = "{database_user}"
    PASSWORD = "{database_password}"
    NAME = "{database_name}"


_ANY = re.compile("|".join(re.escape(placeholder.value) for placeholder in Placeholder))


def fill(text: str, target: Target) -> str:
    """Return the text with the database's own words in the places of the placeholders."""
    return _ANY.sub(lambda match: _word(Placeholder(match[0]), target), text)


def fill_each(texts: Mapping[str, str], target: Target) -> dict[str, str]:
    """Return variables with their texts filled; each further URL names another database.

    So two that env.py migrates are told apart. Whatever they name, all connections are led
    to ephemeral databases.
    """
    whole = (Placeholder.URL.value, Placeholder.ASYNC_URL.value)
    further = [name for name, text in texts.items() if text in whole][1:]
    return {
        name: fill(text, replace(target, database=name.lower()) if name in further else target)
        for name, text in texts.items()
    }


def names_database(text: str) -> bool:
    """Tell whether a text changes with the database that it is filled for."""
    return _ANY.search(text) is not None


def _word(placeholder: Placeholder, target: Target) -> str:
    user, password = (quote(text, safe="") for text in (target.user, target.password))
    address = f"{user}:{password}@{target.host}:{target.port}/{target.database}"
    return {
        Placeholder.URL: f"postgresql://{address}",
        Placeholder.ASYNC_URL: f"postgresql+asyncpg://{address}",
        Placeholder.HOST: target.host,
        Placeholder.PORT: str(target.port),
        Placeholder.USER: target.user,
        Placeholder.PASSWORD: target.password,
        Placeholder.NAME: target.database,
    }[placeholder]
