"""What the mesh holds at one moment: who serves what, and how each model's traffic is spread.

Plain values; `snapshot.py` turns them into Envoy's messages.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One replica: its unique name, and its address for proxies (`unix:/path` or `ip:port`).

    `ready` holds each model and version that it answers; `serving` is whether it takes requests.
    """

    name: str
    address: str
    ready: frozenset[tuple[str, str]]
    serving: bool


@dataclass(frozen=True, slots=True)
class Share:
    """A version's part of its model's requests, in percent."""

    version: str
    weight: int


@dataclass(frozen=True, slots=True)
class Aliased:
    """Another name of a version."""

    alias: str
    version: str


@dataclass(frozen=True, slots=True)
class ModelTraffic:
    """How requests that name a model are to be spread, whether or not replicas are ready for it."""

    model: str
    shares: tuple[Share, ...]
    aliases: tuple[Aliased, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeshState:
    """The whole mesh; `revision` is that of the registry's state, 0 without one."""

    members: tuple[Member, ...]
    models: tuple[ModelTraffic, ...]
    revision: int = 0
