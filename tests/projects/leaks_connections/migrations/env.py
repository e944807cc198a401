import builtins

import psycopg2
import sqlalchemy as sa
from alembic import context

url = context.config.get_main_option("sqlalchemy.url")
leaked = builtins.__dict__.setdefault("leaked", [])  # what a module of the application keeps

# An engine that is never disposed, with a connection that was never given back.
engine = sa.create_engine(url, pool_size=5)
leaked += engine, engine.connect()
leaked[-1].execute(sa.text("SELECT 1"))

# The driver itself, in the middle of a transaction, with an advisory lock.
side = psycopg2.connect("host=db.example.com dbname=shop user=shop")
side.cursor().execute("SELECT pg_advisory_lock_shared(1)")
leaked.append(side)

with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
