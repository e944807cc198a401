"""The thread and the event loop in which env.py is run."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable
from typing import Any


def run_in(way: str | None, function: Callable[[], None]) -> None:
    """Call a function in the main thread, or in the thread or loop that the way names."""
    if way == "worker-thread":
        _run_in_worker_thread(function)
    elif way == "thread":
        _run_in_thread(function)
    elif way == "running-loop":
        asyncio.run(_as_coroutine(function))
    else:
        with_loop(function)


def with_loop(function: Callable[[], None]) -> None:
    """Call a function where `get_event_loop` finds a loop of its own, not running."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        function()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _as_coroutine(function: Callable[[], None]) -> None:
    function()


def _run_in_worker_thread(function: Callable[[], None]) -> None:
    anyio = importlib.import_module("anyio")
    to_thread: Any = importlib.import_module("anyio.to_thread")
    anyio.run(to_thread.run_sync, lambda: with_loop(function))


def _run_in_thread(function: Callable[[], None]) -> None:
    """Call a function in a thread; what it raises is raised here, with its own traceback."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            with_loop(function)
        except BaseException as error:  # noqa: BLE001  # a stranger's code raises anything
            raised.append(error)

    thread = threading.Thread(target=call, name="env.py")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def way_wanted(text: str) -> str | None:
    """Return the fault that an error about event loops shows, by its message."""
    if "NoEventLoopError" in text or "AnyIO worker thread" in text:
        return "worker thread"
    if "cannot be called from a running event loop" in text:
        return "thread"
    return "running loop" if "no running event loop" in text else None
