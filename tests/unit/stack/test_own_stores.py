"""The user's own stores, as parley.toml names them."""

import pytest
from sqlalchemy.engine import make_url

from stack.errors import StackError
from stack.ports import Ports
from stack.stores import credentials, own, where

PORTS = Ports(1, 2, 3, 4, (5,), registry_metrics=6, mlflow=7, s3=8)
POSTGRES = """
[postgres]
uri_parley = "postgresql://me:canary@db.example:6543/parley?sslmode=require"
uri_mlflow = "postgresql://me:canary@db.example:6543/mlflow"
"""
S3 = """
[s3]
endpoint = "https://s3.example/"
region = "eu-central-1"
bucket = "models"
credentials_file = "/etc/parley/s3"
"""
MLFLOW = """
[mlflow]
uri = "https://mlflow.example"
token_file = "/etc/parley/mlflow"
"""


@pytest.fixture
def write(home):
    """Writes the file, for its owner alone."""

    def write(text: str) -> None:
        home.own_stores.write_text(text)
        home.own_stores.chmod(0o600)

    return write


def test_without_the_file_all_is_ours(home):
    """A laptop needs no settings."""
    mine = own.read(home)
    assert mine == own.Own()
    found = where.find(home, PORTS, mine)
    assert found.s3_endpoint == "http://127.0.0.1:8"
    assert found.mlflow_address == f"unix:{home.socket('mlflow')}"
    assert make_url(found.parley_uri).query["host"] == str(home.sockets)


def test_what_is_named_is_used(home, write):
    """Each section stands for itself."""
    write(POSTGRES + S3 + MLFLOW)
    found = where.find(home, PORTS, own.read(home))
    assert (found.s3_endpoint, found.s3_bucket) == ("https://s3.example", "models")
    assert found.s3_region == "eu-central-1"
    assert found.s3_credentials_file == "/etc/parley/s3"
    assert (found.mlflow_address, found.mlflow_uri) == ("https://mlflow.example", "")
    assert found.mlflow_token_file == "/etc/parley/mlflow"


def test_a_password_leaves_the_address_for_a_file(home, write):
    """Programs are told the file; the driver is named; other options stay."""
    write(POSTGRES)
    mine = own.read(home)
    credentials.ensure(home, mine)
    url = make_url(where.find(home, PORTS, mine).parley_uri)
    assert url.drivername == "postgresql+psycopg"
    assert url.password is None
    assert dict(url.query) == {"sslmode": "require", "passfile": str(home.own_pgpass)}
    assert home.own_pgpass.read_text().splitlines()[0] == "db.example:6543:parley:me:canary"
    assert home.own_pgpass.stat().st_mode & 0o777 == 0o600
    assert not home.pgpass.exists()


def test_colons_and_backslashes_in_a_password_are_kept(home, write):
    """The file's own marks are escaped."""
    write(
        "[postgres]\nuri_parley = 'postgresql://me:a%3Ab%5Cc@h/d'\n[mlflow]\nuri = 'http://m:5000'\n"
    )
    credentials.ensure(home, own.read(home))
    assert home.own_pgpass.read_text() == "h:5432:d:me:a\\:b\\\\c\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[postgres\n", "is not TOML"),
        ("[postgress]\n", r"unknown name: \[postgress\]"),
        (S3 + 'buckett = "x"\n', r"unknown name: \[s3\] buckett"),
        ('[s3]\nendpoint = "https://h"\n', r"lacks \[s3\] bucket"),
        (S3.replace("https://s3.example/", "s3.example"), r"\[s3\] endpoint.*http://HOST"),
        (POSTGRES.replace("postgresql://", "mysql://"), r"\[postgres\] uri_parley.*postgresql://"),
        ('[mlflow]\nuri = "https://me:canary@h"\n', r"\[mlflow\] uri.*name a file"),
        (POSTGRES.splitlines()[1] + "\n" + POSTGRES.splitlines()[2], "names no .* uri_mlflow"),
    ],
)
def test_a_mistake_is_named_and_no_secret_is(home, write, text, words):
    """The file, the place in it, and what may stand there."""
    write(text)
    with pytest.raises(StackError, match=words) as refused:
        own.read(home)
    told = "\n".join(refused.value.lines())
    assert str(home.own_stores) in told
    assert "canary" not in told


def test_a_file_that_others_can_read_is_refused(home, write):
    """It may hold passwords."""
    write(POSTGRES)
    home.own_stores.chmod(0o644)
    with pytest.raises(StackError, match="open to other users") as refused:
        own.read(home)
    assert f"chmod 600 {home.own_stores}" in refused.value.mend


def test_secrets_of_ours_are_made_once_and_closed(home):
    """Each role has its own password; a second start finds them."""
    for _ in range(2):
        credentials.ensure(home, own.Own())
        passwords = {role: credentials.password(home, role) for role in credentials.ROLES}
    assert len(set(passwords.values())) == len(credentials.ROLES)
    access, secret = credentials.read_s3(home.s3_credentials)
    assert len(access) >= 20
    assert len(secret) >= 40
    assert not [path.name for path in home.secrets.iterdir() if path.stat().st_mode & 0o077]
    lines = home.pgpass.read_text().splitlines()
    assert lines[0] == f"*:*:*:parley:{passwords['parley']}"
