"""Whether env.py runs migrations one after the other."""

from __future__ import annotations

import importlib
import threading
from typing import Any


class Turns:
    """Tells whether two threads have run migrations at the same time."""

    def __init__(self) -> None:
        self.is_simultaneous = False
        self._running = 0
        self._lock = threading.Lock()

    def install(self) -> None:
        context_class: Any = importlib.import_module("alembic.runtime.migration").MigrationContext
        original = context_class.run_migrations

        def run_migrations(context: Any, **options: Any) -> None:
            with self._lock:
                self._running += 1
                self.is_simultaneous = self.is_simultaneous or self._running > 1
            try:
                original(context, **options)
            finally:
                with self._lock:
                    self._running -= 1

        context_class.run_migrations = run_migrations
