"""The project makes Alembic's Config in its own code, and env.py counts on what is in it."""

from shop.database import Settings, make_config


def alembic_config():
    return make_config(Settings(url="postgresql:///shop", schema="public"))
