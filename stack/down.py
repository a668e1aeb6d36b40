"""Stops a stack in reverse order, within bounds, and leaves nothing behind."""

import time

from stack import edge, leftovers
from stack.home import Home
from stack.plan import Plan, Program
from stack.progress import Narrator
from stack.supervisor import ENDED, Supervisor

SHUTDOWN_WAIT_S = 10.0
KILL_MARGIN_S = 3.0
POLL_S = 0.05


def stop_all(plan: Plan, progress: Narrator) -> None:
    """Drains and stops every program of `plan`, then supervisord, then sweeps.

    Interrupted, it kills what is left at once and passes the interrupt on.
    """
    try:
        _stop_in_order(plan, Supervisor(plan.home), progress)
    except OSError:
        pass  # supervisord is gone already: the sweep ends what it left
    except BaseException:
        leftovers.end(plan.home, at_once=True)
        raise
    finally:
        sweep(plan.home)


def sweep(home: Home) -> int:
    """Ends what still runs for `home` and removes what exists only while it runs.

    Gives how many processes there were.
    """
    ended = leftovers.end(home)
    # What the mesh told Envoy last holds for as long as its replicas run.
    for folder in {home.run, home.sockets, home.mesh_files}:
        for path in folder.glob("*") if folder.is_dir() else ():
            path.unlink(missing_ok=True)
    if home.sockets != home.run and home.sockets.is_dir():
        home.sockets.rmdir()
    return ended


def _stop_in_order(plan: Plan, supervisor: Supervisor, progress: Narrator) -> None:
    for wave in reversed(plan.waves()):
        began = time.monotonic()
        for program in wave:
            if program.drain_socket:
                edge.drain(program, progress)
            supervisor.stop(program.name)
        for program in wave:
            _await_end(program, supervisor, progress)
            progress.done(program.name, f"stopped in {time.monotonic() - began:.1f} s")
    supervisor.shutdown()
    deadline = time.monotonic() + SHUTDOWN_WAIT_S
    while supervisor.answers() and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _await_end(program: Program, supervisor: Supervisor, progress: Narrator) -> None:
    deadline = time.monotonic() + program.stop_within_s + KILL_MARGIN_S
    while supervisor.processes()[program.name].state not in ENDED:
        if time.monotonic() > deadline:
            return
        progress.doing(program.name, "stopping")
        time.sleep(POLL_S)
