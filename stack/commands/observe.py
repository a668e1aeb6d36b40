"""`status`, `logs`, `doctor` and `token`: what runs, how it is, and how to get in."""

import os
from typing import Annotated

import typer

from stack import keys, logs, status, up
from stack.commands.options import AsJson
from stack.doctor import examine
from stack.doctor.check import FAIL, OK, WARN
from stack.errors import Exit, StackError
from stack.home import Home
from stack.plan import MESH
from stack.words import ago, out, print_json, talk, tilde

NAME_WIDTH = 17
MARKS = {OK: "[green]ok[/]  ", WARN: "[yellow]warn[/]", FAIL: "[bold red]fail[/]"}


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("status")(show_status)
    app.command("logs")(show_logs)
    app.command("doctor")(show_doctor)
    app.command("token")(show_token)


def show_status(as_json: AsJson = False) -> None:
    """Show what runs, since when, and whether it answers.

    Ends with 0 when all services answer, 1 when one does not, 3 when Parley is not running.

    \b
    Examples:
      ./parley status
      ./parley status --json
    """
    running = up.require(Home.find())
    services = status.look(running.plan)
    healthy = all(service.healthy for service in services)
    if as_json:
        state = "running" if healthy else "degraded"
        listed = [service.to_json() for service in services]
        places = {
            "base_url": running.base_url,
            "mesh_address": running.mesh_address,
            "s3_address": running.s3_address,
            "mlflow_url": running.mlflow_url,
            "airflow_url": running.airflow_url,
        }
        print_json({"state": state, **places, "mesh": _mesh(running), "services": listed})
    else:
        out.print(f"Parley at {running.base_url}, mesh at {running.mesh_address}")
        if running.mlflow_url:
            out.print(f"MLflow at {running.mlflow_url}")
        if running.airflow_url:
            password = tilde(running.plan.home.airflow_admin)
            out.print(f"Airflow at {running.airflow_url}, as admin, password in {password}")
        if words := _mesh(running):
            out.print(f"Mesh: {words}", markup=False)
        out.print()
        for service in services:
            out.print(f"  {_service(service)}")
    if not healthy:
        raise typer.Exit(Exit.FAILED)


def _mesh(running: up.Running) -> str:
    """The mesh in one line."""
    if not running.plan.has(MESH):
        return ""
    from stack import mesh_view

    try:
        with mesh_view.connect(running.plan.home) as mesh:
            return mesh_view.summary(mesh.look())
    except StackError as error:
        return error.what


def _service(service: status.Service) -> str:
    style = (
        "bold red"
        if not service.healthy
        else "green"
        if service.words == status.READY
        else "yellow"
    )
    mark = f"[{style}]{service.words}[/]"
    if not service.pid:
        return f"{service.name:<{NAME_WIDTH}} {mark}"
    again = f", restarts: {service.restarts}" if service.restarts else ""
    since = f"up {ago(service.up_s)}, process {service.pid}, {service.memory_mib} MiB"
    return f"{service.name:<{NAME_WIDTH}} {mark}  [dim]{since}{again}[/]"


def show_logs(
    service: Annotated[str, typer.Argument(help="envoy, gateway, serving-0, ... or supervisor.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Last lines to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show a service's log.

    \b
    Examples:
      ./parley logs gateway
      ./parley logs serving-0 -f
      ./parley logs envoy -n 200
    """
    path = Home.find().log(service)
    if not path.is_file() or path.parent != Home.find().logs:
        raise StackError(f"There is no log of {service}.", mend=_known(), code=Exit.USAGE)
    if as_json:
        print_json([{"service": service, "line": line} for line in logs.tail(path, lines)])
    elif follow:
        for _, line in logs.follow({service: path}, lines):
            out.print(line, markup=False)
    else:
        for line in logs.tail(path, lines):
            out.print(line, markup=False)


def _known() -> str:
    names = sorted(path.stem for path in Home.find().logs.glob("*.log"))
    return f"There are: {', '.join(names)}." if names else "Start Parley with: ./parley up"


def show_doctor(as_json: AsJson = False) -> None:
    """Find what is wrong, and how to mend it.

    Ends with 1 when a check fails.

    \b
    Examples:
      ./parley doctor
      ./parley doctor --json
    """
    findings = examine(Home.find())
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            out.print(f"{MARKS[finding.verdict]}  {finding.name:<18} {finding.words}")
            if finding.mend:
                out.print(f"      {'':<18} [bold]{finding.mend}[/]")
    if any(finding.verdict == FAIL for finding in findings):
        raise typer.Exit(Exit.FAILED)


def show_token(
    api_key: Annotated[
        bool, typer.Option("--api-key", help="Say where the API key is, instead.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="With --api-key: print the key.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new address of the chat page that signs in once.

    \b
    Examples:
      ./parley token
      ./parley token --api-key
      OPENAI_API_KEY=$(./parley token --api-key --show) python my_program.py
    """
    home = Home.find()
    if show and not api_key:
        raise typer.BadParameter("goes with --api-key", param_hint="--show")
    if api_key:
        path = home.api_key
        value = keys.read(path) if show else ""
        key = {"api_key_file": str(path), **({"api_key": value} if show else {})}
        print_json(key) if as_json else out.print(value or str(path), markup=False)
        return
    url = up.require(home).page_url()
    print_json({"page_url": url}) if as_json else out.print(url, markup=False)
    if not as_json and os.isatty(1):
        talk.print("[dim]It signs you in once, within 24 hours.[/]")
