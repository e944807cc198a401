import os

from flask import Flask
from flask_migrate import Migrate, upgrade

from shop.database import db


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("SHOP_DB_URL", "sqlite:///shop.db")
    db.init_app(app)
    Migrate(app, db, compare_type=True)
    with app.app_context():
        upgrade()
    return app
