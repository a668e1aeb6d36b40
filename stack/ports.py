"""Picks loopback ports: the usual ones, or the next free ones where those are taken.

A port that was picked is opened seconds later, by another process: until this one ends, no other
Parley picks it.
"""

import dataclasses
import socket
from collections.abc import Collection
from dataclasses import dataclass

import psutil

from stack.errors import StackError

LOOPBACK = "127.0.0.1"
EDGE, MESH, STATS, GATEWAY_METRICS, SERVING_METRICS = 8080, 8081, 8082, 8083, 8084
REGISTRY_METRICS, MLFLOW, S3, JOBS_METRICS, AIRFLOW = 8100, 5000, 9000, 8101, 8793
MESH_METRICS = 8102
TRIES_MAX = 500
# An abstract unix socket: names of one network namespace, as ports are; gone with its process.
CLAIM = "\0parley-port-{}"
_claims: dict[int, int] = {}


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one stack; `serving_metrics` has one per replica.

    Those from `registry_metrics` to `airflow` are 0 in a stack without stores.
    """

    edge: int
    mesh: int
    stats: int
    gateway_metrics: int
    serving_metrics: tuple[int, ...]
    registry_metrics: int = 0
    mlflow: int = 0
    s3: int = 0
    jobs_metrics: int = 0
    airflow: int = 0
    mesh_metrics: int = 0

    def all(self) -> tuple[int, ...]:
        """Every port, each once."""
        named = (self.registry_metrics, self.mlflow, self.s3, self.jobs_metrics, self.airflow)
        rest = (port for port in (*named, self.mesh_metrics) if port)
        metrics = (self.gateway_metrics, *self.serving_metrics)
        return (self.edge, self.mesh, self.stats, *metrics, *rest)


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that linger after a close do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def next_free(wanted: int, taken: Collection[int] = ()) -> int:
    """The first free port from `wanted` upwards that is not in `taken`.

    Raises StackError after 500 tries.
    """
    for port in range(wanted, min(wanted + TRIES_MAX, 65536)):
        if port not in taken and is_free(port) and _claim(port):
            return port
    raise StackError(f"No port from {wanted} on is free.", mend="Name one with: ./parley up --port")


def _claim(port: int) -> bool:
    """Keeps a port for this process; False where another Parley is about to open it."""
    if port in _claims:
        return True
    with socket.socket(socket.AF_UNIX) as sign:
        try:
            sign.bind(CLAIM.format(port))
        except OSError:
            return False
        _claims[port] = sign.detach()
    return True


def pick(replicas: int, edge: int | None = None, *, stores: bool = False) -> Ports:
    """Ports for a stack of `replicas`, with `stores` or without. A named `edge` port is that one or
    a StackError."""
    if edge is not None and not is_free(edge):
        by = holder(edge)
        raise StackError(
            f"Port {edge} is taken{by}." if by else f"Port {edge} cannot be opened by this user.",
            mend="Name another one, or leave --port away to get the next free one.",
        )
    taken = [edge or next_free(EDGE)]
    wanted = (MESH, STATS, GATEWAY_METRICS, *range(SERVING_METRICS, SERVING_METRICS + replicas))
    for port in wanted:
        taken.append(next_free(port, taken))
    picked = Ports(taken[0], taken[1], taken[2], taken[3], tuple(taken[4:]))
    more = {"mesh_metrics": MESH_METRICS}
    if stores:
        more |= {
            "registry_metrics": REGISTRY_METRICS,
            "mlflow": MLFLOW,
            "s3": S3,
            "jobs_metrics": JOBS_METRICS,
            "airflow": AIRFLOW,
        }
    found = {}
    for name, port in more.items():
        found[name] = next_free(port, taken)
        taken.append(found[name])
    return dataclasses.replace(picked, **found)


def holder(port: int) -> str:
    """Who listens on `port`, as " by NAME (process PID)"; empty where that cannot be seen."""
    try:
        for found in psutil.net_connections("tcp"):
            if found.laddr and found.laddr.port == port and found.pid:
                return f" by {psutil.Process(found.pid).name()} (process {found.pid})"
    except psutil.Error:
        return ""
    return ""
