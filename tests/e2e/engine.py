"""Docker as the container tests need it: is it there, build, run, remove."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = "gatekeeper:under-test"


def missing(*images: str) -> str | None:
    """Return what stops the container tests on this machine, None where nothing does."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    if docker("info", check=False).returncode != 0:
        return "the Docker engine does not answer"
    for image in images:
        if docker("image", "inspect", image, check=False).returncode != 0:
            return f"the image {image} is not on this machine (docker pull {image})"
    return None


def build_image() -> None:
    """Build the image of this checkout; unchanged layers come from the engine's cache."""
    docker("build", "--network", "host", "--tag", IMAGE, str(ROOT), seconds=600)


@contextmanager
def postgres_server(password: str = "secret") -> Iterator[str]:
    """Run PostgreSQL 17 on a port of this machine and give its URL."""
    port = free_port()
    name = f"gatekeeper-test-{uuid.uuid4().hex[:8]}"
    variables = ("--env", f"POSTGRES_PASSWORD={password}", "--env", "PGDATA=/tmp/data")
    options = ("--detach", "--rm", "--network", "host", "--name", name)
    docker("run", *options, *variables, "postgres:17", "-c", f"port={port}")
    try:
        ready = ("exec", name, "pg_isready", "-h", "127.0.0.1", "-p", str(port))
        deadline = time.monotonic() + 60
        while docker(*ready, check=False).returncode != 0:
            assert time.monotonic() < deadline, docker("logs", name).stdout
            time.sleep(0.2)
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    finally:
        docker("rm", "--force", name, check=False)


def remove_containers(prefix: str) -> None:
    """Remove the containers whose names begin so, such as those that a killed run left."""
    found = docker("ps", "--all", "--quiet", "--filter", f"name=^{prefix}").stdout.split()
    if found:
        docker("rm", "--force", *found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def docker(
    *arguments: str, check: bool = True, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["docker", *arguments], check=False, capture_output=True, text=True, timeout=seconds
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done
