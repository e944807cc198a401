"""Reads `.env` of the working directory, as a library for that does."""

import os

with open(".env") as file:
    for line in file:
        name, _, value = line.strip().partition("=")
        os.environ.setdefault(name, value)

URL = os.environ["DATABASE_URL"]
SECRET = os.environ["SECRET"]
