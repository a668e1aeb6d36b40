"""Stands for the engine's process: speaks its protocol and does what its configuration says.

Run as the real one is: `python scripted_worker.py FD CONFIG-JSON`.
"""

import json
import os
import socket
import sys
import time
from typing import Any, TextIO

Send = Any


def echo(commands: TextIO, send: Send) -> None:
    """Answers each sequence with one token, as long as it is told to."""
    send("ready", 0.001)
    for line in commands:
        kind, number, *_ = json.loads(line)
        if kind == "add":
            send("step", [[number, [7], [], "length"]], 0, 0.0, 0, 0)


def exit_at_once(commands: TextIO, send: Send) -> None:
    """Never comes to be ready."""


def die_at_first(commands: TextIO, send: Send) -> None:
    """Dies of the first sequence."""
    send("ready", 0.001)
    commands.readline()


def preempt(commands: TextIO, send: Send) -> None:
    """Says that sequences wait and began again, and dies of the second one."""
    send("ready", 0.001)
    _, number, *_ = json.loads(commands.readline())
    send("step", [[number, [7], [], ""]], 1, 0.5, 2, 3)
    commands.readline()


def die_at_second_format(commands: TextIO, send: Send) -> None:
    """Takes one format, and dies of the next."""
    send("ready", 0.001)
    formats = 0
    for line in commands:
        _, number, _, options, _ = json.loads(line)
        formats += "grammar" in options
        if formats == 2:
            return
        send("step", [[number, [7], [], ""]], 1, 0.0, 0, 0)


def babble(commands: TextIO, send: Send) -> None:
    """Says what is no message."""
    send("ready", 0.001)
    commands.readline()
    os.write(commands.fileno(), b"this is no JSON\n")
    time.sleep(60)


def say_nothing(commands: TextIO, send: Send) -> None:
    """Takes sequences and does nothing with them."""
    send("ready", 0.001)
    time.sleep(60)


def flood(commands: TextIO, send: Send) -> None:
    """Answers the first sequence with many steps, faster than anyone reads."""
    send("ready", 0.001)
    _, number, *_ = json.loads(commands.readline())
    for token in range(20_000):
        send("step", [[number, [token], [], "length" if token == 19_999 else ""]], 1, 0.5, 0, 0)
    commands.readline()


def refuse(commands: TextIO, send: Send) -> None:
    """Refuses each sequence."""
    send("ready", 0.001)
    for line in commands:
        send("refused", json.loads(line)[1], "no")


def lose(commands: TextIO, send: Send) -> None:
    """Begins each sequence, and cannot go on with it."""
    send("ready", 0.001)
    for line in commands:
        number = json.loads(line)[1]
        send("step", [[number, [7], [], ""]], 1, 0.0, 0, 0)
        send("lost", number, "no")


def main() -> None:
    """Speaks over the descriptor given."""
    connection = socket.socket(fileno=int(sys.argv[1]))

    def send(*message: Any) -> None:
        connection.sendall(json.dumps(message).encode() + b"\n")

    globals()[json.loads(sys.argv[2])["do"]](connection.makefile(), send)


if __name__ == "__main__":
    main()
