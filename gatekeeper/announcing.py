"""Says what is being done while it is done: in passing to a person, or in lines that stay.

What it is about may be anybody's text, such as the query of another session: it is neither
markup nor what steers a terminal. That nobody can read it any more stops nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from gatekeeper.reporters import words


@contextlib.contextmanager
def announce_in_passing(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield where steps are announced; only a person at a terminal sees them."""
    if not console.is_terminal:
        yield lambda step: None
        return
    with console.status("") as status:
        yield lambda step: status.update(Text(f"{words.one_line(step)} …"))


@contextlib.contextmanager
def announce_for_log(
    console: Console, now: Callable[[], dt.datetime]
) -> Iterator[Callable[[str], None]]:
    """Yield where steps are announced, each by a line that stays with the time (UTC)."""
    with announce_in_passing(console) as announce:

        def say(step: str) -> None:
            with contextlib.suppress(OSError):
                line = f"{now():%H:%M:%S} {words.one_line(step)}\n"
                if console.is_terminal:
                    console.print(Text(line.rstrip(), style="dim"), soft_wrap=True)
                else:  # a console ends the process where nobody reads
                    console.file.write(line)
                    console.file.flush()
                announce(step)

        yield say
