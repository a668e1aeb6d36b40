"""Starts and stops a whole stack, in order, and gives what callers need to reach it.

The Python API behind `./parley up` and `./parley down`; benchmarks and tests use it with a home of
their own. Knows what must be true and in which order; the words are the narrator's.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from services.serving.cores import machine_cores
from stack import edge, keys, leftovers, plan, ports, readiness, record, supervisor_conf
from stack.down import stop_all, sweep
from stack.environment.places import ROOT
from stack.errors import Exit, StackError
from stack.home import Home
from stack.plan import Plan, Remote
from stack.ports import LOOPBACK, Ports
from stack.progress import Narrator, Silent
from stack.supervisor import Supervisor

ENGINES_SHARE = 0.5  # of the machine's memory, for all replicas' engines together
LOCK_WAIT_S = 600.0
LAUNCH_WAIT_S = 15.0
POLL_S = 0.05
SILENT = Silent()
Step = Callable[[Plan, int], None]


def nothing(planned: Plan, wave: int) -> None:
    """A step that does nothing."""


@dataclass(frozen=True)
class Running:
    """A stack that runs. `started_now` is False when it ran before it was asked for."""

    plan: Plan
    started_now: bool = False

    @property
    def base_url(self) -> str:
        """What OpenAI's SDKs take as base_url."""
        return f"{self.site}/v1"

    @property
    def site(self) -> str:
        """The edge without a path."""
        return f"http://{LOOPBACK}:{self.plan.ports.edge}"

    @property
    def api_key(self) -> str:
        """The key for clients. Secret."""
        return keys.read(self.plan.home.api_key)

    @property
    def mlflow_url(self) -> str:
        """MLflow's page, for those with the chat page's cookie or a key; empty without one here."""
        plan = self.plan
        return f"http://{LOOPBACK}:{plan.ports.mlflow}" if plan.has("mlflow") else ""

    @property
    def airflow_url(self) -> str:
        """Airflow's page, which asks for a name and a password; empty without one here."""
        plan = self.plan
        return f"http://{LOOPBACK}:{plan.ports.airflow}" if plan.has("airflow-api") else ""

    @property
    def mesh_address(self) -> str:
        """Where gRPC clients go."""
        return f"{LOOPBACK}:{self.plan.ports.mesh}"

    @property
    def s3_address(self) -> str:
        """Where our own S3 server is; empty without one here."""
        return f"{LOOPBACK}:{self.plan.ports.s3}" if self.plan.has("s3") else ""

    def page_url(self) -> str:
        """The chat page's address with a new one-time token. Secret until it is used."""
        return f"{self.site}/login?token={keys.new_login_token(self.plan.home)}"


def start(
    home: Home,
    *,
    replicas: int = 1,
    model_dir: Path | None = None,
    remote: Remote | None = None,
    ports: Ports | None = None,
    jobs: bool = False,
    progress: Narrator = SILENT,
) -> Running:
    """Starts a stack and waits until it answers; gives the running one when there is one.

    Args:
        replicas: serving processes, 1 to 16.
        model_dir: the one model to serve, without stores and registry; by default there are both,
            and the registry says what is served.
        remote: the server whose model is served in place of that, without stores as well.
        ports: loopback ports; picked when None.
        jobs: whether Airflow is started too. It is not waited for.

    Raises StackError when something fails or is interrupted; all that was started is stopped then.
    """

    def make_plan() -> Plan:
        return prepare(home, replicas, model_dir, ports, progress, jobs=jobs, remote=remote)

    def meanwhile(planned: Plan, wave: int) -> None:
        # Envoy's many messages take seconds to import: time that MLflow or replicas need anyway.
        if wave == (plan.REGISTRY if planned.has("registry") else plan.SERVING):
            edge.write_config(planned)

    def when_ready(planned: Plan, wave: int) -> None:
        if planned.has("registry"):
            from stack.stores import life

            life.after_wave(planned, wave, progress)

    return start_with(home, make_plan, progress, meanwhile=meanwhile, when_ready=when_ready)


def start_with(
    home: Home,
    make_plan: Callable[[], Plan],
    progress: Narrator = SILENT,
    *,
    meanwhile: Step = nothing,
    when_ready: Step = nothing,
) -> Running:
    """Starts what `make_plan` plans, unless a stack runs in `home` already; else as `start`.

    `make_plan` is called while the home's lock is held and its folders are there; `meanwhile` is
    called while the programs of each wave start, `when_ready` when they are ready, with its number.
    """
    home.prepare()
    with holding(home, progress):
        if running := find(home):
            return running
        mend(home, progress)
        return _start_plan(make_plan(), progress, meanwhile, when_ready)


def prepare(
    home: Home,
    replicas: int = 1,
    model_dir: Path | None = None,
    named: Ports | None = None,
    progress: Narrator = SILENT,
    *,
    jobs: bool = False,
    remote: Remote | None = None,
) -> Plan:
    """Makes the secrets and, where there are any, the stores' files; plans the stack. Starts
    nothing."""
    keys.ensure(home)
    alone = model_dir is not None or remote is not None
    picked = named or ports.pick(replicas, stores=not alone)
    build = partial(
        plan.build,
        home,
        ports=picked,
        replicas=replicas,
        model_dir=model_dir,
        chat_dir=ROOT / "chat" / "dist",
        envoy=edge.command(home),
        cores=machine_cores(),
        remote=remote,
    )
    if alone:
        return build()
    from stack.jobs import life as works
    from stack.stores import life, own  # they bring packages that no other command waits for

    mine = own.read(home)
    life.prepare(home, mine, progress)
    return build(
        backing=(
            *life.programs(home, picked, mine),
            *works.programs(home, picked, mine, jobs, progress),
        ),
        traces=life.traces(home, picked, mine),
        memory_gib=psutil.virtual_memory().total * ENGINES_SHARE / 2**30,
    )


def _start_plan(planned: Plan, progress: Narrator, meanwhile: Step, when_ready: Step) -> Running:
    """Starts exactly this plan, wave by wave; stops all of it again when one part fails."""
    supervisor = Supervisor(planned.home)
    keys.write_private(planned.home.supervisor_config, supervisor_conf.render(planned))
    record.write(planned, record.STARTING)
    try:
        _launch(supervisor)
        for wave in planned.waves():
            began = time.monotonic()
            for program in wave:
                supervisor.start(program.name)
            meanwhile(planned, wave[0].wave)
            for program in (one for one in wave if one.awaited):
                readiness.wait(planned, program, supervisor, progress)
                progress.done(program.name, f"ready in {time.monotonic() - began:.1f} s")
            when_ready(planned, wave[0].wave)
    except BaseException:
        progress.note("Stopping what was started.")
        stop_all(planned, SILENT)
        raise
    record.write(planned, record.RUNNING)
    return Running(planned, started_now=True)


def find(home: Home) -> Running | None:
    """The stack that runs in `home`, if one was started whole and its supervisord answers."""
    found = record.read(home)
    if found and found.phase == record.RUNNING and Supervisor(home).answers():
        return Running(found.plan)
    return None


def require(home: Home) -> Running:
    """The stack that runs in `home`. Raises StackError (exit code 3) when there is none."""
    if running := find(home):
        return running
    if leftovers.find(home):
        raise StackError(
            "Parley is being started, or what supervises it has ended.",
            mend="Wait for the start, or begin anew with: ./parley up",
            code=Exit.NOT_RUNNING,
        )
    raise StackError(
        "Parley is not running.", mend="Start it with: ./parley up", code=Exit.NOT_RUNNING
    )


def mend(home: Home, progress: Narrator = SILENT) -> None:
    """Clears away what an earlier stack left: a half start, a crash, a reboot."""
    if leftovers.find(home):
        progress.note("Clearing away processes of an earlier start.")
        found = record.read(home)
        if found and Supervisor(home).answers():
            stop_all(found.plan, SILENT)
    sweep(home)


def stop(home: Home, progress: Narrator = SILENT) -> bool:
    """Drains and stops the stack of `home`, in reverse order. Whether there was one. Idempotent."""
    if not home.path.is_dir():
        return False
    with holding(home, progress):
        found = record.read(home)
        if found and Supervisor(home).answers():
            stop_all(found.plan, progress)
            return True
        return sweep(home) > 0


@contextmanager
def holding(home: Home, progress: Narrator) -> Iterator[None]:
    """Holds the home's lock, so that starts and stops come one after another.

    Raises StackError after ten minutes of waiting.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    home.lock.touch(mode=0o600)
    with home.lock.open("a") as file:
        if not _try_lock(file.fileno()):
            progress.note("Another up, down or scale is under way here; waiting for it.")
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise StackError("Another up, down or scale has held on for ten minutes.")
            time.sleep(POLL_S)
        yield


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _launch(supervisor: Supervisor) -> None:
    supervisor.launch()
    deadline = time.monotonic() + LAUNCH_WAIT_S
    while not supervisor.answers():
        if time.monotonic() > deadline:
            raise StackError(f"supervisord did not answer within {LAUNCH_WAIT_S:.0f} s.")
        time.sleep(POLL_S)
