"""An Airflow of which no more is asked than its assets and their events."""

from collections.abc import Mapping
from typing import Any

from services.rpc.errors import Unavailable


class FakeAssets:
    """Knows some assets, and keeps their events; away while it is `down`."""

    def __init__(self, *uris: str) -> None:
        self.assets = [{"id": number, "uri": uri} for number, uri in enumerate(uris, 7)]
        self.events: list[dict[str, Any]] = []
        self.down = False

    async def ask(
        self,
        verb: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """Finds assets by a part of their address, and takes events."""
        if self.down:
            raise Unavailable("Airflow does not answer. Ask again.", reason="AIRFLOW_UNAVAILABLE")
        if (verb, path) == ("POST", "/assets/events"):
            assert fields
            assert fields["asset_id"] in [asset["id"] for asset in self.assets]
            self.events.append(fields["extra"])
            return {}
        assert (verb, path) == ("GET", "/assets")
        assert query
        found = [asset for asset in self.assets if query["uri_pattern"] in asset["uri"]]
        return {"assets": found}
