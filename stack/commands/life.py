"""`up`, `scale` and `down`: the life of the stack."""

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stack import logs, ports, scaling, up
from stack.commands.options import AsJson
from stack.errors import Exit, StackError
from stack.home import Home
from stack.plan import REPLICAS_MAX, Remote
from stack.progress import Narrator, Silent
from stack.scaling import Scaled
from stack.up import Running
from stack.words import Teller, out, print_json, talk, tilde

FIRST_LINES = 0


class Without(StrEnum):
    """What `up` can leave out."""

    JOBS = "jobs"


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("up")(start)
    app.command("scale")(scale)
    app.command("down")(stop)


def start(
    replicas: Annotated[
        int | None,
        typer.Option(min=1, max=REPLICAS_MAX, help="Serving replicas; 1 by default."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the edge; by default 8080 or the next free."),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, show all logs, and stop all on Ctrl-C.")
    ] = False,
    without: Annotated[
        list[Without] | None,
        typer.Option(help="Leave a part out: jobs, which is Airflow and takes 1 GB of memory."),
    ] = None,
    remote: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Serve only the model of this server with OpenAI's HTTP interface."
        ),
    ] = "",
    remote_key_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="File of that server's key, mode 0600."),
    ] = None,
    remote_model: Annotated[
        str, typer.Option(help="What that server calls the model; its only one by default.")
    ] = "",
    remote_kind: Annotated[
        str,
        typer.Option(help="What it is where its models do not say so: openai or transformers."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Start everything, and show where it is.

    The first time it makes the starter model, in less than two minutes. When Parley runs already,
    nothing changes, and a new address of the chat page is shown; what cannot be had without a
    change is refused.

    \b
    Examples:
      ./parley up
      ./parley up --replicas 2
      ./parley up --port 9000 --foreground
      ./parley up --without jobs
      ./parley up --remote http://127.0.0.1:8000
    """
    there = _remote(remote, remote_key_file, remote_model, remote_kind)
    home = Home.find()
    home.prepare()
    jobs = Without.JOBS not in (without or ())
    running = up.find(home)
    if running:
        _refuse_change(running, replicas, port, there, jobs=jobs)
    else:
        teller = Silent() if as_json else Teller()
        jobs = jobs and there is None
        running = _start(home, replicas or 1, port, jobs, there, teller)
    if as_json:
        print_json(describe(running))
    else:
        _show(running)
    if foreground:
        _stay(running)


def scale(
    replicas: Annotated[
        int, typer.Argument(min=1, max=REPLICAS_MAX, help="How many serving replicas shall run.")
    ],
    as_json: AsJson = False,
) -> None:
    """Add serving replicas while Parley runs, or take some away.

    Nothing else is restarted. New ones take traffic once they are ready; those that go end their
    answers first. Interrupted, it can be run again.

    \b
    Examples:
      ./parley scale 3
      ./parley scale 1
    """
    with closing(Silent() if as_json else Teller()) as teller:
        scaled = scaling.scale(Home.find(), replicas, teller)
    if as_json:
        print_json(
            {
                "replicas": scaled.plan.replicas(),
                "added": list(scaled.added),
                "removed": list(scaled.removed),
                "memory_gib": scaled.memory_gib,
            }
        )
    else:
        _tell_scaled(scaled)


def stop(as_json: AsJson = False) -> None:
    """Let running answers end, then stop everything.

    \b
    Examples:
      ./parley down
    """
    with closing(Silent() if as_json else Teller()) as teller:
        stopped = up.stop(Home.find(), teller)
    if as_json:
        print_json({"stopped": stopped})
    else:
        talk.print("Parley has stopped." if stopped else "Parley was not running.")


def describe(running: Running) -> dict[str, Any]:
    """Where the running stack is, for programs. Holds a one-time token."""
    plan = running.plan
    return {
        "state": "running",
        "started_now": running.started_now,
        "page_url": running.page_url(),
        "base_url": running.base_url,
        "api_key_file": str(plan.home.api_key),
        "mesh_address": running.mesh_address,
        "mlflow_url": running.mlflow_url,
        "airflow_url": running.airflow_url,
        "replicas": len(plan.replicas()),
        "home": str(plan.home.path),
    }


def _remote(url: str, key_file: Path | None, model: str, kind: str) -> Remote | None:
    if not url and (key_file or model or kind):
        raise typer.BadParameter("the other --remote options need a --remote")
    return Remote(url, key_file.resolve() if key_file else None, model, kind) if url else None


def _start(
    home: Home,
    replicas: int,
    port: int | None,
    jobs: bool,
    remote: Remote | None,
    teller: Narrator,
) -> Running:
    picked = ports.pick(replicas, port, stores=remote is None) if port else None
    if isinstance(teller, Teller):
        talk.print("Starting Parley")
    with closing(teller):
        return up.start(
            home, replicas=replicas, remote=remote, ports=picked, jobs=jobs, progress=teller
        )


def _tell_scaled(scaled: Scaled) -> None:
    count = _replicas(len(scaled.plan.replicas()))
    if not scaled.added and not scaled.removed:
        out.print(f"Parley runs with {count} already.")
        return
    out.print(f"Parley runs with {count} now.")
    if scaled.added and scaled.memory_gib:
        share_gib = scaled.memory_gib[scaled.added[-1]]
        out.print(
            f"A new one's engines may take {share_gib:.1f} GiB; the others keep their bound until "
            "Parley is started again."
        )


def _replicas(count: int) -> str:
    return f"{count} replica{'s' if count > 1 else ''}"


def _refuse_change(
    running: Running,
    replicas: int | None,
    port: int | None,
    remote: Remote | None,
    *,
    jobs: bool = True,
) -> None:
    """A running stack is never changed in passing."""
    if running.airflow_url and not jobs:
        raise StackError(
            "Parley runs already, with jobs.",
            mend="Leave them out with: ./parley down && ./parley up --without jobs",
        )
    have = len(running.plan.replicas())
    asked = []
    if replicas not in (None, have):
        asked.append(f"--replicas {replicas}")
    if port not in (None, running.plan.ports.edge):
        asked.append(f"--port {port}")
    first = running.plan.program(running.plan.replicas()[0])
    if remote is not None and not remote.environment().items() <= first.environment.items():
        asked.append(f"--remote {remote.url}")
    if asked:
        by = f"./parley down && ./parley up {' '.join(asked)}"
        if len(asked) == 1 and asked[0].startswith("--replicas"):
            by = f"./parley scale {replicas}"
        raise StackError(
            f"Parley runs already, with {_replicas(have)} at port {running.plan.ports.edge}.",
            mend=f"Change it with: {by}",
        )


def _show(running: Running) -> None:
    """The one block that people look for."""
    talk.print("\n[bold green]Parley is running.[/]\n")
    out.print(f"  Chat page   [link]{running.page_url()}[/link]")
    out.print("              [dim]this address signs you in once, within 24 hours[/]")
    out.print(f"  OpenAI API  {running.base_url}")
    out.print(f"  API key     in {tilde(running.plan.home.api_key)}")
    out.print(f"  gRPC mesh   {running.mesh_address}")
    if running.mlflow_url:
        out.print(f"  MLflow      {running.mlflow_url}")
    if running.airflow_url:
        out.print(f"  Airflow     {running.airflow_url}")
        out.print(
            f"              [dim]as admin, password in {tilde(running.plan.home.airflow_admin)}[/]"
        )
        if running.started_now:
            out.print("              [dim]it comes up behind the rest, in about a minute[/]")
    talk.print("\nNext: ./parley chat")


def _stay(running: Running) -> None:
    """Shows all logs until an interrupt, then drains and stops everything."""
    home = running.plan.home
    paths = {program.name: home.log(program.name) for program in running.plan.programs}
    talk.print("\nLogs follow. Ctrl-C stops everything.\n")
    try:
        for name, line in logs.follow(paths, FIRST_LINES):
            out.print(f"{name:<10} {line}", markup=False)
    except KeyboardInterrupt:
        talk.print("\nStopping Parley. Ctrl-C again ends it at once.")
        with closing(Teller()) as teller:
            up.stop(home, teller)
        talk.print("Parley has stopped.")
        raise typer.Exit(Exit.OK) from None
