"""lower: a data revision with the application's models"""

from alembic import op
from sqlalchemy.orm import Session

from shop.models import User

revision = "a003"
down_revision = "a002"


def upgrade():
    session = Session(bind=op.get_bind())
    session.add(User(id=7, name="Ada"))
    for user in session.query(User):
        user.email = "ada@example.org"
    session.flush()


def downgrade():
    pass
