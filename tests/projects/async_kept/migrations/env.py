import asyncio

from alembic import context
from database import engine


def do_run_migrations(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    async with engine.connect() as connection:
        await connection.run_sync(do_run_migrations)


asyncio.get_event_loop().run_until_complete(run_async_migrations())
