"""Options that several commands share."""

from typing import Annotated

import typer

AsName = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Use the key of this name; see ./parley keys."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait until the version answers everywhere.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Do not watch it; print its id and come back.")
]
