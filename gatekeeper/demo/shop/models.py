"""The shop's tables as the application sees them."""

import sqlalchemy as sa
from sqlalchemy.orm import declarative_base

Base = declarative_base()


class Customer(Base):
    __tablename__ = "customers"

    id = sa.Column(sa.BigInteger, primary_key=True)
    email = sa.Column(sa.Text, nullable=False)


class Ticket(Base):
    __tablename__ = "tickets"

    id = sa.Column(sa.BigInteger, primary_key=True)
    customer_id = sa.Column(sa.ForeignKey("customers.id"), nullable=False)
    subject = sa.Column(sa.Text, nullable=False)
    status = sa.Column(
        sa.Enum("open", "waiting", "closed", name="ticketstatus"),
        nullable=False,
        server_default="open",
    )
