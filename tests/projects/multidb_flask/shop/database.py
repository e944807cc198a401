from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class User(db.Model):
    __tablename__ = "users"
    id = db.Column(db.Integer, primary_key=True)


class Item(db.Model):
    __bind_key__ = "stock"
    __tablename__ = "items"
    id = db.Column(db.Integer, primary_key=True)
