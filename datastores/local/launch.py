"""Two small programs that start a server so that it cannot outlive its parent, however the parent dies."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

# Becomes the server after it has asked Linux to send SIGTERM when the parent dies. The parent may have died before it
# asked, so it looks once more.
DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
parent, pid_file, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(parent):
    sys.exit("the parent is gone")
with open(pid_file, "w") as file:
    file.write(str(os.getpid()))
try:
    os.execv(command[0], command)
except OSError as error:
    print(error.strerror, file=sys.stderr)
    sys.exit(127)
"""

# Where the system has no such signal, this stays between the two: it ends the server when the pipe from the parent
# closes, and passes on a SIGTERM.
WATCH_PARENT: Final = """
import signal, subprocess, sys, threading
_, pid_file, *command = sys.argv[1:]
try:
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
except OSError as error:
    print(error.strerror, file=sys.stderr)
    sys.exit(127)
with open(pid_file, "w") as file:
    file.write(str(server.pid))
def end(*_):
    server.terminate()
def watch():
    sys.stdin.buffer.read()
    end()
signal.signal(signal.SIGTERM, end)
threading.Thread(target=watch, daemon=True).start()
status = server.wait()
sys.exit(status if status >= 0 else 128 - status)
"""


async def launch(command: Sequence[str], *, pid_file: Path, output: int, inherit: int) -> asyncio.subprocess.Process:
    """Start `command`; its process id is in `pid_file` as soon as it runs. The descriptor `inherit` is passed on.

    It ends by 127 where the program cannot be run, and by 128 plus the signal's number, or minus that number, where a
    signal ended it.
    """
    code = DIE_WITH_PARENT if sys.platform == "linux" else WATCH_PARENT
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-ISc", code, str(os.getpid()), str(pid_file), *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=output,
        pass_fds=(inherit,),
        # Ctrl-C reaches the whole foreground group; the server must outlive its requests.
        start_new_session=True,
    )
