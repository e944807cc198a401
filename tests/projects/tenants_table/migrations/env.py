import sqlalchemy as sa
from alembic import context

TENANTS = "SELECT name FROM tenants"

engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"), future=True)
with engine.connect() as connection:
    tenants = connection.execute(sa.text(TENANTS)).scalars().all()

for tenant in tenants:
    with engine.connect() as connection:
        context.configure(
            connection=connection.execution_options(schema_translate_map={None: tenant}),
            version_table_schema=tenant,
        )
        with context.begin_transaction():
            context.run_migrations()
