"""What Envoy is to connect, in plain words: ports, addresses, keys and bounds.

Knows nothing of Envoy's messages; `bootstrap.py` and its neighbours turn this into them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

UNIX = "unix:"
SOCKET_PATH_BYTES_MAX = 107  # sockaddr_un.sun_path holds 108 bytes with the closing NUL


class Replica(NamedTuple):
    """One serving process: its name in logs, and its address (`unix:/path` or `ip:port`)."""

    name: str
    address: str


@dataclass(frozen=True)
class Limits:
    """Bounds of both listeners; the defaults suit one laptop."""

    request_bytes_max: int = 1 << 20
    headers_kib_max: int = 32
    connections_max: int = 1_000  # of each listener
    connections_total_max: int = 5_000
    edge_streams_max: int = 100  # of one HTTP/2 connection
    mesh_streams_max: int = 1_000  # the facade's only connection carries all its calls
    requests_per_s: int = 500
    requests_burst: int = 1_000
    headers_s: float = 10
    body_s: float = 60
    answer_s: float = 15  # of routes that do not generate
    dataset_bytes_max: int = 64 << 20
    dataset_s: float = 120  # its upload and its check
    mlflow_request_bytes_max: int = 32 << 20  # a batch of traces or metrics
    mlflow_answer_s: float = 60
    # Between two bytes of an answer. An answer that is not streamed is silent until its end, and
    # OpenAI's SDKs wait for it this long by default.
    silence_s: float = 600
    stream_s: float = 3_600
    heap_bytes_max: int = 512 << 20


@dataclass(frozen=True)
class Topology:
    """One Envoy with its listeners, and what stands behind each.

    Ports are of 127.0.0.1. `admin_address` is a `unix:/path` in a folder that only its owner may
    enter, for Envoy's admin shows the keys. `edge_clients` and `mesh_clients` map a client's name,
    as logs show it, to its key; `page_key` is what the page's cookie holds. Replicas' names differ.
    The registry, the jobs' service and MLflow are left out where their addresses are empty; MLflow
    has a listener of its own, which takes the keys of the edge.

    Either `replicas` names all there will be, or they come and go while Envoy runs: it follows the
    mesh process at `control_address`, or the files of `snapshot_dir` where that is given, too.

    Raises ValueError naming what is wrong.
    """

    edge_port: int
    mesh_port: int
    stats_port: int
    admin_address: str
    gateway_address: str
    edge_clients: Mapping[str, str] = field(repr=False)
    mesh_clients: Mapping[str, str] = field(repr=False)
    page_key: str = field(repr=False)
    replicas: tuple[Replica, ...] = ()
    control_address: str = ""
    snapshot_dir: str = ""
    registry_address: str = ""
    jobs_address: str = ""
    mlflow_address: str = ""
    mlflow_port: int = 0
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.admin_address.startswith(UNIX):
            raise ValueError(f"admin_address must be unix:/path, not {self.admin_address}")
        for clients in ({**self.edge_clients, "page": self.page_key}, self.mesh_clients):
            if not clients or not all(clients.values()):
                raise ValueError(f"each client needs a key: {', '.join(clients)}")
            if len(set(clients.values())) < len(clients):
                raise ValueError(f"clients must not share a key: {', '.join(clients)}")
        if self.is_discovered and self.replicas:
            raise ValueError("replicas must be empty where control_address or snapshot_dir is set")
        names = {one.name for one in self.replicas}
        if not self.is_discovered and (not names or len(names) < len(self.replicas)):
            raise ValueError("replicas must be at least one, and differ in name")
        if self.mlflow_address and not self.mlflow_port:
            raise ValueError("mlflow_port must be set where mlflow_address is")

    @property
    def is_discovered(self) -> bool:
        """Whether replicas come and go while Envoy runs."""
        return bool(self.control_address or self.snapshot_dir)
