import os
import sys

from flask import Flask
from flask_migrate import Migrate

from shop.database import db


def create_app():
    app = Flask(__name__)
    app.config["MAPS"] = os.environ.get("MAPS_API_KEY")
    app.secret_key = os.environ.get("SHOP_SECRET_KEY")
    if not app.secret_key:
        print("Set the secret key.", file=sys.stderr)
        sys.exit(1)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("SHOP_DB_URL", "sqlite://")
    db.init_app(app)
    Migrate(app, db, compare_type=True)
    return app
