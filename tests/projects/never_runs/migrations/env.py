from alembic import context

for schema in []:
    context.run_migrations()
