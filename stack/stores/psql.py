"""`psql` on one of Parley's databases, with the password from its file."""

from stack.errors import Exit, StackError
from stack.home import Home
from stack.ports import Ports
from stack.stores import own, postgres, where
from stack.stores.where import ADMIN


def command(home: Home, ports: Ports, database: str, arguments: list[str]) -> list[str]:
    """The command line of psql on `database`, as the role that owns it; it holds no password.

    Raises StackError for an unknown database.
    """
    mine = own.read(home)
    if mine.postgres:
        stores = where.find(home, ports, mine)
        known = {"parley_db": stores.parley_uri, "mlflow_db": stores.mlflow_uri}
    else:
        roles = {**postgres.DATABASES, "postgres": ADMIN}
        known = {name: where.our_uri(home, role, name) for name, role in roles.items()}
    uri = known.get(database)
    if not uri:
        names = ", ".join(name for name, found in known.items() if found)
        raise StackError(
            f"There is no database {database}.", mend=f"There are: {names}.", code=Exit.USAGE
        )
    return [str(postgres.binary("psql")), where.conninfo(uri), *arguments]
