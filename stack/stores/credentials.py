"""Secrets of the stores: passwords of PostgreSQL's roles and keys of the object store.

Each is in files of mode 0600, in the forms that libpq and the AWS SDKs read by themselves, so that
addresses name files and no secret is ever in an argument or an environment.
"""

import configparser
import secrets
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from stack import keys
from stack.errors import StackError
from stack.home import Home, check_private
from stack.stores.own import Own

PASSWORD_BYTES = 32
ACCESS_KEY_BYTES = 10
DEFAULT_PORT = 5432
PROFILE = "default"
# A role of PostgreSQL, and the file that holds its password.
ROLES = {"parley": "admin", "mlflow": "mlflow", "airflow": "airflow", "parley_app": "parley"}


def ensure(home: Home, own: Own) -> None:
    """Makes the secrets that are missing, and the files that libpq reads. Safe to repeat."""
    if not own.postgres:
        for role in ROLES:
            if not password_file(home, role).exists():
                made = secrets.token_urlsafe(PASSWORD_BYTES)
                keys.write_private(password_file(home, role), f"{made}\n")
        lines = [_line("*", "*", "*", role, password(home, role)) for role in ROLES]
        keys.write_private(home.pgpass, "".join(lines))
    write_own(home, own)
    if not own.s3 and not home.s3_credentials.exists():
        _write_s3(home.s3_credentials)


def write_own(home: Home, own: Own) -> None:
    """Writes the passwords of the user's databases to where libpq finds them."""
    if own.postgres:
        mine = own.postgres
        uris = [uri for uri in (mine.uri_parley, mine.uri_mlflow, mine.uri_airflow) if uri]
        keys.write_private(home.own_pgpass, "".join(_own_line(make_url(uri)) for uri in uris))


def password_file(home: Home, role: str) -> Path:
    """The file that holds a role's password."""
    return home.secrets / f"postgres_{ROLES[role]}"


def password(home: Home, role: str) -> str:
    """A role's password. Secret."""
    return keys.read(password_file(home, role))


def without_password(uri: str, passfile: Path) -> str:
    """The user's URI with our driver named, and its password, if any, left to `passfile`."""
    url = make_url(uri).set(drivername="postgresql+psycopg")
    if url.password:
        bare = url.update_query_dict({"passfile": str(passfile)})
        url = URL.create(
            bare.drivername, bare.username, None, bare.host, bare.port, bare.database, bare.query
        )
    return url.render_as_string(hide_password=False)


def read_s3(path: Path) -> tuple[str, str]:
    """The access key's id and the secret key in a file of the AWS form.

    Raises StackError with the mend when there are none, or when others can read them.
    """
    parser = configparser.RawConfigParser()
    try:
        check_private(path)
        parser.read_string(path.read_text(encoding="utf-8"))
        section = parser[PROFILE]
        return section["aws_access_key_id"], section["aws_secret_access_key"]
    except FileNotFoundError:
        raise StackError(f"{path} is missing; it should hold the object store's keys.") from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise StackError(
            f"{path} holds no keys that can be read.",
            mend=f"It needs [{PROFILE}] with aws_access_key_id and aws_secret_access_key.",
        ) from None


def _write_s3(path: Path) -> None:
    access = f"PARLEY{secrets.token_hex(ACCESS_KEY_BYTES).upper()}"
    secret = secrets.token_urlsafe(PASSWORD_BYTES)
    text = f"[{PROFILE}]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"
    keys.write_private(path, text)


def _own_line(url: URL) -> str:
    host = url.host or str(url.query.get("host", "")) or "localhost"
    port = str(url.port or url.query.get("port", "") or DEFAULT_PORT)
    user = url.username or "*"
    return _line(host, port, url.database or "*", user, str(url.password or ""))


def _line(*fields: str) -> str:
    """One line of a password file, as libpq takes it apart."""
    escaped = [field.replace("\\", "\\\\").replace(":", "\\:") for field in fields]
    return ":".join(escaped) + "\n"
