"""Channels to other services: their options, and calls that carry the caller's deadline and request
id.

The options notice a dead peer within about 15 s of silence (keepalive) and 5 s of an unanswered
ping; without `http2.ping_timeout_ms` gRPC waits a minute.
"""

import grpc

from services.rpc.logs import REQUEST_ID_KEY

MESSAGE_BYTES_MAX = 2 << 20
KEEPALIVE_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
]
CLIENT_OPTIONS = [
    *KEEPALIVE_OPTIONS,
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # One retrying layer: the facade decides, never gRPC by itself.
    ("grpc.enable_retries", 0),
    # A restarted peer should be found at once, not after gRPC's default back-off of up to two
    # minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def open_channel(address: str) -> grpc.aio.Channel:
    """Opens a channel to `unix:/path` or `host:port`; plain text, for loopback and unix sockets."""
    return grpc.aio.insecure_channel(address, options=CLIENT_OPTIONS)


def call_metadata(request_id: str, api_key: str | None = None) -> tuple[tuple[str, str], ...]:
    """Metadata that every outgoing call carries."""
    pairs = ((REQUEST_ID_KEY, request_id),)
    return pairs if api_key is None else (*pairs, ("authorization", f"Bearer {api_key}"))
