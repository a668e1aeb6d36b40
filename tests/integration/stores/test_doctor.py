"""What doctor finds wrong with a store, and what it says to do."""

import pytest

from stack.doctor import stores as doctor
from stack.home import Home
from stack.stores import checks, credentials, own


@pytest.fixture
def mine(tmp_path):
    """A home whose file names stores; nothing runs in it."""
    made = Home(tmp_path / "mine")
    made.prepare()
    return made


def findings(home: Home, text: str) -> dict[str, str]:
    """What doctor says of each store that `text` names, by name."""
    home.own_stores.write_text(text)
    home.own_stores.chmod(0o600)
    return {one.name: f"{one.verdict}: {one.words} {one.mend}" for one in doctor.all_of(home)}


def postgres_at(home: Home, password: str, database: str = "parley_db") -> str:
    """A file that names the database by its socket."""
    place = f"@/{database}?host={home.sockets}&port=5432"
    uri = f"postgresql://parley_app:{password}{place}"
    return f'[postgres]\nuri_parley = "{uri}"\n[mlflow]\nuri = "http://127.0.0.1:1"\n'


def s3_at(port: int, credentials_file, bucket: str = "parley") -> str:
    """A file that names an object store."""
    endpoint = f'endpoint = "http://127.0.0.1:{port}"'
    return f'[s3]\n{endpoint}\nbucket = "{bucket}"\ncredentials_file = "{credentials_file}"\n'


def test_a_wrong_password_is_told_apart(running, mine):
    """The server answers, the password is wrong, and the file's line is named."""
    found = findings(mine, postgres_at(running.plan.home, "n0t-it"))["PostgreSQL (parley)"]
    assert found.startswith("fail: refuses the password")
    assert "[postgres] uri_parley" in found
    assert "n0t-it" not in found


def test_a_missing_database_is_told_apart(running, mine):
    """Not the password's fault."""
    password = credentials.password(running.plan.home, "parley_app")
    text = postgres_at(running.plan.home, password, "nowhere")
    found = findings(mine, text)["PostgreSQL (parley)"]
    assert found.startswith("fail: has no such database")


def test_a_closed_port_is_told_apart(mine):
    """Nobody listens."""
    text = (
        '[postgres]\nuri_parley = "postgresql://a:b@127.0.0.1:1/c"\n'
        '[mlflow]\nuri = "http://127.0.0.1:1"\n'
    )
    found = findings(mine, text)
    assert found["PostgreSQL (parley)"].startswith("fail: does not answer")
    assert found["MLflow"].startswith("fail: does not answer")


def test_wrong_keys_are_told_apart(running, mine, tmp_path):
    """The server answers and refuses; the file's section is named."""
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = PARLEYNOBODY0000\n")
    with keys.open("a") as file:
        file.write("aws_secret_access_key = nothing-of-ours\n")
    keys.chmod(0o600)
    found = findings(mine, s3_at(running.plan.ports.s3, keys))["object store"]
    assert found.startswith("fail: refuses the keys")
    assert "[s3]" in found


def test_a_missing_bucket_and_a_closed_port_are_told_apart(running, mine):
    """Each has its own words."""
    keys = running.plan.home.s3_credentials
    port = running.plan.ports.s3
    assert "has no bucket other" in findings(mine, s3_at(port, keys, "other"))["object store"]
    assert "does not answer" in findings(mine, s3_at(1, keys))["object store"]


def test_keys_that_are_missing_or_open_to_others_are_told(running, mine, tmp_path):
    """A file that is not there, and one that anyone can read."""
    port = running.plan.ports.s3
    assert "is missing" in findings(mine, s3_at(port, tmp_path / "none"))["object store"]
    loose = tmp_path / "loose"
    loose.write_text("[default]\n")
    loose.chmod(0o644)
    assert "open to other users" in findings(mine, s3_at(port, loose))["object store"]


def test_a_store_of_ours_that_is_down_is_found_in_a_running_stack(running):
    """MLflow was not started here; the other two answer."""
    home = running.plan.home
    found = checks.look(home, running.plan.ports, own.read(home))
    assert {one.name: one.problem for one in found if one.problem} == {"MLflow": "does not answer"}
