import os

import sqlalchemy
from alembic import context

engine = sqlalchemy.create_engine(
    os.environ.get("SHOP_DATABASE_URL") or "sqlite:///shop.db",
    connect_args={"check_same_thread": False} if "SHOP_DATABASE_URL" not in os.environ else {},
)

with engine.connect() as connection:
    context.configure(connection=connection, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
