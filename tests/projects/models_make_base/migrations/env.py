from alembic import context
from sqlalchemy import create_engine

from shop.models import Base, audit

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))

with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=[Base.metadata, audit], include_schemas=True
    )
    with context.begin_transaction():
        context.run_migrations()
