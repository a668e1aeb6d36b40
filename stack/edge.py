"""Makes Envoy's configuration for a plan, with the keys in it, and asks a running Envoy to drain.

The routes and limits are services/mesh's; here its topology is filled from the plan.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stack import keys
from stack.home import Home
from stack.plan import DRAIN_S, ENVOY_ADMIN, MESH, Plan, Program
from stack.progress import Narrator

if TYPE_CHECKING:
    import httpx

UNIX = "unix:"
ACTIVE = "http.edge.downstream_rq_active"
ANSWER_WITHIN_S = 2.0
POLL_S = 0.1


def write_config(plan: Plan) -> None:
    """Writes Envoy's two bootstraps for `plan`, for this user alone: they hold keys."""
    from services.mesh.bootstrap import build_bootstrap
    from services.mesh.topology import Topology

    home = plan.home
    clients = {"api": keys.read(home.api_key)}
    clients |= {name: keys.read(path) for name, path in keys.clients(home).items()}
    topology = Topology(
        edge_port=plan.ports.edge,
        mesh_port=plan.ports.mesh,
        stats_port=plan.ports.stats,
        admin_address=f"{UNIX}{home.socket(ENVOY_ADMIN)}",
        gateway_address=f"{UNIX}{home.socket('gateway')}",
        control_address=f"{UNIX}{home.socket(MESH)}",
        edge_clients=clients,
        mesh_clients={**clients, "gateway": keys.read(home.mesh_key)},
        page_key=keys.read(home.page_key),
        registry_address=f"{UNIX}{home.socket('registry')}" if plan.has("registry") else "",
        jobs_address=f"{UNIX}{home.socket('jobs')}" if plan.has("jobs") else "",
        mlflow_address=f"{UNIX}{home.socket('mlflow')}" if plan.has("mlflow") else "",
        mlflow_port=plan.ports.mlflow,
    )
    keys.write_private(home.envoy_config, build_bootstrap(topology))
    by_files = dataclasses.replace(topology, snapshot_dir=str(home.mesh_files))
    keys.write_private(home.envoy_files_config, build_bootstrap(by_files))


def command(home: Home) -> list[str]:
    """The command that runs Envoy: it follows the mesh, or its files where the mesh is away."""
    options = {
        "--mesh": f"{UNIX}{home.socket(MESH)}",
        "--config": str(home.envoy_config),
        "--files-config": str(home.envoy_files_config),
        "--files": str(home.mesh_files),
        "--drain-s": f"{DRAIN_S:.0f}",
    }
    flat = (word for pair in options.items() for word in pair)
    return [sys.executable, "-m", "services.mesh.launcher", *flat]


def drain(program: Program, narrator: Narrator) -> None:
    """Has Envoy take no more connections, and waits, within the bound, for requests under way.

    Does nothing when Envoy does not answer.
    """
    if not Path(program.drain_socket).exists():
        return
    import httpx

    deadline = time.monotonic() + program.drain_within_s
    transport = httpx.HTTPTransport(uds=program.drain_socket)
    client = httpx.Client(transport=transport, timeout=ANSWER_WITHIN_S, base_url="http://localhost")
    with client:
        try:
            client.post("/drain_listeners")
            while (active := _active(client)) and time.monotonic() < deadline:
                narrator.doing(program.name, f"draining, {active} under way")
                time.sleep(POLL_S)
        except httpx.HTTPError:
            return


def _active(client: "httpx.Client") -> int:
    """Requests under way at the edge."""
    said = client.get("/stats", params={"filter": f"^{ACTIVE}$"}).text
    return int(said.split(":")[1]) if ":" in said else 0
