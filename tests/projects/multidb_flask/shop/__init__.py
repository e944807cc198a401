from flask import Flask
from flask_migrate import Migrate

from shop.database import db


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config["SQLALCHEMY_BINDS"] = {"stock": "postgresql://stock:secret@192.0.2.2/stock"}
    db.init_app(app)
    Migrate(app, db)
    return app
