from alembic import context
from sqlalchemy import create_engine, pool

config = context.config
url = config.get_main_option("url") or config.get_main_option("shop.dsn")
assert config.attributes.get("shop.url"), "the caller gives a URL"
assert config.cmd_opts.name == "alembic"
assert config.cmd_opts.autogenerate is False

with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
