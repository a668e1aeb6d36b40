"""The command line: which commands there are, and how each failure ends.

Knows no more than that; the commands are in `stack/commands/`.
"""

import signal
import sys
from types import FrameType
from typing import Any

import click
import typer
from typer.core import TyperGroup

from stack.commands import (
    clients,
    database,
    develop,
    feedback,
    jobs,
    life,
    mesh,
    models,
    observe,
    talk,
    train,
)
from stack.environment.places import Places
from stack.errors import Exit, StackError
from stack.words import show_error

HELP = """Runs a language model on this machine as a small mesh of services.

\b
Examples:
  ./parley up                      start everything, and show the chat page's address
  ./parley chat "What is Parley?"  ask one question in the terminal
  ./parley status                  see what runs
  ./parley mesh                    see where requests go
  ./parley models list             see which models there are
  ./parley train talks.jsonl       train a model, and promote it when it is better
  ./parley jobs list               see what is being worked on
  ./parley logs gateway -f         follow a log
  ./parley doctor                  find what is wrong, and how to mend it
  ./parley down                    let answers end, then stop everything

\b
Exit codes:
  0 done    1 failed    2 wrong usage    3 Parley is not running
  4 the environment could not be made    5 a gate refused what was trained    130 interrupted
"""


class Commands(TyperGroup):
    """Ends every failure with words and an exit code, never with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except StackError as error:
            show_error(error)
            raise typer.Exit(error.code) from None
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has left, as `head` does: say nothing more.
            sys.stdout = None
            raise typer.Exit(Exit.OK) from None
        except OSError as error:
            show_error(_words(error))
            raise typer.Exit(Exit.FAILED) from None


app = typer.Typer(
    cls=Commands,
    help=HELP,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    suggest_commands=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"parley {Places.find().version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and end.", is_eager=True, callback=_show_version
    ),
) -> None:
    """Options of the whole."""


for module in (
    life,
    observe,
    mesh,
    talk,
    models,
    train,
    jobs,
    feedback,
    clients,
    database,
    develop,
):
    module.add_to(app)


def main() -> None:
    """Runs the command line. SIGTERM and SIGHUP end it as Ctrl-C does: what was begun is undone."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    app(prog_name="./parley")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _words(error: OSError) -> StackError:
    where = f": {error.filename}" if error.filename else ""
    return StackError(f"{error.strerror or error}{where}", mend="See also: ./parley doctor")
