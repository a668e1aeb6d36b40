"""`psql`: a look into the databases."""

import os
from typing import Annotated

import typer

from stack import up
from stack.errors import StackError
from stack.home import Home

DEFAULT = "parley_db"
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("psql", context_settings=PASS_ON)(psql)


def psql(
    context: typer.Context,
    database: Annotated[
        str, typer.Argument(help="parley_db, mlflow_db, airflow_db or postgres.")
    ] = DEFAULT,
) -> None:
    """Open PostgreSQL's own terminal on one of the databases.

    What follows the database goes to psql as it is. It signs in as the database's owner, and as
    the superuser on postgres.

    \b
    Examples:
      ./parley psql
      ./parley psql mlflow_db
      ./parley psql -c "SELECT * FROM audit"
    """
    from stack.stores import psql as on_database  # it brings SQLAlchemy

    home = Home.find()
    plan = up.require(home).plan
    if not (plan.has("registry") or plan.has("postgres")):
        raise StackError("This stack serves one model and has no database.")
    arguments = context.args
    if database.startswith("-"):  # an option of psql's, not a database
        database, arguments = DEFAULT, [database, *arguments]
    command = on_database.command(home, plan.ports, database, arguments)
    os.execv(command[0], command)  # noqa: S606 (a list, no shell)
