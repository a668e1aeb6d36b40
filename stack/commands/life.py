"""`up` and `down`: the life of the stack."""

from contextlib import closing
from enum import StrEnum
from typing import Annotated, Any

import typer

from stack import logs, ports, up
from stack.commands.options import AsJson
from stack.errors import Exit, StackError
from stack.home import Home
from stack.plan import REPLICAS_MAX
from stack.progress import Narrator, Silent
from stack.up import Running
from stack.words import Teller, out, print_json, talk, tilde

FIRST_LINES = 0


class Without(StrEnum):
    """What `up` can leave out."""

    JOBS = "jobs"


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("up")(start)
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
    """
    home = Home.find()
    home.prepare()
    jobs = Without.JOBS not in (without or ())
    running = up.find(home)
    if running:
        _refuse_change(running, replicas, port, jobs)
    else:
        teller = Silent() if as_json else Teller()
        running = _start(home, replicas or 1, port, jobs, teller)
    if as_json:
        print_json(describe(running))
    else:
        _show(running)
    if foreground:
        _stay(running)


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


def _start(home: Home, replicas: int, port: int | None, jobs: bool, teller: Narrator) -> Running:
    picked = ports.pick(replicas, port, stores=True) if port else None
    if isinstance(teller, Teller):
        talk.print("Starting Parley")
    with closing(teller):
        return up.start(home, replicas=replicas, ports=picked, jobs=jobs, progress=teller)


def _refuse_change(
    running: Running, replicas: int | None, port: int | None, jobs: bool = True
) -> None:
    """A running stack is never changed in passing."""
    _refuse_other_jobs(running, jobs)
    have = len(running.plan.replicas())
    asked = []
    if replicas not in (None, have):
        asked.append(f"--replicas {replicas}")
    if port not in (None, running.plan.ports.edge):
        asked.append(f"--port {port}")
    if asked:
        count = f"{have} replica{'s' if have > 1 else ''}"
        raise StackError(
            f"Parley runs already, with {count} at port {running.plan.ports.edge}.",
            mend=f"Change it with: ./parley down && ./parley up {' '.join(asked)}",
        )


def _refuse_other_jobs(running: Running, jobs: bool) -> None:
    """Airflow comes and goes with the whole stack."""
    has = bool(running.airflow_url)
    if has and not jobs:
        raise StackError(
            "Parley runs already, with jobs.",
            mend="Leave them out with: ./parley down && ./parley up --without jobs",
        )
    if jobs and not has and _could_have_jobs(running):
        raise StackError(
            "Parley runs already, without jobs.",
            mend="Have them with: ./parley down && ./parley up\n"
            "Or leave it as it is: ./parley up --without jobs",
        )


def _could_have_jobs(running: Running) -> bool:
    """Whether it was asked to do without them: a PostgreSQL of the user's may have no room."""
    if running.plan.model_dir:
        return False
    from stack.stores import own  # it brings packages that few commands wait for

    mine = own.read(running.plan.home)
    return mine.postgres is None or bool(mine.postgres.uri_airflow)


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
