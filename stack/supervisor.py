"""Starts supervisord and speaks with it over its unix socket. Knows no order and no readiness."""

import http.client
import os
import socket
import subprocess
import sys
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.environment.places import ROOT
from stack.errors import StackError
from stack.home import Home

MARK = "PARLEY_STACK_HOME"
CALL_TIMEOUT_S = 10.0
LAUNCH_TIMEOUT_S = 30.0
# What a program inherits from the shell; all else it is told in its own settings.
PASSED_ON = ("HOME", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
ENDED = {"STOPPED", "EXITED", "FATAL"}


@dataclass(frozen=True)
class Process:
    """What supervisord knows of one program. `started_at` is in seconds since 1970."""

    name: str
    state: str
    pid: int
    started_at: int
    words: str


class Supervisor:
    """The supervisord of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def answers(self) -> bool:
        """Whether it runs and answers."""
        try:
            return bool(self._call("getState"))
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def launch(self) -> None:
        """Starts it in the background, with nothing started yet.

        Raises StackError with its own words when it does not come up.
        """
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord"]
        run = subprocess.run(
            [*command, "-c", self._home.supervisor_config],
            cwd=self._home.run,
            env=environment(self._home),
            umask=0o077,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LAUNCH_TIMEOUT_S,
            check=False,
        )
        if run.returncode != 0:
            said = (run.stdout + run.stderr).splitlines()
            raise StackError("supervisord did not start.", evidence=said[-6:])

    def processes(self) -> dict[str, Process]:
        """Every program by name. Raises OSError when supervisord does not answer."""
        return {
            info["name"]: Process(
                info["name"], info["statename"], info["pid"], info["start"], info["description"]
            )
            for info in self._call("getAllProcessInfo")
        }

    def start(self, name: str) -> None:
        """Starts a program and returns at once. One that runs already is left alone."""
        self._change(name, "started", "startProcess", False, unless="ALREADY_STARTED")

    def stop(self, name: str) -> None:
        """Asks a program to stop and returns at once. One that does not run is left alone."""
        self._change(name, "stopped", "stopProcess", False, unless="NOT_RUNNING")

    def reread(self) -> None:
        """Has it read its configuration again. No program is started, stopped or changed by that.

        Raises StackError with its words when it cannot.
        """
        try:
            self._call("reloadConfig")
        except xmlrpc.client.Fault as fault:
            words = f"supervisord cannot read its configuration: {fault.faultString}."
            raise StackError(words) from None

    def add(self, name: str) -> None:
        """Takes a program of the configuration in, stopped. One that it has is left alone."""
        self._change(name, "added", "addProcessGroup", unless="ALREADY_ADDED")

    def remove(self, name: str) -> None:
        """Forgets a program that has ended. One that it does not have is left alone."""
        self._change(name, "removed", "removeProcessGroup", unless="BAD_NAME")

    def shutdown(self) -> None:
        """Asks supervisord itself to end; programs that still run are stopped by it."""
        try:
            self._call("shutdown")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return

    def _change(self, name: str, verb: str, method: str, *rest: object, unless: str) -> None:
        """Has something done with a program; the fault that says that it is so already is none."""
        try:
            self._call(method, name, *rest)
        except xmlrpc.client.Fault as fault:
            if unless not in fault.faultString:
                raise StackError(f"{name} could not be {verb}: {fault.faultString}.") from None

    def _call(self, method: str, *arguments: object) -> Any:
        """One call over a connection of its own, so that a new supervisord is found, too."""
        transport = _UnixTransport(self._home.socket("supervisor"))
        with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def environment(home: Home) -> dict[str, str]:
    """The minimal environment of supervisord and, through it, of every program.

    The mark tells processes of this home from all others, even when nothing else is left of it.
    """
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **passed,
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        MARK: str(home.path),
    }


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a deadline on each read and write."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        """The connection, remembered so that the base class closes it."""
        self._connection = host, _UnixConnection(self._path)
        return self._connection[1]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CALL_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
