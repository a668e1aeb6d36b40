"""Looks whether each store, Parley's or the user's, can be used: reached, entered, new enough.

Changes nothing, but for a small object that it writes and removes again to see that it may.
"""

import http.client
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stack import keys
from stack.errors import StackError
from stack.home import Home
from stack.ports import Ports
from stack.progress import Narrator
from stack.readiness import listens
from stack.stores import probes, where
from stack.stores.own import Own
from stack.stores.where import UNIX, Stores

ANSWER_WITHIN_S = 5.0
POSTGRES_MIN = 140000
POSTGRES_MIN_WORDS = "PostgreSQL 14"
MLFLOW_MIN = (3, 15)
HERE = "See why: ./parley logs {name}"
IN_FILE = "Correct {place} in {file}, then: ./parley doctor"


@dataclass(frozen=True)
class Verdict:
    """One store as found. `problem` is empty when all is well."""

    name: str
    words: str
    problem: str = ""
    mend: str = ""


def look(home: Home, ports: Ports, own: Own) -> list[Verdict]:
    """Every store. Asks each at most once for each thing that Parley does with it."""
    return [check() for _, check in _checks(home, ports, own)]


def look_at_own(home: Home, ports: Ports, own: Own) -> list[Verdict]:
    """The user's stores alone."""
    return [check() for is_own, check in _checks(home, ports, own) if is_own]


def require_own(home: Home, own: Own, narrator: Narrator) -> None:
    """Raises StackError for the first store of the user's that cannot be used."""
    for is_own, check in _checks(home, Ports(0, 0, 0, 0, ()), own):
        if not is_own:
            continue
        found = check()
        if found.problem:
            raise StackError(f"{found.name} {found.problem}.", mend=found.mend)
        narrator.done(found.name, found.words)


def _checks(home: Home, ports: Ports, own: Own) -> list[tuple[bool, Callable[[], Verdict]]]:
    """A check of each store, and whether that one is the user's."""
    stores = where.find(home, ports, own)
    uris = {"parley": stores.parley_uri, "mlflow": stores.mlflow_uri}
    of_postgres = [partial(_postgres, home, own, what, uri) for what, uri in uris.items() if uri]
    return [
        *((own.postgres is not None, check) for check in of_postgres),
        (own.s3 is not None, partial(_s3, home, own, stores)),
        (own.mlflow is not None, partial(_mlflow, home, own, stores)),
    ]


def _postgres(home: Home, own: Own, what: str, uri: str) -> Verdict:
    import psycopg

    name = f"PostgreSQL ({what})"
    place = f"[postgres] uri_{what}"
    mend = _mend(home, place if own.postgres else "", "postgres")
    conninfo = where.conninfo(uri)
    problem = probes.ask_postgres(conninfo, ANSWER_WITHIN_S)
    if problem:
        return Verdict(name, "", _reached(problem), mend)
    try:
        with psycopg.connect(conninfo, connect_timeout=int(ANSWER_WITHIN_S)) as connection:
            version = connection.info.server_version
            may = "SELECT has_schema_privilege('public', 'CREATE')"
            row = connection.execute(may).fetchone()
    except psycopg.Error as error:
        return Verdict(name, "", f"broke off: {str(error).strip()}", mend)
    words = f"version {version // 10000}.{version % 10000}"
    if version < POSTGRES_MIN:
        return Verdict(name, words, f"has {words}; Parley needs {POSTGRES_MIN_WORDS}", mend)
    if not row or not row[0]:
        grant = f"As its owner: GRANT CREATE ON SCHEMA public TO {connection.info.user};"
        return Verdict(name, words, f"lets {connection.info.user} make no tables", grant)
    return Verdict(name, words)


def _s3(home: Home, own: Own, stores: Stores) -> Verdict:
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    name = "object store"
    words = f"{stores.s3_endpoint}, bucket {stores.s3_bucket}"
    mend = _mend(home, "[s3]" if own.s3 else "", "s3")
    target = f"{stores.s3_endpoint}/{stores.s3_bucket}"
    asked = (target, stores.s3_credentials_file, ANSWER_WITHIN_S, stores.s3_region)
    try:
        if problem := probes.ask_s3(*asked):
            return Verdict(name, words, _reached(problem), mend)
        _write_and_remove(stores)
    except StackError as error:
        return Verdict(name, words, error.what.rstrip("."), error.mend or mend)
    except (MinioException, HTTPError) as error:
        code = getattr(error, "code", type(error).__name__)
        return Verdict(name, words, f"lets us write nothing to {stores.s3_bucket} ({code})", mend)
    return Verdict(name, words)


def _write_and_remove(stores: Stores) -> None:
    import io

    key_file = Path(stores.s3_credentials_file)
    client = probes.s3_client(stores.s3_endpoint, key_file, ANSWER_WITHIN_S, stores.s3_region)
    key = f"parley-doctor/{secrets.token_hex(8)}"
    client.put_object(stores.s3_bucket, key, io.BytesIO(b"ok"), 2)
    client.remove_object(stores.s3_bucket, key)


def _mlflow(home: Home, own: Own, stores: Stores) -> Verdict:
    import httpx

    mend = _mend(home, "[mlflow]" if own.mlflow else "", "mlflow")
    socket = stores.mlflow_address.removeprefix(UNIX)
    uses_socket = socket != stores.mlflow_address
    base = "http://localhost" if uses_socket else stores.mlflow_address
    if uses_socket and not listens(socket):
        return Verdict("MLflow", base, _reached(probes.STARTING), mend)
    try:
        headers = _bearer(stores.mlflow_token_file)
    except (StackError, OSError) as error:
        return Verdict("MLflow", base, f"has no token: {error}", mend)
    transport = httpx.HTTPTransport(uds=socket if uses_socket else None)
    bound = {"timeout": ANSWER_WITHIN_S, "headers": headers, "base_url": base}
    try:
        with httpx.Client(transport=transport, trust_env=False, **bound) as client:
            version = client.get("/version").text.strip()
            asked = client.get(
                "/api/2.0/mlflow/experiments/search", params={"max_results": 1}
            ).status_code
    except httpx.HTTPError:
        return Verdict("MLflow", base, _reached(probes.STARTING), mend)
    return _mlflow_verdict(base, version, asked, mend)


def _mlflow_verdict(base: str, version: str, asked: int, mend: str) -> Verdict:
    words = f"version {version}" if len(version) < 40 else "no version"
    if asked in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        return Verdict("MLflow", base, "refuses the token", mend)
    if asked != http.client.OK:
        return Verdict("MLflow", base, f"answers {asked} when asked for experiments", mend)
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < MLFLOW_MIN:
        least = ".".join(map(str, MLFLOW_MIN))
        return Verdict("MLflow", words, f"has {words}; Parley needs {least}", mend)
    return Verdict("MLflow", words)


def _bearer(token_file: str) -> dict[str, str]:
    return {"authorization": f"Bearer {keys.read(Path(token_file))}"} if token_file else {}


def _reached(problem: str) -> str:
    return "does not answer" if problem == probes.STARTING else problem


def _mend(home: Home, place: str, program: str) -> str:
    if place:
        return IN_FILE.format(place=place, file=home.own_stores)
    return HERE.format(name=program)
