"""PostgreSQL: servers, databases, the catalog, and what a migration is seen to do to it.

Everything that speaks through psycopg2 lives here.
"""
