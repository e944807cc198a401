"""Addresses that are asked whether all is well, or that are told of a deploy."""

from __future__ import annotations

import time
from dataclasses import dataclass

import requests
from urllib3.exceptions import LocationParseError

_SECONDS = 10
_BODY_AT_MOST = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What an address answered; of a long text only the beginning."""

    status: int
    text: str


class Unanswered(Exception):
    """An address that gave no answer. It does not say which: the address may be a secret."""


def ask(url: str, *, follow: bool = True) -> Answer:
    """Return the answer to a GET, with `follow` that of the address it is sent on to."""
    return _send("GET", url, None, follow)


def post(url: str, document: str) -> Answer:
    """Return the answer to a POST of a JSON document."""
    return _send("POST", url, document, follow=False)


def _send(method: str, url: str, document: str | None, follow: bool) -> Answer:
    headers = {"User-Agent": "gatekeeper", "Cache-Control": "no-cache"}
    if document is not None:
        headers["Content-Type"] = "application/json"
    deadline = time.monotonic() + _SECONDS
    try:
        with requests.request(
            method,
            url,
            data=None if document is None else document.encode(),
            headers=headers,
            timeout=_SECONDS,
            allow_redirects=follow,
            stream=True,
        ) as response:
            body = b""
            for chunk in response.iter_content(4096):
                body += chunk
                if len(body) >= _BODY_AT_MOST or time.monotonic() > deadline:
                    break
            return Answer(response.status_code, body[:_BODY_AT_MOST].decode("utf-8", "replace"))
    except (requests.RequestException, LocationParseError) as error:
        # The words of the library, and of the one below that parses, repeat the address.
        raise Unanswered(_why(error)) from None


def _why(error: requests.RequestException | LocationParseError) -> str:
    if isinstance(error, requests.Timeout):
        return f"did not answer within {_SECONDS} seconds"
    if isinstance(error, requests.exceptions.SSLError):
        return "shows a certificate that cannot be trusted"
    if isinstance(error, requests.TooManyRedirects):
        return "sends in circles"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    if isinstance(error, ValueError):
        return "is no address that can be asked"
    return "broke off its answer"
