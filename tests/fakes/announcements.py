"""An Airflow of which no more is asked than to run the DAG that tells of new datasets."""

from collections.abc import Collection, Mapping
from typing import Any

from services.jobs.data.announce import DAG
from services.rpc.errors import Unavailable


class FakeAnnouncements:
    """Keeps what it was told, once for each run's id; away while it is `down`."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.down = False
        self.paused = True

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was told, in order."""
        return list(self.runs.values())

    async def ask(
        self,
        verb: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        forgive: Collection[int] = (),
    ) -> dict[str, Any] | None:
        """Lets the DAG go on, and runs it."""
        if self.down:
            raise Unavailable("Airflow does not answer. Ask again.", reason="AIRFLOW_UNAVAILABLE")
        assert fields is not None
        if (verb, path) == ("PATCH", f"/dags/{DAG}"):
            self.paused = fields["is_paused"]
            return {}
        assert (verb, path, self.paused) == ("POST", f"/dags/{DAG}/dagRuns", False)
        assert fields["logical_date"] is None
        if fields["dag_run_id"] in self.runs:
            assert 409 in forgive
            return None
        self.runs[fields["dag_run_id"]] = fields["conf"]
        return {}
