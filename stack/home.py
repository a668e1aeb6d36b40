"""The state folder: where secrets, models, sockets and logs of one running Parley live.

Knows paths and permissions; knows nothing of what is written there.
"""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

STARTER = "parley-starter"
OTHERS = 0o077
# sun_path holds 107 bytes; supervisord binds <socket>.<pid> first and renames it.
SOCKET_BYTES_MAX = 100
LONGEST_SOCKET = "supervisor.sock.4194304"


@dataclass(frozen=True)
class Home:
    """One state folder; every stack has its own. `path` is absolute."""

    path: Path

    @classmethod
    def find(cls) -> "Home":
        """PARLEY_HOME, else $XDG_STATE_HOME/parley, else ~/.local/state/parley."""
        if named := os.environ.get("PARLEY_HOME"):
            return cls(Path(named).expanduser().absolute())
        xdg = os.environ.get("XDG_STATE_HOME", "")
        state = Path(xdg) if xdg.startswith("/") else Path.home() / ".local" / "state"
        return cls(state / "parley")

    @property
    def secrets(self) -> Path:
        """Keys and passwords, one file each."""
        return self.path / "secrets"

    @property
    def api_key(self) -> Path:
        """What clients show to the edge."""
        return self.secrets / "api_key"

    @property
    def page_key(self) -> Path:
        """What the chat page's cookie holds."""
        return self.secrets / "page_key"

    @property
    def mesh_key(self) -> Path:
        """What the facade shows to the mesh listener."""
        return self.secrets / "mesh_key"

    @property
    def pgpass(self) -> Path:
        """Passwords of our own PostgreSQL, as libpq reads them."""
        return self.secrets / "pgpass"

    @property
    def own_pgpass(self) -> Path:
        """Passwords of the user's PostgreSQL, as libpq reads them."""
        return self.secrets / "pgpass_own"

    @property
    def s3_credentials(self) -> Path:
        """Keys of our own object store, as the AWS SDKs read them."""
        return self.secrets / "s3_credentials"

    @property
    def own_stores(self) -> Path:
        """The user's file that names their own stores: parley.toml."""
        return self.path / "parley.toml"

    @property
    def data(self) -> Path:
        """What the stores keep."""
        return self.path / "data"

    @property
    def imports(self) -> Path:
        """Where the registry works on what it imports."""
        return self.data / "imports"

    @property
    def serving_cache(self) -> Path:
        """Model files that replicas fetched, by digest."""
        return self.data / "serving-cache"

    @property
    def airflow(self) -> Path:
        """Airflow's own folder."""
        return self.data / "airflow"

    @property
    def airflow_config(self) -> Path:
        """Airflow's settings. They hold secrets."""
        return self.secrets / "airflow.cfg"

    @property
    def airflow_passwords(self) -> Path:
        """Passwords of Airflow's users, as it reads them."""
        return self.secrets / "airflow_passwords.json"

    @property
    def airflow_admin(self) -> Path:
        """The password of the person who enters Airflow's page."""
        return self.secrets / "airflow_admin"

    @property
    def airflow_service(self) -> Path:
        """The password by which the jobs' service enters Airflow."""
        return self.secrets / "airflow_service"

    @property
    def airflow_jwt(self) -> Path:
        """What Airflow signs its tokens with."""
        return self.secrets / "airflow_jwt"

    @property
    def airflow_api(self) -> Path:
        """What Airflow's API server signs with."""
        return self.secrets / "airflow_api"

    @property
    def airflow_fernet(self) -> Path:
        """What Airflow encrypts its connections with."""
        return self.secrets / "airflow_fernet"

    @property
    def jobs(self) -> Path:
        """One folder for each job: what its tasks work on, and what came of them."""
        return self.data / "jobs"

    @property
    def wandb(self) -> Path:
        """What Weights & Biases writes."""
        return self.data / "wandb"

    @property
    def clients(self) -> Path:
        """More API keys: one file for each client, by the client's name."""
        return self.secrets / "clients"

    @property
    def login_tokens(self) -> Path:
        """One empty file per unused one-time token, named by its SHA-256."""
        return self.path / "login-tokens"

    @property
    def starter_model(self) -> Path:
        """The model made on first use."""
        return self.path / "models" / STARTER

    @property
    def run(self) -> Path:
        """What exists only while Parley runs."""
        return self.path / "run"

    @property
    def record(self) -> Path:
        """What runs, and where: stack.json."""
        return self.run / "stack.json"

    @property
    def envoy_config(self) -> Path:
        """Envoy's bootstrap, by which it follows the mesh. It holds keys."""
        return self.run / "envoy.json"

    @property
    def envoy_files_config(self) -> Path:
        """Envoy's bootstrap for when the mesh is away: it follows `mesh_files`. It holds keys."""
        return self.run / "envoy-files.json"

    @property
    def mesh_files(self) -> Path:
        """What the mesh told Envoy last."""
        return self.path / "mesh"

    @property
    def supervisor_config(self) -> Path:
        """supervisord's configuration. It holds no secret."""
        return self.run / "supervisord.conf"

    @property
    def lock(self) -> Path:
        """Held while the stack is started or stopped."""
        return self.path / "lock"

    @property
    def logs(self) -> Path:
        """One log per service."""
        return self.path / "logs"

    @property
    def sockets(self) -> Path:
        """Where unix sockets go: `run`, or a short private folder where that path is too long."""
        if len(os.fsencode(self.run / LONGEST_SOCKET)) <= SOCKET_BYTES_MAX:
            return self.run
        mark = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]
        return Path(tempfile.gettempdir()) / f"parley-{os.getuid()}-{mark}"

    def socket(self, service: str) -> Path:
        """The unix socket of a service."""
        return self.sockets / f"{service}.sock"

    def log(self, service: str) -> Path:
        """The log of a service."""
        return self.logs / f"{service}.log"

    def prepare(self) -> None:
        """Makes the folders, for this user alone. Safe to repeat.

        Raises StackError with the mend when one of them is open to others or is not ours.
        """
        private_folder(self.path)
        for folder in (self.secrets, self.login_tokens, self.path / "models", self.run, self.logs):
            private_folder(folder)
        for folder in (self.data, self.mesh_files):
            private_folder(folder)
        private_folder(self.sockets)


def private_folder(path: Path) -> None:
    """Makes `path` a folder for this user alone, or refuses one that is not."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise StackError(f"{path} is a file; Parley needs a folder there.") from None
    except OSError as error:
        raise StackError(
            f"{path} cannot be made: {error.strerror}.",
            mend="Set PARLEY_HOME to a folder that this user may write.",
        ) from None
    if not any(path.iterdir()) and path.stat().st_uid == os.getuid():
        path.chmod(0o700)
    check_private(path)


def check_private(path: Path) -> None:
    """Raises StackError with the mend when `path` is not this user's alone."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid():
        raise StackError(
            f"{path} is a link, or another user's.",
            mend="Move it away, or set PARLEY_HOME to a folder of your own.",
        )
    if found.st_mode & OTHERS:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise StackError(
            f"{path} is open to other users, and it guards secrets.",
            mend=f"Close it with: chmod {mode} {path}",
        )
