"""Channels: what goes out with each call, and how a dead peer is noticed."""

from services.rpc import channel

OPTIONS = dict(channel.CLIENT_OPTIONS)


def test_a_call_carries_its_request_id():
    """The id is all that goes along where no key is needed."""
    assert channel.call_metadata("r-1") == (("x-request-id", "r-1"),)


def test_a_call_carries_its_key():
    """The key goes in the header that the mesh listener reads."""
    assert channel.call_metadata("r-1", "sk-1") == (
        ("x-request-id", "r-1"),
        ("authorization", "Bearer sk-1"),
    )


def test_a_dead_peer_is_noticed_within_seconds():
    """Pings go out each ten seconds, and an unanswered one counts after five."""
    assert OPTIONS["grpc.keepalive_time_ms"] == 10_000
    assert OPTIONS["grpc.keepalive_timeout_ms"] == 5_000
    assert OPTIONS["grpc.http2.ping_timeout_ms"] == 5_000


def test_grpc_never_retries_by_itself():
    """There is one layer that retries, and it is not this one."""
    assert OPTIONS["grpc.enable_retries"] == 0


def test_messages_are_bounded_both_ways():
    """No peer can make us hold more than two MiB."""
    assert OPTIONS["grpc.max_receive_message_length"] == 2 << 20
    assert OPTIONS["grpc.max_send_message_length"] == 2 << 20
