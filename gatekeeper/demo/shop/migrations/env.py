import sys
from pathlib import Path

from alembic import context
from sqlalchemy import engine_from_config, pool

sys.path.insert(0, str(Path(__file__).parent.parent))

from models import Base

engine = engine_from_config(
    context.config.get_section(context.config.config_ini_section),
    poolclass=pool.NullPool,
    connect_args={"options": "-c lock_timeout=4s"},
)

with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()
