"""`chaos`: faults on a stack of its own, and whether its streams outlive them."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from stack.commands.options import AsJson
from stack.errors import Exit, StackError
from stack.home import Home, private_folder
from stack.plan import REPLICAS_MAX
from stack.words import out, print_json, talk, tilde

if TYPE_CHECKING:
    from bench.chaos.history import History
    from bench.chaos.run import Options

STREAMS_MAX = 256
DEFAULT_FAULTS = "kill,term,stop,blackhole"


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("chaos")(chaos)


def chaos(
    minutes: Annotated[
        float, typer.Option(min=0.1, max=24 * 60, help="How long faults strike.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the load and of the faults.")] = 0,
    replicas: Annotated[int, typer.Option(min=1, max=REPLICAS_MAX, help="Serving replicas.")] = 3,
    streams: Annotated[int, typer.Option(min=1, max=STREAMS_MAX, help="Clients at a time.")] = 32,
    faults: Annotated[
        str,
        typer.Option(
            help="With commas between: kill, term, stop, engine, blackhole, reset, delay, mesh, "
            "envoy, gateway."
        ),
    ] = DEFAULT_FAULTS,
    model: Annotated[
        Path | None, typer.Option(help="Model folder; by default tiny random weights.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Only check this history of an earlier run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Strike a stack under load, and check every stream.

    Starts a stack of its own and leaves the running one alone. Each answer is compared with what
    the stack said before the first fault. The same seed asks the same and strikes the same. All
    that happens goes into a history, which can be checked again.

    Ends with 1 when a promise was not kept: a stream that broke, lost or repeated something or
    became another one, a silent replica that was noticed too late, a stack that did not recover.

    \b
    Examples:
      ./parley chaos
      ./parley chaos --minutes 10 --faults kill
      ./parley chaos --faults stop,blackhole --seed 7 --json
      ./parley chaos --replicas 2 --streams 16 --faults kill,engine,reset,delay
      ./parley chaos --check kill-seed-0.jsonl
    """
    from bench.chaos import checker, tables
    from bench.chaos.history import read_file

    if check is not None:
        try:
            history = read_file(check)
        except ValueError as error:
            raise StackError(f"{check}: {error}", code=Exit.USAGE) from None
    else:
        from bench.chaos.run import Options
        from bench.chaos.schedule import read_faults

        try:
            chosen = read_faults(faults)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--faults") from None
        options = Options(minutes * 60, seed, replicas, streams, chosen)
        history = _run(Home.find(), options, model)
    report = checker.examine(history)
    if as_json:
        print_json(report.to_json())
    else:
        out.print(tables.summary_table(report))
        out.print(tables.faults_table(report))
    for complaint in report.complaints:
        talk.print(f"[bold red]-[/] {escape(complaint)}")
    if not report.holds:
        raise typer.Exit(Exit.FAILED)


def _run(home: Home, options: "Options", model_dir: Path | None) -> "History":
    """A run in a folder that is gone afterwards; its history stays in the home."""
    from bench import stacks
    from bench.chaos import run
    from training import sizes

    home.prepare()
    folder = home.path / "chaos"
    private_folder(folder)
    model = model_dir or stacks.random_model(home, "bench-tiny", sizes.TINY_SHAPE, talk.print)
    moment = time.strftime("%Y%m%d-%H%M%S")
    path = folder / f"{'-'.join(options.faults)}-seed-{options.seed}-{moment}.jsonl"
    talk.print(f"Starting a stack with {options.replicas} replicas for {escape(model.name)}")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="parley-chaos-") as scratch,
            path.open("x", encoding="utf-8") as file,
            run.stack_for(Home(Path(scratch, "home")), model, options) as (running, proxies),
            talk.status("") as status,
        ):
            recorder = run.run(
                running,
                proxies,
                options,
                file,
                lambda words: talk.print(escape(words)),
                lambda progress: status.update(progress.words()),
            )
            status.update("Stopping the stack")
    finally:
        if path.exists() and path.stat().st_size:
            talk.print(f"History: {escape(tilde(path))}")
    return recorder.history
