"""Ports: the usual ones, or the next free ones."""

import socket

import pytest

from stack import ports
from stack.errors import StackError


@pytest.fixture
def taken():
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_not_free(taken):
    """What listens on loopback is seen."""
    assert not ports.is_free(taken)


def test_a_port_in_use_on_all_addresses_is_not_free():
    """What listens on every address would take loopback's requests, too."""
    with socket.create_server(("", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_the_next_free_port_is_taken_instead(taken):
    """A taken port is passed over, upwards."""
    assert ports.next_free(taken) > taken


def test_what_another_parley_is_about_to_open_is_passed_over():
    """Two starts at the same time do not pick the same port, though neither listens yet."""
    wanted = ports.next_free(21000)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(ports.CLAIM.format(wanted + 1))
        assert ports.next_free(wanted + 1) > wanted + 1
    assert ports.next_free(wanted + 1) == wanted + 1


def test_no_port_is_picked_twice():
    """Each service and each replica has a port of its own."""
    picked = ports.pick(8).all()
    assert len(set(picked)) == len(picked) == 5 + 8


def test_a_named_port_that_is_taken_is_refused_and_its_holder_named(taken):
    """A port that the user named is never exchanged for another."""
    with pytest.raises(StackError, match=rf"Port {taken} is taken by \S+ \(process \d+\)"):
        ports.pick(1, edge=taken)


def test_a_named_port_that_is_free_is_kept():
    """A free port that the user named is the edge's."""
    wanted = ports.next_free(19000)
    assert ports.pick(1, edge=wanted).edge == wanted
