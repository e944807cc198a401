from flask import Flask
from flask_migrate import Migrate

from shop.database import db


def create_app():
    app = Flask(__name__)
    app.secret_key = open("/nowhere/secret-key").read()
    db.init_app(app)
    Migrate(app, db)
    return app
