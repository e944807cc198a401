"""Alembic projects and their revisions, read from files and never imported."""
