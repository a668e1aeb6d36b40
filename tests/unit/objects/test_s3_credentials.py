"""The file with an S3 server's keys."""

import pytest

from services.objects import s3_credentials

GOOD = "[default]\naws_access_key_id = me\naws_secret_access_key = p%c=#;\n"


def credentials(tmp_path, text, mode=0o600):
    """A credentials file."""
    path = tmp_path / "credentials"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_keys_are_read_as_they_are(tmp_path):
    """Signs that mean something in other files mean nothing here."""
    keys = s3_credentials.read(credentials(tmp_path, GOOD))
    assert (keys.access_key, keys.secret_key) == ("me", "p%c=#;")


def test_the_secret_does_not_show():
    """A log of the keys does not hold the secret one."""
    assert "hidden" not in repr(s3_credentials.S3Credentials("me", "hidden"))


def test_a_file_open_to_others_is_refused(tmp_path):
    """Keys that others can read are not used, and the mend is named."""
    with pytest.raises(ValueError, match="chmod 600"):
        s3_credentials.read(credentials(tmp_path, GOOD, 0o640))


@pytest.mark.parametrize(
    "text", ["[other]\na = b\n", "[default]\naws_access_key_id = me\n", "sk-hidden\n"]
)
def test_a_file_without_keys_is_refused_in_words(tmp_path, text):
    """The words say what must be there, and quote nothing that is."""
    with pytest.raises(ValueError, match=r"under \[default\]") as told:
        s3_credentials.read(credentials(tmp_path, text))
    assert "hidden" not in str(told.value)
