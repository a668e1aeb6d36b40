"""`test`, `bench`, `lock` and `version`: for those who work on Parley."""

from pathlib import Path
from typing import Annotated

import typer

from stack import checks, locks
from stack.commands.options import AsJson
from stack.environment.places import Places
from stack.home import Home
from stack.plan import REPLICAS_MAX
from stack.words import out, print_json

STREAMS_MAX = 256
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


def bench(
    streams: Annotated[
        str, typer.Option(help="Numbers of streams, with commas between.")
    ] = "1,16,32",
    replicas: Annotated[int, typer.Option(min=1, max=REPLICAS_MAX, help="The mesh's.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds of each way.")] = 3,
    tokens: Annotated[int, typer.Option(min=2, max=1024, help="Tokens of each answer.")] = 64,
    model: Annotated[
        Path | None, typer.Option(help="Model folder; by default 32 M random weights.")
    ] = None,
    overhead: Annotated[
        int, typer.Option(min=0, max=10_000, help="Requests a way for the overhead; 0 for none.")
    ] = 300,
    rate: Annotated[
        float, typer.Option(min=0, max=1000, help="Also an open loop at this rate a second.")
    ] = 0,
    transformers: Annotated[
        bool, typer.Option("--transformers", help="Also `transformers serve`, for comparison.")
    ] = False,
    faults: Annotated[
        bool, typer.Option("--faults", help="Also leaving clients, a soak, and kill -9.")
    ] = False,
    deployment: Annotated[
        float,
        typer.Option(help="Only promotion under load, and each store away for so many seconds."),
    ] = 0,
    prefix_caching: Annotated[
        bool,
        typer.Option("--prefix-caching", help="Only conversations, with and without kept prompts."),
    ] = False,
    overload: Annotated[
        bool, typer.Option("--overload", help="Only more requests than it can answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the mesh against the same engine in process.

    All ways take turns, so compare the ratios. Stop other work for quiet figures.

    \b
    Examples:
      ./parley bench
      ./parley bench --streams 16,32 --replicas 2 --transformers
      ./parley bench --faults --json
      ./parley bench --deployment 60
      ./parley bench --prefix-caching --model ~/.local/state/parley/models/parley-starter
      ./parley bench --overload
    """
    from bench import run
    from bench.run import Options

    if deployment:
        raise typer.Exit(run.deployment(Home.find(), outage_s=deployment, as_json=as_json))
    if prefix_caching:
        raise typer.Exit(run.prefix_caching(Home.find(), model, rounds=rounds, as_json=as_json))
    if overload:
        raise typer.Exit(run.overload(Home.find(), model_dir=model, as_json=as_json))
    chosen = Options(
        streams=_numbers(streams),
        replicas=replicas,
        rounds=rounds,
        tokens=tokens,
        model_dir=model,
        overhead_requests=overhead,
        rate_per_s=rate,
        transformers=transformers,
        faults=faults,
    )
    raise typer.Exit(run.main(Home.find(), chosen, as_json=as_json))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(1 <= number <= STREAMS_MAX for number in numbers):
        raise typer.BadParameter(f"{text!r} is not a list of numbers from 1 to {STREAMS_MAX}")
    return numbers


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
