"""What is taken of a checkout's `.env` files."""

from __future__ import annotations

from gatekeeper.probe.examples import read_examples


def test_nothing_is_taken_where_nothing_is(tmp_path):
    assert read_examples([tmp_path], tmp_path) == {}


def test_real_values_come_first_and_secrets_are_left_alone(tmp_path):
    (tmp_path / ".env").write_text(
        "STAGE=dev\nSECRET_KEY=real\nBROKER=amqp://u:p@h\nEMPTY=\nSITE=https://h\n"
    )
    (tmp_path / ".env.example").write_text(
        "\ufeff# Copy it.\nexport STAGE=prod\nSECRET_KEY='change me'\nEMPTY=\"\"\n"
        "QUOTED='a b' # c\nHOME_OF=${HOME}\n1BAD=x\nNO_VALUE\n"
    )
    assert read_examples([tmp_path], tmp_path) == {
        "STAGE": "dev",
        "SITE": "https://h",
        "SECRET_KEY": "change me",
        "QUOTED": "a b",
        "HOME_OF": "${HOME}",
    }


def test_a_link_out_of_the_checkout_is_left_alone(tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (tmp_path / "outside").write_text("TOKEN=mine\n")
    (checkout / ".env.example").symlink_to(tmp_path / "outside")
    (checkout / ".env.sample").write_bytes(b"STAGE=d\xff\n")
    assert read_examples([checkout], checkout) == {"STAGE": "d\ufffd"}


def test_the_nearer_folder_comes_first(tmp_path):
    near = tmp_path / "backend"
    near.mkdir()
    (near / ".env.example").write_text("STAGE=near\n")
    (tmp_path / ".env.example").write_text("STAGE=far\nREGION=far\n")
    assert read_examples([near, tmp_path], tmp_path) == {"STAGE": "near", "REGION": "far"}
