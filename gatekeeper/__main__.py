"""Lets `python -m gatekeeper` run the commands."""

from gatekeeper.cli import main

main()
