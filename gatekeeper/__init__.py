"""A gate for Alembic migrations on PostgreSQL: rehearse, observe, judge, report."""

__version__ = "0.1.0"
