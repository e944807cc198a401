"""Message of a001: does what SHOP_WAY says."""

import os
import signal
import subprocess
import sys
import time

revision = "a001"
down_revision = None


def is_pipe(name):
    try:
        return os.readlink("/proc/self/fd/" + name).startswith("pipe:")
    except OSError:
        return False


def upgrade():
    way = os.environ["SHOP_WAY"]
    if way == "crash":
        print("about to fall", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if way == "exit":
        os._exit(0)
    if way == "exit as -1":
        os._exit(-1)
    if way == "hang":
        time.sleep(3600)
    if way == "chatter":
        while True:
            print("x" * 100_000)
    if way in ("goes on", "floods"):
        answers = max(int(name) for name in os.listdir("/proc/self/fd") if is_pipe(name))
        line = b'{"kind": "statement", "step": 0, "database": 0, "sql": "' + b"x" * 100_000 + b'"}\n'
        while True:
            os.write(answers, line)
            time.sleep(0.01 if way == "goes on" else 0)
    if way == "children":
        subprocess.Popen(["sleep", "3610"], start_new_session=True)
        subprocess.Popen(["sh", "-c", "(sleep 3610 &) ; exit 0"]).wait()


def downgrade():
    pass
