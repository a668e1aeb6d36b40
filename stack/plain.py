"""Messages as the HTTP API gives them, for commands that print JSON."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message


def plain(message: "Message") -> dict[str, Any]:
    """A message as the HTTP API gives it."""
    from gateway.api.messages import to_json  # brings JSON Schema, which words do without

    return to_json(message)
