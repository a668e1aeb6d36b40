"""`mesh`: replicas, where requests go, and what each proxy has taken of it."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from stack import up
from stack.commands.options import AsJson
from stack.home import Home
from stack.words import ago, out, print_json, print_rows, say

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from parley.mesh.v1 import mesh_pb2 as pb

WATCH_S = 1.0
DIGITS = 12
CLEAR = "\x1b[H\x1b[2J"


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("mesh")(show_mesh)


def show_mesh(
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it; Ctrl-C ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the mesh: its replicas, where requests go, and how far each proxy has followed.

    \b
    Examples:
      ./parley mesh
      ./parley mesh --watch
      ./parley mesh --json
    """
    from stack import mesh_view
    from stack.plain import plain

    home = Home.find()
    up.require(home)
    with mesh_view.connect(home) as mesh:
        while True:
            found = mesh.look()
            if watch and out.is_terminal and not as_json:
                out.file.write(CLEAR)
            print_json(plain(found)) if as_json else _show(found)
            if not watch:
                return
            time.sleep(WATCH_S)


def _show(mesh: "pb.GetMeshResponse") -> None:
    say(f"Snapshot {mesh.snapshot[:DIGITS] or 'none yet'}, {_ago(mesh.snapshot_time)}")
    if mesh.detail:
        say(mesh.detail)
    out.print()
    _show_replicas(mesh)
    if mesh.models:
        out.print()
        _show_models(mesh)
    out.print()
    _show_proxies(mesh)


def _show_replicas(mesh: "pb.GetMeshResponse") -> None:
    rows = [
        (
            one.report.name,
            "left" if one.left else _state(one.report.state),
            _ago(one.report_time),
            str(sum(version.running for version in one.report.versions)),
            str(sum(version.waiting for version in one.report.versions)),
            ", ".join(map(_version, one.report.versions)),
            one.left or one.report.address,
        )
        for one in mesh.replicas
    ]
    print_rows(("REPLICA", "STATE", "HEARD", "RUNNING", "WAITING", "VERSIONS", "ADDRESS"), rows)


def _version(version: "pb.VersionReport") -> str:
    words = f"{version.model}@{version.version[:DIGITS]} {_phase(version.phase)}"
    return f"{words} ({version.detail})" if version.detail else words


def _show_models(mesh: "pb.GetMeshResponse") -> None:
    rows = [
        (
            model.model,
            version.version[:DIGITS],
            f"{version.weight} %",
            f"{version.effective_weight} %",
            ", ".join(version.replicas),
            ", ".join(version.aliases),
        )
        for model in mesh.models
        for version in model.versions
    ]
    print_rows(("MODEL", "VERSION", "WEIGHT", "NOW", "READY IN", "ALIASES"), rows)


def _show_proxies(mesh: "pb.GetMeshResponse") -> None:
    rows = [
        (
            proxy.name,
            "connected" if proxy.connected else "away",
            one.kind,
            _follows(one),
            one.refusal,
        )
        for proxy in mesh.proxies
        for one in proxy.resources
    ]
    print_rows(("PROXY", "", "KIND", "TAKEN", "REFUSED"), rows)


def _follows(one: "pb.ResourceStatus") -> str:
    if not one.acknowledged:
        return "nothing yet"
    words = f"{one.acknowledged[:DIGITS]}, {_ago(one.acknowledge_time)}"
    return words if one.sent in ("", one.acknowledged) else f"{words}; {one.sent[:DIGITS]} was sent"


def _ago(stamp: "Timestamp") -> str:
    if not stamp.seconds:
        return "never"
    return f"{ago(max(0.0, time.time() - stamp.ToNanoseconds() / 1e9))} ago"


def _state(number: int) -> str:
    from parley.mesh.v1 import mesh_pb2 as pb

    return pb.ReplicaState.Name(number).removeprefix("REPLICA_STATE_").lower()


def _phase(number: int) -> str:
    from parley.mesh.v1 import mesh_pb2 as pb

    return pb.VersionPhase.Name(number).removeprefix("VERSION_PHASE_").lower()
