"""env.py asks for `current_app`, and the factory wants to be told its settings."""

from shop import create_app


def around(run):
    app = create_app({"SQLALCHEMY_DATABASE_URI": "postgresql:///shop"})
    with app.app_context():
        run()
