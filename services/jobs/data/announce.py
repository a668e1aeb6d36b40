"""Tells Airflow of a new dataset of feedback, so that what is scheduled on it runs.

A DAG does no more than to say so: our user may begin runs, and may not write assets' events.
"""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from services.jobs.data.exporting import Announce, News

DAG = "announce_feedback"
TOLD_BEFORE = 409


class Airflow(Protocol):
    """Calls of Airflow's REST interface. Raises Unavailable when it does not answer."""

    async def ask(
        self,
        verb: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        forgive: Collection[int] = (),
    ) -> dict[str, Any] | None:
        """Calls a path below /api/v2 and reads the answer; None where its status is forgiven."""


def announcer(airflow: Airflow) -> Announce:
    """Makes what an export calls when there is news. The same dataset is told of once."""

    async def announce(news: News) -> None:
        told = {
            "model": news.model,
            "dataset": f"sha256:{news.digest}",
            "submitted_by": news.submitted_by,
        }
        run = {
            "dag_run_id": f"feedback~{news.model}~{news.digest}",
            "logical_date": None,
            "conf": told,
        }
        await airflow.ask("PATCH", f"/dags/{DAG}", {"is_paused": False})
        await airflow.ask("POST", f"/dags/{DAG}/dagRuns", run, forgive={TOLD_BEFORE})

    return announce
