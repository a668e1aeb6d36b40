"""Tells Airflow of a new dataset, as an event of the asset that retraining is scheduled on."""

from collections.abc import Mapping
from typing import Any, Protocol

from services.jobs.data.exporting import Announce, News
from services.rpc.errors import Unavailable

ASSET = "parley://feedback"
RETRY_AFTER_S = 10.0


class Airflow(Protocol):
    """Calls of Airflow's REST interface. Raises Unavailable when it does not answer."""

    async def ask(
        self,
        verb: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """Calls a path below /api/v2 and reads the answer."""


def announcer(airflow: Airflow) -> Announce:
    """Makes what an export calls when there is news."""

    async def announce(news: News) -> None:
        extra = {
            "model": news.model,
            "dataset": f"sha256:{news.digest}",
            "submitted_by": news.submitted_by,
        }
        event = {"asset_id": await _find_asset(airflow), "extra": extra}
        await airflow.ask("POST", "/assets/events", event)

    return announce


async def _find_asset(airflow: Airflow) -> int:
    # Each time: a database of Airflow's that is made anew counts its assets anew.
    found = await airflow.ask("GET", "/assets", query={"uri_pattern": ASSET, "limit": 100})
    for asset in (found or {}).get("assets", []):
        if asset["uri"].rstrip("/") == ASSET:
            return int(asset["id"])
    raise Unavailable(
        "Airflow has not read its DAGs yet.",
        reason="AIRFLOW_UNAVAILABLE",
        retry_after_s=RETRY_AFTER_S,
    )
