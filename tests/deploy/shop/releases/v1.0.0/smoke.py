"""The shop answers: an order is placed, found again, and taken back."""

import os
import sys

import models
import sqlalchemy as sa
from sqlalchemy.orm import Session

if os.environ.get("SHOP_IS_BROKEN"):
    sys.exit("an order cannot be placed")
engine = sa.create_engine(os.environ["DATABASE_URL"])
with Session(engine) as session:
    customer = models.Customer(name="smoke")
    session.add(customer)
    session.flush()
    session.add(models.Order(reference="smoke", customer_id=customer.id, total=1))
    session.flush()
    order = session.scalars(sa.select(models.Order).filter_by(reference="smoke")).one()
    assert order.total == 1
    session.rollback()
sys.stdout.write("an order can be placed\n")
