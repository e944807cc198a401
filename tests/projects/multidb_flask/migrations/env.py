"""What `flask db init --multidb` makes of it, in short."""

from alembic import context
from flask import current_app

db = current_app.extensions["migrate"].db
engines = {"": db.engine}
for name in current_app.config["SQLALCHEMY_BINDS"]:
    engines[name] = db.engines[name]

opened = {}
for name, engine in engines.items():
    connection = engine.connect()
    opened[name] = (connection, connection.begin())
try:
    for name, (connection, _) in opened.items():
        context.configure(
            connection=connection,
            target_metadata=db.metadatas[name or None],
            **current_app.extensions["migrate"].configure_args,
        )
        context.run_migrations(engine_name=name)
    for _, transaction in opened.values():
        transaction.commit()
except BaseException:
    for _, transaction in opened.values():
        transaction.rollback()
    raise
finally:
    for connection, _ in opened.values():
        connection.close()
