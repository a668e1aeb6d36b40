"""Seconds, as the contracts carry them."""

from google.protobuf.duration_pb2 import Duration


def to_duration(seconds: float) -> Duration:
    """A number of seconds as a message, to the microsecond."""
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1e6))
    return duration
