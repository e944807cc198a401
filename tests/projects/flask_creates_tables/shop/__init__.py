import os

from flask import Flask
from flask_migrate import Migrate

from shop.database import Setting, db


def create_app():
    """Looks into the database while it is made, and makes a table of its own there."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("SHOP_DB_URL", "sqlite:///shop.db")
    db.init_app(app)
    Migrate(app, db)
    with app.app_context():
        Setting.__table__.create(db.engine, checkfirst=True)
        app.config["NAME"] = db.session.query(Setting).count()
    return app
