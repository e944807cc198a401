"""Each way asks for another thread or event loop."""

import asyncio
import os

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.ext.asyncio import create_async_engine


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


def migrate_at_once():
    with create_engine("postgresql+psycopg2://h/d", poolclass=pool.NullPool).connect() as connection:
        migrate(connection)


async def migrate_later():
    engine = create_async_engine("postgresql+asyncpg://h/d", poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)


way = os.environ["SHOP_WAY"]
if way == "current loop":
    asyncio.get_event_loop().run_until_complete(migrate_later())
elif way == "worker thread":
    import anyio.from_thread

    anyio.from_thread.run(anyio.sleep, 0)
    migrate_at_once()
elif way == "thread":
    import keeps_a_loop

    asyncio.run(migrate_later())
elif way == "running loop":
    asyncio.get_running_loop()
    migrate_at_once()
