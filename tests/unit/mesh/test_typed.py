"""Addresses as Envoy takes them."""

import pytest

from services.mesh.typed import address


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("unix:/run/a.sock", {"pipe": {"path": "/run/a.sock"}}),
        ("10.0.0.2:50051", {"socket_address": {"address": "10.0.0.2", "port_value": 50051}}),
        ("[fd00::2]:50051", {"socket_address": {"address": "fd00::2", "port_value": 50051}}),
    ],
)
def test_address_is_a_socket_path_or_an_ip(text, built):
    """Both forms that replicas advertise are read."""
    assert address(text).to_dict(casing=str) == built


@pytest.mark.parametrize(
    "text", ["replica.example:50051", "50051", "10.0.0.2", "10.0.0.2:http", "unix:/" + "x" * 108]
)
def test_other_addresses_are_refused(text):
    """Names, missing ports and paths over the kernel's bound do not reach Envoy."""
    with pytest.raises(ValueError, match=r"."):
        address(text)
