"""The machine's own settings for package indexes, for the one step that installs.

uv does not read what is set for pip, and the sandbox passes neither on; on a machine that
reaches no public index nothing would install. What is set for uv itself counts more.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_PASSED = frozenset(
    {*_PROXIES, *(name.lower() for name in _PROXIES)}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
)
_PIP_KEYS = frozenset(
    {"index-url", "extra-index-url", "find-links", "no-index", "cert", "client-cert", "proxy"}
    | {"trusted-host", "timeout", "retries", "default-timeout"}
)
_UV = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)"
    r"|FIND_LINKS|NO_INDEX|INDEX_STRATEGY|KEYRING_PROVIDER|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS"
    r"|HTTP_[A-Z_]+|REQUEST_TIMEOUT|OFFLINE|PYTHON_DOWNLOADS|PYTHON_INSTALL_MIRROR"
    r"|CONCURRENT_[A-Z]+)\Z"
)
_CREDENTIALS = re.compile(r"://([^/@\s]+)@")


def pip_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where pip looks for its configuration, the one that counts most last."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return ()
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    shared = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    files = [Path(folder, "pip", "pip.conf") for folder in reversed(shared) if folder]
    files += [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user / "pip" / "pip.conf"]
    files += [Path(sys.prefix, "pip.conf")]
    return (*files, Path(named)) if named else tuple(files)


def index_variables(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, str]:
    """Return the variables by which uv and pip reach the same indexes as here."""
    pip = {key: value for file in files for key, value in _read(file)}
    for name, value in environ.items():
        key = name.removeprefix("PIP_").lower().replace("_", "-")
        if name.startswith("PIP_") and key in _PIP_KEYS and value:
            pip[key] = value
    found = {f"PIP_{key.upper().replace('-', '_')}": value for key, value in pip.items()}
    found |= {k: v for k, v in environ.items() if (k in _PASSED or _UV.match(k)) and v}
    return {**_translated(pip, found), **found}


def secrets_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the passwords and tokens among the variables, as they could be printed."""
    found: dict[str, None] = {}
    for name, value in variables.items():
        if name.startswith("UV_INDEX_") and name.endswith("_PASSWORD"):
            found[value] = None
        for credentials in _CREDENTIALS.findall(value):
            user, _, password = credentials.partition(":")
            secret = password or user
            found |= {secret: None, unquote(secret): None}
    return tuple(secret for secret in found if secret)


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return the text without secrets and without the credentials of any URL."""
    for secret in secrets:
        if len(secret) > 3:
            text = text.replace(secret, "***")
    return _CREDENTIALS.sub("://***@", text)


def _read(file: Path) -> Iterator[tuple[str, str]]:
    """Yield what a configuration says for all commands, then what it says for `install`."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return  # pip itself tells of a file that it cannot read
    for section in ("global", "install"):
        if parser.has_section(section):
            for name, value in parser.items(section):
                key = name.replace("_", "-")
                if key in _PIP_KEYS and value.strip():
                    yield key, " ".join(value.split())


def _translated(pip: Mapping[str, str], set_already: Mapping[str, str]) -> dict[str, str]:
    """Return uv's variables for pip's settings, where uv has none of its own."""
    found = {}
    if "index-url" in pip and not set_already.keys() & {"UV_DEFAULT_INDEX", "UV_INDEX_URL"}:
        found["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "extra-index-url" in pip and not set_already.keys() & {"UV_INDEX", "UV_EXTRA_INDEX_URL"}:
        found["UV_INDEX"] = pip["extra-index-url"]
        # pip takes the best version of all indexes, uv the first index that has the name.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "find-links" in pip:
        found["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        found["UV_NO_INDEX"] = "1"
    if "trusted-host" in pip:
        found["UV_INSECURE_HOST"] = pip["trusted-host"]
    if "cert" in pip:
        found["SSL_CERT_FILE"] = found["REQUESTS_CA_BUNDLE"] = pip["cert"]
    if "proxy" in pip:
        found["ALL_PROXY"] = pip["proxy"]
    return found
