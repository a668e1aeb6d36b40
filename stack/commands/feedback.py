"""`feedback`: what people think of answers, and the datasets that are made of it."""

from typing import Annotated

import typer

from stack.commands.options import AsJson, AsName
from stack.plain import plain
from stack.words import ago, print_json, print_rows, say, talk

SHORT = 40
HELP = """What people think of answers. The chat page gives it; training uses it.

\b
Examples:
  ./parley feedback list
  ./parley feedback export support
"""


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True, help=HELP, rich_markup_mode=None)
    group.command("list")(list_feedback)
    group.command("export")(export)
    app.add_typer(group, name="feedback")


def list_feedback(
    model: Annotated[str, typer.Option(help="Only of this model.")] = "",
    answer: Annotated[str, typer.Option(metavar="ID", help="Only on this answer.")] = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=1000, help="Entries.")] = 50,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """List feedback, newest first.

    \b
    Examples:
      ./parley feedback list
      ./parley feedback list --model support -n 1000 --json
    """
    import time

    from parley.jobs.v1 import feedback_pb2 as pb

    from stack import job_client

    request = pb.ListFeedbackRequest(page_size=lines, model=model, response_id=answer)
    with job_client.connect_feedback(as_name) as known:
        entries = known.call("ListFeedback", request).entries
    if as_json:
        print_json([plain(entry) for entry in entries])
        return
    rows = [
        (
            f"{ago(max(0.0, time.time() - one.time.ToSeconds()))} ago",
            "good" if one.rating == pb.RATING_GOOD else "bad",
            f"{one.model}@{one.version}" if one.version else one.model,
            one.given_by,
            _short(one.correction or one.reason),
            one.response_id,
        )
        for one in entries
    ]
    print_rows(("WHEN", "WORD", "OF", "BY", "CORRECTION OR REASON", "ANSWER"), rows)
    if not entries:
        talk.print("There is none yet. The chat page has thumbs under each answer.")


def export(
    model: Annotated[str, typer.Argument(help="The model whose answers it is about.")],
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Start nothing that is scheduled on feedback.")
    ] = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of a model's feedback: corrected and praised answers, without personal data.

    What is scheduled on feedback runs of it, unless --quiet.

    \b
    Examples:
      ./parley feedback export support
      ./parley feedback export support --quiet --json
    """
    from parley.jobs.v1 import feedback_pb2 as pb

    from stack import job_client

    with job_client.connect_feedback(as_name) as known:
        told = known.call("ExportFeedback", pb.ExportFeedbackRequest(model=model, quiet=quiet))
    if as_json:
        print_json(plain(told))
        return
    say(f"sha256:{told.dataset.digest}")
    counts = {
        "rows": told.dataset.rows,
        "repeated": told.duplicates,
        "left out for personal data": told.personal,
        "not usable": told.unusable,
    }
    talk.print("  " + ", ".join(f"{count} {words}" for words, count in counts.items()))
    command = f"./parley train sha256:{told.dataset.digest} --name {model}"
    talk.print(f"\nNext: {command}", markup=False)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"
