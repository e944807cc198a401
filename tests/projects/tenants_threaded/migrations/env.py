import threading

import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"), future=True)


def migrate(tenant):
    with engine.connect() as connection:
        connection.execute(sa.text(f"SET search_path TO {tenant}"))
        connection.commit()
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


with engine.connect() as connection:
    tenants = connection.execute(sa.text("SELECT name FROM public.tenants")).scalars().all()
for tenant in tenants:
    thread = threading.Thread(target=migrate, args=(tenant,))
    thread.start()
    thread.join()
