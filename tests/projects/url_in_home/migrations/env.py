from pathlib import Path

from alembic import context
from sqlalchemy import create_engine, pool

url = (Path.home() / ".shop" / "database").read_text().strip()

with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
