"""names: a session of the ORM that commits"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session, declarative_base

revision = "a003"
down_revision = "a002"

Base = declarative_base()


class User(Base):
    __tablename__ = "users"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text, nullable=False)


def upgrade():
    session = Session(bind=op.get_bind())
    session.add(User(id=1, name="nobody"))
    session.commit()


def downgrade():
    pass
