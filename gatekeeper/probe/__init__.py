"""Runs the project's own Alembic environment in the project's own interpreter."""
