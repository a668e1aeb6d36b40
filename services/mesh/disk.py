"""The last snapshot as files, from which Envoy starts while the mesh process is away, and which it
follows once that is back.

Each file is moved into its place whole. Nothing names what is not there yet: endpoints come before
clusters, clusters before routes, and what goes is removed behind the routes that have left it.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterEdsClusterConfig
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryResponse

from services.mesh.discovery import (
    CLUSTERS,
    CLUSTERS_FILE,
    ENDPOINTS,
    ENDPOINTS_FILES,
    ROUTES,
    ROUTES_FILE,
    endpoints_file,
    from_file,
)
from services.mesh.snapshot import Snapshot, hash_of
from services.mesh.typed import pack

OWNER_ONLY = 0o600
# Envoy reads files when it is told of them, and asks new replicas for their health first. Over a
# unix socket that takes some milliseconds.
WARM_S = 0.1


class Files:
    """A folder of its own, which is made if it is not there; this object is its only writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def write(self, snapshot: Snapshot) -> None:
        """Brings the files to what a snapshot says; one that stays as it is is not touched.

        Takes some tenths of a second where clusters come or go: Envoy, which may be reading along,
        does not say when it has. Raises OSError for a folder that cannot be written to.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, one in snapshot.resources[ENDPOINTS].items():
            self._put(endpoints_file(name), _response({name: one}))
        clusters = _response(
            {name: self._followed(one) for name, one in snapshot.resources[CLUSTERS].items()}
        )
        routes = _response(snapshot.resources[ROUTES])
        stale = self._stale(clusters["resources"])
        if self._put(CLUSTERS_FILE, _with(clusters, stale)):
            time.sleep(WARM_S)
        if self._put(ROUTES_FILE, routes) and stale:
            time.sleep(WARM_S)
        self._put(CLUSTERS_FILE, clusters)
        self._sweep({endpoints_file(name) for name in snapshot.resources[ENDPOINTS]})

    def _followed(self, cluster: Any) -> Cluster:
        """The cluster with its endpoints in a file instead of a stream."""
        copy = Cluster.parse(bytes(cluster))
        source = from_file(self._folder / endpoints_file(copy.name))
        copy.eds_cluster_config = ClusterEdsClusterConfig(eds_config=source)
        return copy

    def _stale(self, clusters: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The clusters that are on disk and no longer wanted."""
        wanted = {one["name"] for one in clusters}
        try:
            found = json.loads((self._folder / CLUSTERS_FILE).read_bytes())["resources"]
            return [one for one in found if one["name"] not in wanted]
        except (OSError, ValueError, KeyError, TypeError):
            return []  # nothing that Envoy could have read

    def _put(self, name: str, content: Mapping[str, Any]) -> bool:
        """Whether the file has changed. It is on the disk before it is in its place."""
        path = self._folder / name
        text = json.dumps(content, indent=1).encode()
        if path.exists() and path.read_bytes() == text:
            return False
        part = path.with_suffix(".part")
        with open(part, "wb", opener=_owner_only) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return True

    def _sweep(self, wanted: set[str]) -> None:
        for path in self._folder.glob(ENDPOINTS_FILES):
            if path.name not in wanted:
                path.unlink(missing_ok=True)


def _with(response: dict[str, Any], others: Sequence[Any]) -> dict[str, Any]:
    """The response with some more resources, under a version of its own."""
    if not others:
        return response
    version = f"{response['version_info']}+{len(others)}"
    return {"version_info": version, "resources": [*response["resources"], *others]}


def _response(resources: Mapping[str, Any]) -> dict[str, Any]:
    message = DiscoveryResponse(
        version_info=hash_of(resources), resources=[pack(one) for one in resources.values()]
    )
    # `str` keeps the fields' own names, as in the bootstrap.
    return message.to_dict(casing=str)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, OWNER_ONLY)
