"""`keys`: API keys of their own for people and programs, so that the audit knows who did what."""

from typing import Annotated

import typer

from stack import keys, up
from stack.commands.options import AsJson
from stack.home import Home
from stack.words import out, print_json, talk

Name = Annotated[str, typer.Argument(help="Whose key: a name like ann or nightly-job.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True, help=HELP, rich_markup_mode=None)
    group.command("add")(add)
    group.command("list")(show_all)
    group.command("remove")(remove)
    app.add_typer(group, name="keys")


HELP = """API keys of their own for people and programs.

Whoever has a key may use all of the API; the name goes into the audit, and approvals ask for it.

\b
Examples:
  ./parley keys add ann
  ./parley keys list
  ./parley keys remove ann
"""


def add(name: Name, as_json: AsJson = False) -> None:
    """Make a key, and say where it is.

    \b
    Examples:
      ./parley keys add ann
      ./parley models approve ID --as ann
    """
    home = Home.find()
    home.prepare()
    path = keys.add_client(home, name)
    print_json({"name": name, "key_file": str(path)}) if as_json else out.print(str(path))
    _say_when(home, "It counts")


def show_all(as_json: AsJson = False) -> None:
    """List the keys by name and place. No key is shown.

    \b
    Examples:
      ./parley keys list
    """
    home = Home.find()
    found = {"api": home.api_key, **keys.clients(home)}
    if as_json:
        print_json([{"name": name, "key_file": str(path)} for name, path in found.items()])
        return
    for name, path in found.items():
        out.print(f"{name:<20} {path}", markup=False)


def remove(name: Name, as_json: AsJson = False) -> None:
    """Remove a key.

    \b
    Examples:
      ./parley keys remove ann
    """
    home = Home.find()
    path = keys.client(home, name)
    path.unlink()
    print_json({"name": name, "removed": True}) if as_json else talk.print(f"Removed {path}")
    _say_when(home, "It is refused")


def _say_when(home: Home, what: str) -> None:
    if up.find(home):
        talk.print(f"{what} from the next start on: ./parley down && ./parley up")
    else:
        talk.print(f"{what} from the next start on: ./parley up")
