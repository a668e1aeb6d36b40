"""Runs real S3 servers on loopback, each with a bucket, keys and a folder of its own."""

import http.client
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.objects import s3_credentials
from stack import ports

BUCKET = "parley"
READY_S = 30
# Below those that the kernel gives away: a server that starts again finds its own free.
FIRST_PORT = 22000
STOP_S = 10


@dataclass
class Program:
    """How to run one kind of server: `{port}` and `{data}` are put in; keys go by environment."""

    name: str
    path: str
    arguments: Sequence[str]
    access_env: str
    secret_env: str

    def environment(self, keys: s3_credentials.S3Credentials, home: Path) -> Mapping[str, str]:
        """All that the program sees of the world."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            self.access_env: keys.access_key,
            self.secret_env: keys.secret_key,
        }


class Rclone(Program):
    """rclone takes both keys in one variable."""

    def environment(self, keys: s3_credentials.S3Credentials, home: Path) -> Mapping[str, str]:
        """All that the program sees of the world."""
        pair = f'"{keys.access_key},{keys.secret_key}"'
        return {"PATH": "/usr/bin:/bin", "HOME": str(home), "RCLONE_AUTH_KEY": pair}


def rclone(path: str) -> Program:
    """The server that Parley brings along."""
    at = ["serve", "s3", "--addr", "127.0.0.1:{port}", "{data}"]
    return Rclone("rclone", path, at, "", "")


def minio(path: str) -> Program:
    """MinIO on one folder."""
    at = ["server", "--quiet", "--address", "127.0.0.1:{port}", "{data}"]
    return Program("minio", path, at, "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")


def versitygw(path: str) -> Program:
    """The Versity gateway on one folder; objects' properties lie beside it, in files."""
    at = ["--port", "127.0.0.1:{port}", "posix", "--sidecar", "{side}", "{data}"]
    return Program("versitygw", path, at, "ROOT_ACCESS_KEY", "ROOT_SECRET_KEY")


@dataclass
class Server:
    """One server that can be stopped and started again on the same port and folder."""

    program: Program
    home: Path
    port: int
    keys: s3_credentials.S3Credentials
    process: subprocess.Popen | None = field(default=None)

    @classmethod
    def new(cls, program: Program, home: Path) -> "Server":
        """A server that is not started yet."""
        for name in ("data", "side"):
            (home / name).mkdir(parents=True)
        port = ports.next_free(FIRST_PORT)
        keys = s3_credentials.S3Credentials(secrets.token_hex(10), secrets.token_hex(20))
        server = cls(program, home, port, keys)
        server.credentials_file.touch(mode=0o600)
        server.credentials_file.write_text(
            "[default]\n"
            f"aws_access_key_id = {keys.access_key}\n"
            f"aws_secret_access_key = {keys.secret_key}\n"
        )
        return server

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def credentials_file(self) -> Path:
        return self.home / "credentials"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        told = {"port": self.port, "data": self.data, "side": self.home / "side"}
        arguments = [part.format(**told) for part in self.program.arguments]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program.path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.program.environment(self.keys, self.home)),
            )
        end = time.monotonic() + READY_S
        while not self._answers():
            alive = self.process.poll() is None and time.monotonic() < end
            assert alive, (self.home / "log").read_text()
            time.sleep(0.02)

    def pause(self) -> None:
        """Keeps the server from answering, though it still listens."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends a pause."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stops the server, if it runs."""
        if self.process:
            with suppress(ProcessLookupError):
                self.go_on()
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
            self.process = None

    def remove(self) -> None:
        """Stops the server and removes all it stored."""
        self.stop()
        shutil.rmtree(self.home)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
