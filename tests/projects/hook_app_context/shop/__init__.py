from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from shop.models import metadata


def create_app(settings):
    app = Flask(__name__)
    app.config.update(settings)
    Migrate(app, SQLAlchemy(app, metadata=metadata))
    return app
