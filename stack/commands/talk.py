"""`chat`: talk with the model in the terminal."""

import sys
from typing import Annotated

import typer

from stack import up
from stack.commands.options import AsJson
from stack.home import Home


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("chat")(chat)


def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="One question; without it, a conversation.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model's name; by default the first that is served.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Talk with the model in the terminal.

    Ctrl-C stops an answer; Ctrl-D leaves. A question on standard input is taken, too.

    \b
    Examples:
      ./parley chat
      ./parley chat "What is the capital of France?"
      echo "What is Parley?" | ./parley chat --json
    """
    from stack import terminal_chat  # brings httpx, which no other command waits for

    running = up.require(Home.find())
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
    if as_json and prompt is None:
        raise typer.BadParameter("needs a question", param_hint="--json")
    with terminal_chat.Chat(running.base_url, running.api_key, model) as conversation:
        if prompt is None:
            terminal_chat.converse(conversation)
        else:
            terminal_chat.ask_once(conversation, prompt, as_json)
