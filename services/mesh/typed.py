"""Small makers of Envoy's messages that every builder needs.

Knows Envoy's general shapes (Any, durations, addresses), not what they are used for.
"""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from typing import Any as AnyValue

from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import Address, Pipe, SocketAddress
from envoy_data_plane.google.protobuf import Any, Struct

from services.mesh.topology import SOCKET_PATH_BYTES_MAX, UNIX

LOOPBACK = "127.0.0.1"


def pack(message: Message) -> Any:
    """Wraps a message for a field that takes any type."""
    return Any.pack(message)


def struct(values: Mapping[str, AnyValue]) -> Struct:
    """Turns plain JSON values into a Struct."""
    return Struct.from_dict(values)


def seconds(value: float) -> timedelta:
    """A duration in seconds."""
    return timedelta(seconds=value)


def loopback(port: int) -> Address:
    """A TCP port that only this machine reaches."""
    return Address(socket_address=SocketAddress(address=LOOPBACK, port_value=port))


def address(text: str, mode: int = 0) -> Address:
    """Reads `unix:/path` or `ip:port`; `mode` is for a unix socket that Envoy opens itself.

    Raises ValueError for a host name, which Envoy's static clusters do not resolve, and for a
    socket path that the kernel would not take.
    """
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if len(path.encode()) > SOCKET_PATH_BYTES_MAX:
            raise ValueError(f"socket path is over {SOCKET_PATH_BYTES_MAX} bytes: {path}")
        return Address(pipe=Pipe(path=path, mode=mode))
    host, _, port = text.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]"))
    return Address(socket_address=SocketAddress(address=str(ip), port_value=int(port)))
