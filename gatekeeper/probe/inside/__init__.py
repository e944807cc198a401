"""Runs env.py in the project's interpreter: redirected, watched, one request a line.

This folder is copied beside the project's code and run as the package `gatekeeper_probe`. It
imports nothing of gatekeeper's: only itself, the standard library, and the project's own
Alembic (1.7 or newer) and SQLAlchemy (1.4 or newer), on Python 3.8 or newer. Requests come in on
what was standard input, answers leave on what was standard output; the project gets neither.
`gatekeeper.probe.protocol` is the other side.
"""
