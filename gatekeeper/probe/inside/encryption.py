"""How a connection is encrypted, in the words of each driver."""

from __future__ import annotations

import functools
import os
import ssl
import tempfile
from typing import Any

# libpq's parameters that name a file; "system" is no file's name.
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# Without a promise: a driver does by itself what it can.
UNVERIFIED = (None, "disable", "allow", "prefer")


def encrypted(parameters: dict[str, Any], driver: str, target: dict[str, Any]) -> None:
    """Give a driver's parameters what the target says of encryption."""
    mode = target["sslmode"]
    if driver.startswith("psycopg"):
        if mode is not None:
            parameters["sslmode"] = mode
        parameters.update(_with_files(tuple(sorted(target["tls"].items()))))
    elif driver == "pg8000":
        if mode not in UNVERIFIED:
            parameters["ssl_context"] = context_of(target)
    elif mode is not None:
        parameters["ssl"] = mode if mode in UNVERIFIED else context_of(target)


def context_of(target: dict[str, Any]) -> ssl.SSLContext:
    """Return what libpq would verify, for drivers that are not built on it."""
    told = _with_files(tuple(sorted(target["tls"].items())))
    root = told.get("sslrootcert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = target["sslmode"] == "verify-full" or root == "system"
    if root == "system":
        context.load_default_certs()
    elif root is not None:
        context.load_verify_locations(root)
    elif target["sslmode"] == "require":
        context.verify_mode = ssl.CERT_NONE
    if "sslcrl" in told:
        context.load_verify_locations(told["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if "sslcert" in told:
        key, password = told.get("sslkey"), told.get("sslpassword")
        context.load_cert_chain(told["sslcert"], key, password)
    return context


@functools.lru_cache(maxsize=None)  # `functools.cache` came with Python 3.9
def _with_files(told: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the parameters with files of their texts, which only this account may read."""
    folder = tempfile.mkdtemp()
    parameters = dict(told)
    for name in FILES:
        if parameters.get(name, "system") != "system":
            path = os.path.join(folder, name)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(parameters[name])
            parameters[name] = path
    return parameters
