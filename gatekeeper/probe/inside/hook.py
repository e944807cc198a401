"""The project's hook file: what it gives in place of what gatekeeper would do."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any


class HookError(RuntimeError):
    """A hook that does not do what it has to."""


class Hook:
    """The functions of a hook file; one that is not there is None."""

    def __init__(self, path: str) -> None:
        spec = importlib.util.spec_from_file_location("gatekeeper_hook", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["gatekeeper_hook"] = module
        spec.loader.exec_module(module)
        self.alembic_config: Any = getattr(module, "alembic_config", None)
        self.bootstrap: Any = getattr(module, "bootstrap", None)
        self._around: Any = getattr(module, "around", None)

    def make_config(self) -> Any:
        config = self.alembic_config()
        if not hasattr(config, "get_main_option"):
            kind = type(config).__name__
            raise HookError(f"alembic_config() of the hook returned {kind}, not an Alembic Config")
        return config

    def around(self, run: Callable[[], None]) -> None:
        """Let the hook call `run`; it has to do so once."""
        if self._around is None:
            run()
            return
        calls: list[None] = []

        def once() -> None:
            calls.append(None)
            if len(calls) > 1:
                raise HookError("around(run) of the hook called run() a second time")
            run()

        self._around(once)
        if not calls:
            raise HookError("around(run) of the hook came to its end without calling run()")
