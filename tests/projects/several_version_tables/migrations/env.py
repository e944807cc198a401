import sqlalchemy as sa
from alembic import context

MODULES = ("core", "billing")

metadata = sa.MetaData()
for module in MODULES:
    for name in ("users", "orders", "bills"):
        sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), schema=module)

engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"), future=True)
for module in MODULES:
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {module}"))
        connection.execute(sa.text(f"SET search_path TO {module}, public"))
        connection.commit()
        connection.dialect.default_schema_name = module
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_schemas=True,
            version_table=f"{module}_version",
            version_table_schema="public",
        )
        with context.begin_transaction():
            context.run_migrations()
