"""What `alembic init -t multidb` makes of it, in short."""

import re

import sqlalchemy as sa
from alembic import context

USE_TWOPHASE = False
metadata = {"shop": sa.MetaData(), "stock": sa.MetaData()}
for key in metadata:
    sa.Table("items", metadata[key], sa.Column("id", sa.Integer, primary_key=True))

engines = {}
for name in re.split(r",\s*", context.config.get_main_option("databases")):
    engine = sa.engine_from_config(
        context.config.get_section(name, {}), prefix="sqlalchemy.", poolclass=sa.pool.NullPool
    )
    connection = engine.connect()
    begin = connection.begin_twophase if USE_TWOPHASE else connection.begin
    engines[name] = (connection, begin())
try:
    for name, (connection, _) in engines.items():
        context.configure(
            connection=connection,
            upgrade_token=f"{name}_upgrades",
            downgrade_token=f"{name}_downgrades",
            target_metadata=metadata[name],
        )
        context.run_migrations(engine_name=name)
    if USE_TWOPHASE:
        for _, transaction in engines.values():
            transaction.prepare()
    for _, transaction in engines.values():
        transaction.commit()
except BaseException:
    for _, transaction in engines.values():
        transaction.rollback()
    raise
finally:
    for connection, _ in engines.values():
        connection.close()
