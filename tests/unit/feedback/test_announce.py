"""What Airflow is told of a new dataset."""

from collections.abc import Mapping
from typing import Any

import pytest

from services.jobs.data.announce import ASSET, announcer
from services.jobs.data.exporting import News
from services.rpc.errors import Unavailable


class FakeAirflow:
    """Knows some assets, and keeps their events."""

    def __init__(self, *uris: str) -> None:
        self.assets = [{"id": number, "uri": uri} for number, uri in enumerate(uris, 7)]
        self.events: list[Any] = []

    async def ask(
        self,
        verb: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """See Airflow."""
        if (verb, path) == ("POST", "/assets/events"):
            self.events.append(fields)
            return {}
        assert (verb, path) == ("GET", "/assets")
        assert query
        found = [asset for asset in self.assets if query["uri_pattern"] in asset["uri"]]
        return {"assets": found}


async def test_an_event_says_which_model_and_dataset():
    """It is of the one asset, whatever others are called like it."""
    airflow = FakeAirflow(f"{ASSET}/other", ASSET)
    await announcer(airflow)(News("m", "d" * 64, "ada"))
    extra = {"model": "m", "dataset": f"sha256:{'d' * 64}", "submitted_by": "ada"}
    assert airflow.events == [{"asset_id": 8, "extra": extra}]


async def test_an_airflow_without_the_asset_is_not_ready():
    """It reads its DAGs for a while after it has begun to answer."""
    with pytest.raises(Unavailable):
        await announcer(FakeAirflow())(News("m", "d" * 64, "ada"))
