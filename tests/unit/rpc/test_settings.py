"""Settings come from the environment, once; secrets from private files."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from services.rpc import settings


class Example(settings.ServerSettings):
    """A service's settings."""

    model_config = SettingsConfigDict(env_prefix="parley_example_")


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch):
    """Sets variables of the service, by their last names."""

    def set_all(**named: str) -> None:
        for name, value in named.items():
            monkeypatch.setenv(f"PARLEY_EXAMPLE_{name}", value)

    return set_all


def test_values_come_from_the_environment(tell):
    """What is named is taken, the rest has its default."""
    tell(ADDRESS="unix:/x.sock", DRAIN_S="2.5")
    read = settings.read(Example)
    assert (read.address, read.drain_s, read.metrics_port) == ("unix:/x.sock", 2.5, 0)


def test_settings_do_not_change(tell):
    """What was read at the start holds until the end."""
    tell(ADDRESS="unix:/x.sock")
    with pytest.raises(ValidationError, match="frozen"):
        settings.read(Example).drain_s = 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_PORT", "65536"),
        ("METRICS_PORT", "many"),
        ("DRAIN_S", "-1"),
        ("DRAIN_S", "3601"),
        ("HEALTH_INTERVAL_S", "61"),
        ("MESSAGE_BYTES_MAX", "1"),
        ("STREAMS_MAX", "0"),
    ],
)
def test_a_bad_value_is_named(tell, capsys: pytest.CaptureFixture[str], name: str, value: str):
    """The variable's whole name stands on stderr, in one line, and the exit code says settings."""
    tell(ADDRESS="unix:/x.sock", **{name: value})
    with pytest.raises(SystemExit) as ended:
        settings.read(Example)
    told = capsys.readouterr().err
    assert ended.value.code == settings.EXIT_BAD_SETTINGS == 78
    assert told.startswith(f"parley: PARLEY_EXAMPLE_{name}: ")
    assert told.count("\n") == 1


def test_all_that_is_wrong_is_named_at_once(tell, capsys: pytest.CaptureFixture[str]):
    """A missing value and a bad one take one attempt to find, not two."""
    tell(DRAIN_S="long")
    with pytest.raises(SystemExit):
        settings.read(Example)
    told = capsys.readouterr().err
    assert "PARLEY_EXAMPLE_ADDRESS: Field required" in told
    assert "PARLEY_EXAMPLE_DRAIN_S: " in told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file with a key and the newline that editors leave."""
    path = tmp_path / "key"
    path.write_text("sk-1\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_gives_its_secret(file: Path, mode: int):
    """The secret comes without the white space around it."""
    file.chmod(mode)
    assert settings.secret(file) == "sk-1"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o610, 0o601])
def test_a_file_open_to_others_is_refused(file: Path, mode: int):
    """Any right of the group or of others is one too many; the words hold the mend, not the key."""
    file.chmod(mode)
    with pytest.raises(ValueError, match=f"chmod 600 {file}") as refused:
        settings.secret(file)
    assert "sk-1" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", " \t\n"])
def test_an_empty_secret_is_refused(file: Path, text: str):
    """A file without a secret never becomes a key that anyone can show."""
    file.write_text(text)
    with pytest.raises(ValueError, match="is empty"):
        settings.secret(file)


def test_a_missing_secret_is_refused(tmp_path: Path):
    """There is no secret by default."""
    with pytest.raises(FileNotFoundError, match="none"):
        settings.secret(tmp_path / "none")
