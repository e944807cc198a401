"""Where the command begins: signals first, for loading the rest takes half a second."""

from __future__ import annotations

from gatekeeper.signals import leave_at_once


def start() -> None:
    """Run the commands of `cli.py`."""
    leave_at_once()
    from gatekeeper.cli import main

    main()


if __name__ == "__main__":
    start()
