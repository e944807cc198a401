"""The PostgreSQL drivers: where they are told to go, also past SQLAlchemy."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

SYNC_DRIVERS = ("psycopg2", "psycopg", "pg8000")
ASYNC_DRIVERS = ("asyncpg", "psycopg")
ASYNC_DRIVERS_ANYWHERE = ("asyncpg", "aiosqlite", "aiomysql", "asyncmy")


class DriverFinder:
    """Redirects connections that are made with a driver itself, past SQLAlchemy.

    The driver's functions are replaced when the project imports it; `redirect` changes the
    parameters of a connection with the driver of that name in place.
    """

    def __init__(self, redirect: Callable[[dict[str, Any], str], None]) -> None:
        self._redirect = redirect
        self._looking_for: set[str] = set()
        self._patches = {
            "psycopg2": self._patch_psycopg2,
            "psycopg": self._patch_psycopg,
            "asyncpg": self._patch_asyncpg,
        }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        patch = self._patches.get(name)
        if patch is None or name in self._looking_for:
            return None
        self._looking_for.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking_for.discard(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this import only
        return spec

    def _patch_psycopg2(self, psycopg2: Any) -> None:
        original, parse = psycopg2.connect, psycopg2.extensions.parse_dsn

        def connect(
            dsn: Any = None,
            connection_factory: Any = None,
            cursor_factory: Any = None,
            **given: Any,
        ) -> Any:
            parameters = {**({} if dsn is None else parse(dsn)), **given}
            self._redirect(parameters, "psycopg2")
            return original(None, connection_factory, cursor_factory, **parameters)

        psycopg2.connect = connect

    def _patch_psycopg(self, psycopg: Any) -> None:
        parse = importlib.import_module("psycopg.conninfo").conninfo_to_dict

        def redirected(original: Any) -> Any:
            def connect(cls: Any, conninfo: str = "", **given: Any) -> Any:
                parameters = {**parse(conninfo), **given}
                self._redirect(parameters, "psycopg")
                return original(cls, **parameters)

            return connect

        for connection_class in (psycopg.Connection, psycopg.AsyncConnection):
            connect = redirected(connection_class.connect.__func__)
            connection_class.connect = classmethod(connect)
        psycopg.connect = psycopg.Connection.connect

    def _patch_asyncpg(self, asyncpg: Any) -> None:
        connection: Any = importlib.import_module("asyncpg.connection")
        original = connection.connect

        def connect(dsn: Any = None, **given: Any) -> Any:
            self._redirect(given, "asyncpg")
            return original(**given)

        connection.connect = asyncpg.connect = connect
