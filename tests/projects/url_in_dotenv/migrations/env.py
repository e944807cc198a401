from alembic import context
from sqlalchemy import create_engine

from shop.settings import URL

with create_engine(URL).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
