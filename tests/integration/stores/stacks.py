"""A stack of stores alone, under a real supervisord: no registry, no replica, no Envoy."""

import contextlib
import os
import signal
from pathlib import Path

import psycopg

from stack import keys, ports, status, up
from stack.home import Home
from stack.plan import Plan
from stack.stores import credentials, life, own, probes, where
from stack.supervisor import Supervisor
from stack.up import Running
from tests.integration.stack.stacks import wait_until

QUICK = ("postgres", "s3")
ALL = ("postgres", "s3", "mlflow")


def start(home: Home, names: tuple[str, ...] = QUICK) -> Running:
    """Starts the named stores, as `./parley up` does."""

    def make_plan() -> Plan:
        keys.ensure(home)
        mine = own.read(home)
        picked = ports.pick(1, stores=True)
        life.prepare(home, mine, up.SILENT)
        programs = life.programs(home, picked, mine)
        return Plan(home, picked, None, tuple(one for one in programs if one.name in names))

    def when_ready(planned: Plan, wave: int) -> None:
        life.after_wave(planned, wave, up.SILENT)

    return up.start_with(home, make_plan, when_ready=when_ready)


def pid_of(home: Home, name: str) -> int:
    """The process id of a program, 0 while it has none."""
    return Supervisor(home).processes()[name].pid


def kill(running: Running, name: str) -> None:
    """Kill -9 of one store; comes back when it answers again."""
    home = running.plan.home
    old = pid_of(home, name)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: pid_of(home, name) not in (0, old), f"a new {name}", 60)
    wait_until(lambda: all(one.healthy for one in status.look(running.plan)), "all answer", 120)


@contextlib.contextmanager
def database(home: Home, role: str = "parley_app", name: str = "parley_db"):
    """A connection to one of the databases, as its owner."""
    info = where.conninfo(where.our_uri(home, role, name))
    with psycopg.connect(info, connect_timeout=5) as connection:
        yield connection


def objects(running: Running):
    """A client of the object store."""
    home = running.plan.home
    stores = where.find(home, running.plan.ports, own.read(home))
    return probes.s3_client(stores.s3_endpoint, Path(stores.s3_credentials_file), 5)


def secrets_of(home: Home) -> list[str]:
    """Every secret of a home's stores, as it must appear nowhere."""
    passwords = [credentials.password(home, role) for role in credentials.ROLES]
    return [*passwords, credentials.read_s3(home.s3_credentials)[1]]
