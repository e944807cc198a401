"""The process: requests in, answers out, nothing of it for the project."""

from __future__ import annotations

import json
import os
import resource

from .answers import Answers
from .session import Session

OPEN_FILES = 4096


def main() -> None:
    requests = os.fdopen(os.dup(0), "rb")
    answers = Answers(os.dup(1), requests)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what the project prints goes where its errors go
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    session = Session(answers)
    for line in requests:
        request = json.loads(line)
        if request["kind"] == "finish":
            break
        answers.send(getattr(session, request["kind"])(request))
    answers.send({"kind": "finished"})
    os._exit(0)  # threads that the project left behind don't hold it up


if __name__ == "__main__":
    main()
