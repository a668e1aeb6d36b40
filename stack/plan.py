"""What runs where: programs, their settings, their order, and how to tell that they are ready.

Pure: builds a frozen `Plan` and turns it to JSON and back. Starts nothing, reads no file.
"""

import dataclasses
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from stack.home import Home
from stack.ports import LOOPBACK, Ports

REPLICA = "serving-"  # and its number
DRAIN_S = 20.0
STOP_MARGIN_S = 5.0  # for what a drain does before and after it waits
REPLICAS_MAX = 16
ENVOY_ADMIN = "envoy-admin"
CORES = "PARLEY_SERVING_CORES"
REMOTE_SETTINGS = "PARLEY_SERVING_REMOTE_"
MESH = "mesh"
NO_TRACES: Mapping[str, str] = MappingProxyType({})
# Waves. The first two and the last are empty where one folder is served.
STORES, REGISTRY, SERVING, GATEWAY, EDGE, JOBS = range(6)


@dataclass(frozen=True)
class Probe:
    """One sign of readiness.

    Args:
        kind: "grpc" asks health v1 at `target`; "http" wants a 200 from the URL `target`;
            "postgres" asks one query of the connection `target`; "s3" wants the bucket
            `target` (endpoint/bucket) to be there.
        socket: for "http", the unix socket to go through; empty for TCP.
        key_file: for "http", the file whose key goes along as a bearer; for "s3", the file of the
            keys; empty for none.
        part: for "http", the member of the JSON answer whose status must be healthy; empty for
            none.
        waiting: what the program is at while it answers nothing good yet.
    """

    kind: Literal["grpc", "http", "postgres", "s3"]
    target: str
    socket: str = ""
    key_file: str = ""
    part: str = ""
    waiting: str = "starting"


@dataclass(frozen=True)
class Program:
    """One supervised process. Those of a lower `wave` are ready before the next wave starts.

    Args:
        ready_within_s: how long `up` waits for all `probes`.
        stop_within_s: how long it has from its stop signal on, before it is killed.
        stop_signal: what asks it to end, without "SIG".
        awaited: whether `up` waits until it is ready.
        drain_socket: Envoy's admin socket, through which it is drained before it is stopped.
    """

    name: str
    wave: int
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    ready_within_s: float = 60.0
    stop_within_s: float = 10.0
    stop_signal: Literal["TERM", "INT"] = "TERM"
    awaited: bool = True
    drain_socket: str = ""
    drain_within_s: float = 0.0


@dataclass(frozen=True)
class Remote:
    """A server with OpenAI's HTTP interface.

    `model` is its model's name there, empty for the only one; `kind` is what it is, empty where it
    says so itself.
    """

    url: str
    key_file: Path | None = None
    model: str = ""
    kind: str = ""

    def environment(self) -> dict[str, str]:
        """What a replica before it is told."""
        told = {
            "URL": self.url,
            "KEY_FILE": str(self.key_file or ""),
            "MODEL": self.model,
            "KIND": self.kind,
        }
        return {f"{REMOTE_SETTINGS}{name}": value for name, value in told.items() if value}


@dataclass(frozen=True)
class Plan:
    """One whole stack on this machine.

    `model_dir` is the one folder that it serves, or None where that is up to a registry or to
    another server.
    """

    home: Home
    ports: Ports
    model_dir: Path | None
    programs: tuple[Program, ...]

    def waves(self) -> list[list[Program]]:
        """Programs in order of starting, those that start together in one list."""
        numbers = sorted({program.wave for program in self.programs})
        return [[p for p in self.programs if p.wave == number] for number in numbers]

    def program(self, name: str) -> Program:
        """The program of that name. Raises KeyError."""
        for program in self.programs:
            if program.name == name:
                return program
        raise KeyError(name)

    def has(self, name: str) -> bool:
        """Whether there is a program of that name."""
        return any(program.name == name for program in self.programs)

    def replicas(self) -> list[str]:
        """Names of the serving replicas."""
        return [p.name for p in self.programs if p.name.startswith(REPLICA)]

    def with_program(self, program: Program) -> Self:
        """The same plan with the program of that name replaced."""
        self.program(program.name)
        programs = tuple(program if p.name == program.name else p for p in self.programs)
        return dataclasses.replace(self, programs=programs)

    def with_more(self, replicas: Sequence[Program]) -> Self:
        """The same plan with more replicas, behind those that there are."""
        last = self.programs.index(self.program(self.replicas()[-1]))
        programs = (*self.programs[: last + 1], *replicas, *self.programs[last + 1 :])
        return dataclasses.replace(self, programs=programs)

    def without_last(self) -> Self:
        """The same plan without its last replica and that one's port."""
        gone = self.replicas()[-1]
        programs = tuple(p for p in self.programs if p.name != gone)
        metrics = self.ports.serving_metrics[:-1]
        ports = dataclasses.replace(self.ports, serving_metrics=metrics)
        return dataclasses.replace(self, programs=programs, ports=ports)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        plain = dataclasses.asdict(self)
        return {**plain, "home": str(self.home.path), "model_dir": str(self.model_dir or "")}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Plan":
        """The plan that `to_json` wrote. Raises KeyError or TypeError on anything else."""
        ports = dict(values["ports"])
        ports["serving_metrics"] = tuple(ports["serving_metrics"])
        return cls(
            home=Home(Path(values["home"])),
            ports=Ports(**ports),
            model_dir=Path(values["model_dir"]) if values["model_dir"] else None,
            programs=tuple(_program(program) for program in values["programs"]),
        )


def build(
    home: Home,
    *,
    ports: Ports,
    replicas: int,
    model_dir: Path | None,
    chat_dir: Path,
    envoy: Sequence[str],
    backing: Sequence[Program] = (),
    traces: Mapping[str, str] = NO_TRACES,
    memory_gib: float = 0,
    cores: float = 0,
    remote: Remote | None = None,
) -> Plan:
    """Plans the mesh and `replicas` of serving, then the gateway, then Envoy (`envoy` is its
    command).

    They serve `model_dir`, or what `remote` does; without either what the registry says, which is
    one of `backing`: the stores and the registry. `memory_gib` is for all engines together, 0 for
    no bound but a replica's own; `cores` are the machine's, which several replicas share alike,
    0 to have each count on all. `traces` is what the gateway is told of where spans go.
    """
    share_gib = memory_gib / replicas
    share_cores = cores_each(cores, replicas)
    serving = [
        _serving(home, ports, index, model_dir, share_gib, share_cores) for index in range(replicas)
    ]
    if remote:
        serving = [_before(program, remote.environment()) for program in serving]
    gateway = _gateway(home, ports, chat_dir, traces)
    edge = _envoy(home, ports, envoy)
    mesh = _mesh(home, ports, {program.name for program in backing})
    plan = Plan(home, ports, model_dir, (*backing, mesh, *serving, gateway, edge))
    if not plan.has("mlflow"):
        return plan
    page = f"http://{LOOPBACK}:{ports.mlflow}/health"
    probes = (*edge.probes, Probe("http", page, key_file=str(home.api_key)))
    return plan.with_program(dataclasses.replace(edge, probes=probes))


def cores_each(cores: float, engines: int) -> float:
    """How many of the machine's cores each of so many engines is told to count on; 0, for all of
    them, where it is alone."""
    return cores / engines if engines > 1 else 0


def _mesh(home: Home, ports: Ports, backing: Collection[str]) -> Program:
    """What replicas join and Envoy follows. It starts with the replicas, who wait for nobody."""
    address = f"unix:{home.socket(MESH)}"
    told = {
        "ADDRESS": address,
        "METRICS_PORT": str(ports.mesh_metrics),
        "SNAPSHOT_DIR": str(home.mesh_files),
        "REGISTRY_ADDRESS": f"unix:{home.socket('registry')}" if "registry" in backing else "",
        "JOBS": "true" if "jobs" in backing else "",
        # What follows it goes on without it.
        "DRAIN_S": "1",
        "HEALTH_INTERVAL_S": "0",
    }
    return Program(
        name=MESH,
        wave=SERVING,
        command=(sys.executable, "-m", "services.mesh"),
        environment={f"PARLEY_MESH_{name}": value for name, value in told.items() if value},
        probes=(Probe("grpc", address),),
    )


def _serving(
    home: Home,
    ports: Ports,
    index: int,
    model_dir: Path | None,
    memory_gib: float,
    cores: float,
) -> Program:
    name = f"serving-{index}"
    address = f"unix:{home.socket(name)}"
    follow = {
        "PARLEY_SERVING_REGISTRY_ADDRESS": f"unix:{home.socket('registry')}",
        # A folder of its own: a replica locks the files that it relies on.
        "PARLEY_SERVING_CACHE_DIR": str(home.serving_cache / name),
        "PARLEY_SERVING_MEMORY_GIB": f"{memory_gib:.2f}",
    }
    return Program(
        name=name,
        wave=SERVING,
        command=(sys.executable, "-m", "services.serving"),
        environment={
            "PARLEY_SERVING_ADDRESS": address,
            "PARLEY_SERVING_METRICS_PORT": str(ports.serving_metrics[index]),
            "PARLEY_SERVING_DRAIN_S": str(DRAIN_S),
            "PARLEY_SERVING_NAME": name,
            "PARLEY_SERVING_MESH_ADDRESS": f"unix:{home.socket(MESH)}",
            **({CORES: f"{cores:.2f}"} if cores else {}),
            **({"PARLEY_SERVING_MODEL_DIR": str(model_dir)} if model_dir else follow),
        },
        probes=(Probe("grpc", address, waiting="loading the model"),),
        ready_within_s=180,
        stop_within_s=DRAIN_S + STOP_MARGIN_S,
    )


def _before(program: Program, told: Mapping[str, str]) -> Program:
    """The replica in front of another server, in place of whatever it was to serve; `told` says
    which server."""
    own = ("REGISTRY_ADDRESS", "CACHE_DIR", "MEMORY_GIB", "CORES")
    kept = {
        name: value
        for name, value in program.environment.items()
        if name.removeprefix("PARLEY_SERVING_") not in own
    }
    address = program.probes[0].target
    return dataclasses.replace(
        program,
        environment={**kept, **told},
        probes=(Probe("grpc", address, waiting="waiting for the server behind it"),),
    )


def replica(plan: Plan, index: int, memory_gib: float) -> Program:
    """One more replica for `plan`, whose ports have one for it, of the same source as the others.

    `memory_gib` is its share. It counts on as many cores as the others do: an engine's results
    differ in their last bits by its threads, and an answer that moves should not.
    """
    first = plan.program(plan.replicas()[0]).environment
    cores = float(first.get(CORES, 0))
    made = _serving(plan.home, plan.ports, index, plan.model_dir, memory_gib, cores)
    told = {name: value for name, value in first.items() if name.startswith(REMOTE_SETTINGS)}
    return _before(made, told) if told else made


def _gateway(home: Home, ports: Ports, chat_dir: Path, traces: Mapping[str, str]) -> Program:
    socket = home.socket("gateway")
    return Program(
        name="gateway",
        wave=GATEWAY,
        command=(sys.executable, "-m", "gateway"),
        environment={
            "PARLEY_GATEWAY_ADDRESS": f"unix:{socket}",
            "PARLEY_GATEWAY_MESH_ADDRESS": f"{LOOPBACK}:{ports.mesh}",
            "PARLEY_GATEWAY_MESH_KEY_FILE": str(home.mesh_key),
            "PARLEY_GATEWAY_PAGE_KEY_FILE": str(home.page_key),
            "PARLEY_GATEWAY_LOGIN_TOKENS_DIR": str(home.login_tokens),
            "PARLEY_GATEWAY_CHAT_DIR": str(chat_dir),
            "PARLEY_GATEWAY_METRICS_PORT": str(ports.gateway_metrics),
            "PARLEY_GATEWAY_DRAIN_S": str(DRAIN_S),
            **traces,
        },
        probes=(Probe("http", "http://localhost/healthz", socket=str(socket)),),
        stop_within_s=DRAIN_S + STOP_MARGIN_S,
    )


def _envoy(home: Home, ports: Ports, command: Sequence[str]) -> Program:
    edge = f"http://{LOOPBACK}:{ports.edge}"
    return Program(
        name="envoy",
        wave=EDGE,
        command=tuple(command),
        probes=(
            Probe("http", "http://localhost/ready", socket=str(home.socket(ENVOY_ADMIN))),
            Probe("http", f"{edge}/v1/models", key_file=str(home.api_key)),
        ),
        drain_socket=str(home.socket(ENVOY_ADMIN)),
        drain_within_s=DRAIN_S,
    )


def _program(values: dict[str, Any]) -> Program:
    probes = tuple(Probe(**probe) for probe in values["probes"])
    return Program(**{**values, "command": tuple(values["command"]), "probes": probes})
