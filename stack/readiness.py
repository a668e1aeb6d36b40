"""Tells whether a program is ready by asking it, as its callers will, within a bound."""

import http.client
import json
import socket
import time
from pathlib import Path

from stack import keys
from stack.errors import StackError
from stack.logs import telling_lines
from stack.plan import Plan, Probe, Program
from stack.progress import Narrator
from stack.supervisor import ENDED, Process, Supervisor

POLL_S = 0.05
ANSWER_WITHIN_S = 5.0
STARTING = "starting"
HEALTHY = "healthy"
SILENT = "has given no sign of life for a while: see its log"
UNTOLD = "not told of"


def wait(plan: Plan, program: Program, supervisor: Supervisor, narrator: Narrator) -> None:
    """Waits until `program` is ready.

    Raises StackError with the last lines of its log when it ends, restarts, or is not ready within
    its bound.
    """
    deadline = time.monotonic() + program.ready_within_s
    first_pid = 0
    while True:
        process = supervisor.processes()[program.name]
        first_pid = first_pid or process.pid
        if _has_ended(process, first_pid):
            raise _failure(plan, program, f"{program.name} ended while starting")
        waiting = next((words for p in program.probes if (words := ask(p))), "")
        if not waiting:
            return
        if time.monotonic() > deadline:
            seconds = f"within {program.ready_within_s:.0f} s"
            raise _failure(plan, program, f"{program.name} was not ready {seconds} ({waiting})")
        narrator.doing(program.name, waiting or "starting")
        time.sleep(POLL_S)


def ask(probe: Probe, timeout_s: float = ANSWER_WITHIN_S) -> str:
    """Empty when the probe finds the program ready, else what it is still at."""
    if probe.kind == "postgres":
        from stack.stores.probes import ask_postgres

        return ask_postgres(probe.target, timeout_s)
    if probe.kind == "s3":
        from stack.stores.probes import ask_s3

        return ask_s3(probe.target, probe.key_file, timeout_s)
    return _ask_health(probe, timeout_s) if probe.kind == "grpc" else _ask_http(probe, timeout_s)


def listens(path: str) -> bool:
    """Whether somebody listens on a unix socket; a killed program leaves its own behind."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(ANSWER_WITHIN_S)
        try:
            one.connect(path)
        except OSError:
            return False
    return True


def _has_ended(process: Process, first_pid: int) -> bool:
    restarted = first_pid != 0 and process.pid not in (0, first_pid)
    return restarted or process.state in ENDED | {"BACKOFF", "UNKNOWN"}


def _failure(plan: Plan, program: Program, what: str) -> StackError:
    log = plan.home.log(program.name)
    return StackError(
        f"{what}.",
        evidence=telling_lines(log),
        mend=f"Whole log: {log}\nFind the cause with: ./parley doctor",
    )


def _ask_health(probe: Probe, timeout_s: float) -> str:
    path = probe.target.removeprefix("unix:")
    if path != probe.target and not Path(path).exists():
        return STARTING
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    # A channel of its own each time: a shared one would wait longer after each refusal.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(probe.target, options) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return STARTING
    return "" if answer.status == answer.SERVING else probe.waiting


def _ask_http(probe: Probe, timeout_s: float) -> str:
    if probe.socket and not listens(probe.socket):
        return probe.waiting
    import httpx

    headers = {}
    if probe.key_file:
        headers["authorization"] = f"Bearer {keys.read(Path(probe.key_file))}"
    transport = httpx.HTTPTransport(uds=probe.socket or None)
    try:
        with httpx.Client(transport=transport, trust_env=False) as client:
            answer = client.get(probe.target, headers=headers, timeout=timeout_s)
    except httpx.HTTPError:
        return probe.waiting
    if answer.status_code != http.client.OK:
        return f"answers {answer.status_code}"
    return _ask_part(answer.content, probe.part) if probe.part else ""


def _ask_part(body: bytes, part: str) -> str:
    """What one part of a program is at, as another one tells of it."""
    try:
        status = json.loads(body)[part]["status"]
    except (ValueError, KeyError, TypeError):
        return UNTOLD
    return "" if status == HEALTHY else SILENT
