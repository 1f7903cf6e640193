"""A terminal of a width of one's own, as a pseudo-terminal: what a command shows on it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("dask-distill")
# colours, cursor and whatever else is no text
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def shown(*words, columns=80, code=0, env=None):
    """The text that a command shows on standard output and error, without control sequences."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    around = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    around |= {"TERM": "xterm-256color", "DASK_DISTILL__LOCAL__WORKERS": "2"} | (env or {})
    process = subprocess.Popen(
        [str(PROGRAM), *map(str, words)],
        stdin=writer,
        stdout=writer,
        stderr=writer,
        env=around,
        start_new_session=True,
    )
    os.close(writer)
    parts = []
    while True:
        try:
            data = os.read(reader, 65_536)
        except OSError:  # Linux's end of a terminal that nobody writes to
            break
        if not data:
            break
        parts.append(data)
    os.close(reader)
    text = b"".join(parts).decode()
    assert process.wait(60) == code, text
    return CONTROL.sub("", text.replace("\r\n", "\n"))


def widest(text):
    """Columns of the longest line that was ever shown; a bar that is drawn again starts anew."""
    return max(map(len, re.split(r"[\r\n]", text)))
