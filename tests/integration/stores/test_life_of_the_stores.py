"""PostgreSQL and the object store through starts, stops, kills and interrupts."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import suppress

import psutil
import psycopg
import pytest

from stack import leftovers, up
from stack.environment.places import ROOT
from stack.errors import Exit, StackError
from stack.stores import credentials, life, own, postgres, s3
from tests.integration.stack.stacks import wait_until
from tests.integration.stack.test_command_line import run_in

from .stacks import database, kill, objects, secrets_of, start

MAKE_A_CLUSTER = """
import sys
from pathlib import Path
from stack import up
from stack.home import Home
from stack.stores import life, own
home = Home(Path(sys.argv[1]))
life.prepare(home, own.read(home), up.SILENT)
"""


def write_something(running):
    """A row and an object."""
    with database(running.plan.home) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('hello')")
    objects(running).put_object("parley", "kept/word", io.BytesIO(b"hello"), 5)


def read_something(running):
    """The row's and the object's word."""
    with database(running.plan.home) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    return row[0], objects(running).get_object("parley", "kept/word").read().decode()


def test_what_is_written_is_there_after_a_second_start(home):
    """Data and secrets stay; nothing is made twice."""
    first = start(home)
    write_something(first)
    before = secrets_of(home)
    assert up.stop(home)
    assert leftovers.find(home) == []
    assert list(home.run.iterdir()) == []
    second = start(home)
    assert second.started_now
    assert read_something(second) == ("hello", "hello")
    assert secrets_of(home) == before


def test_killed_stores_come_back_with_their_data(home):
    """kill -9 of either is mended without anyone's help, and loses nothing that was answered."""
    running = start(home)
    write_something(running)
    for name in ("postgres", "s3"):
        kill(running, name)
        assert read_something(running) == ("hello", "hello")


def test_a_stop_of_postgresql_is_clean(home):
    """It needs no recovery afterwards, even when a client holds on."""
    start(home)
    with pytest.raises(psycopg.OperationalError), database(home) as connection:
        assert up.stop(home)
        connection.execute("SELECT 1")
    log = home.log("postgres").read_text()
    assert "received fast shutdown request" in log
    assert log.rstrip().endswith("database system is shut down")


def test_a_kill_while_the_cluster_is_made_leaves_none_or_a_whole_one(home):
    """The next start makes it anew, and works."""
    process = subprocess.Popen([sys.executable, "-c", MAKE_A_CLUSTER, home.path], cwd=ROOT)
    part = home.data / "postgres.part"
    wait_until(lambda: part.joinpath("base").exists(), "initdb at work")
    # The one that waits for initdb first: it would clean up after it.
    process.kill()
    process.wait(10)
    for one in leftovers.find(home):
        with suppress(psutil.NoSuchProcess):  # some end with those before them
            one.kill()
    assert not postgres.data_folder(home).exists()
    start(home)
    with database(home) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not part.exists()


def test_a_kill_while_databases_are_made_is_mended(home):
    """What is missing is made by the next start, with the passwords that the secrets hold."""
    start(home)
    admin = {"role": "parley", "name": "postgres"}
    with database(home, **admin) as connection:
        connection.autocommit = True
        connection.execute("DROP DATABASE mlflow_db")
        connection.execute("DROP ROLE mlflow")
        connection.execute("ALTER ROLE airflow PASSWORD 'another'")
    up.stop(home)
    start(home)
    for name, role in postgres.DATABASES.items():
        with database(home, role, name) as connection:
            connection.execute("CREATE TABLE mine ()")


def test_a_pid_file_that_names_another_program_does_not_keep_it_from_starting(home):
    """After a reboot a server's old process id belongs to somebody else."""
    start(home)
    up.stop(home)
    pid_file = postgres.data_folder(home) / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{postgres.data_folder(home)}\n0\n5432\n\n\n0 0\n")
    assert start(home).started_now


def test_a_role_sees_its_own_database_only(home):
    """Airflow's password opens nothing of the registry's."""
    start(home)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        database(home, "airflow", "parley_db").__enter__()


def test_stores_of_the_user_are_used_and_not_started(home, tmp_path):
    """A second home takes the first one's stores by address, with the password in a file."""
    first = start(home)
    password = credentials.password(home, "parley_app")
    uri = f"postgresql://parley_app:{password}@/parley_db?host={home.sockets}&port=5432"
    other = type(home)(tmp_path / "other")
    other.prepare()
    other.own_stores.write_text(
        f'[postgres]\nuri_parley = "{uri}"\n'
        f'[s3]\nendpoint = "http://127.0.0.1:{first.plan.ports.s3}"\nbucket = "parley"\n'
        f'credentials_file = "{home.s3_credentials}"\n'
        f'[mlflow]\nuri = "http://127.0.0.1:1"\n'
    )
    other.own_stores.chmod(0o600)
    mine = own.read(other)
    (registry,) = life.programs(other, first.plan.ports, mine)
    credentials.ensure(other, mine)
    told = registry.environment["PARLEY_REGISTRY_DATABASE_URI"]
    assert password not in repr(registry)
    with psycopg.connect(told.replace("+psycopg", ""), connect_timeout=5) as connection:
        assert connection.info.user == "parley_app"
    with pytest.raises(StackError, match="MLflow does not answer"):
        life.prepare(other, mine, up.SILENT)
    assert not postgres.data_folder(other).exists()
    assert not s3.data_folder(other).exists()


def test_the_bucket_is_made_again_where_it_is_gone(home):
    """A start mends what is missing."""
    start(home)
    up.stop(home)
    shutil.rmtree(s3.data_folder(home))
    assert objects(start(home)).bucket_exists("parley")


@pytest.mark.parametrize(
    ("arguments", "user"),
    [
        (["-Atc", "SELECT current_user"], "parley_app"),
        (["mlflow_db", "-Atc", "SELECT current_user"], "mlflow"),
        (["postgres", "-Atc", "SELECT current_user"], "parley"),
    ],
)
def test_psql_signs_in_as_the_owner(running, arguments, user):
    """Without being asked for a password."""
    run = run_in(running.plan.home, "psql", *arguments)
    assert (run.stdout, run.stderr) == (f"{user}\n", "")


def test_psql_on_an_unknown_database_names_those_that_there_are(running):
    """And ends as wrong usage does."""
    run = run_in(running.plan.home, "psql", "nowhere")
    assert run.returncode == Exit.USAGE
    assert "parley_db, mlflow_db, airflow_db" in run.stderr
