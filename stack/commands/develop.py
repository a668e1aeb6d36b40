"""`test`, `bench`, `lock` and `version`: for those who work on Parley."""

import importlib.util
from typing import Annotated

import typer

from stack import checks, locks
from stack.commands.options import AsJson
from stack.environment.places import Places
from stack.errors import StackError
from stack.words import out, print_json

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("test", context_settings=PASS_ON)(test)
    app.command("bench", context_settings=PASS_ON)(bench)
    app.command("lock")(lock)
    app.command("version")(version)


def test(context: typer.Context) -> None:
    """Run every check and test.

    That is ruff, buf lint, the chat page's checks, then pytest. With arguments, only pytest runs,
    with those.

    \b
    Examples:
      ./parley test
      ./parley test tests/unit
      ./parley test -k starter -x
    """
    raise typer.Exit(checks.run(Places.find(), context.args))


def bench(context: typer.Context) -> None:
    """Measure the mesh against the same engine in process.

    \b
    Examples:
      ./parley bench
      ./parley bench --json
    """
    if not importlib.util.find_spec("bench"):
        raise StackError("This checkout has no benchmark.")
    from bench.run import main

    raise typer.Exit(main(context.args))


def lock(
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Take the newest versions that the .in files allow.")
    ] = False,
) -> None:
    """Write the pinned locks in requirements/ anew.

    \b
    Examples:
      ./parley lock
      ./parley lock --upgrade
    """
    for name in locks.write_all(Places.find(), upgrade):
        out.print(f"requirements/{name}.txt")


def version(as_json: AsJson = False) -> None:
    """Show Parley's version.

    \b
    Examples:
      ./parley version
    """
    number = Places.find().version()
    print_json({"version": number}) if as_json else out.print(f"parley {number}")
