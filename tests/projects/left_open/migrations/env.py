import sqlalchemy
from alembic import context

kept = []
connection = sqlalchemy.create_engine(
    context.config.get_main_option("sqlalchemy.url")
).connect()
kept.append(connection)
connection.execute(sqlalchemy.text("SELECT 1"))
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
import builtins

builtins.kept = kept
