"""What the registry asks of MLflow: runs, registered models, versions, one alias.

MLflow repeats nothing safely by itself: what must be made once is looked for first, by the id of
the registration that makes it, which each run and version carries as a tag. Versions are numbers
here, where MLflow has text. Knows nothing of Parley's tables.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.registry.model import Evidence
from services.rpc.mlflow_wire import EXISTS, MISSING, Json, MlflowWire

EXPERIMENT = "parley-imports"
REGISTRATION_TAG = "parley.registration"
EVALUATION_TAG = "parley.evaluation."
ALIAS = "registered-models/alias"
# Bounds of MLflow's own.
PARAMS_MAX = 100
DATASET_DIGEST_DIGITS_MAX = 36
PAGE_VERSIONS = 1000
PAGES_MAX = 100


@dataclass(frozen=True, slots=True)
class MlflowVersion:
    """A version as MLflow has it; `registration` is empty when it was not made here."""

    number: int
    registration: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Mlflow:
    """Runs, models and versions of one MLflow server."""

    def __init__(self, wire: MlflowWire) -> None:
        self._wire = wire

    async def check(self) -> None:
        """Raises Unavailable when MLflow is away."""
        wanted = {"experiment_name": EXPERIMENT}
        await self._wire.ask("GET", "experiments/get-by-name", wanted, forgive=MISSING)

    async def has_run(self, run_id: str) -> bool:
        """Whether there is a run of that id."""
        return bool(await self._wire.ask("GET", "runs/get", {"run_id": run_id}, forgive=MISSING))

    async def find_run(self, registration: str) -> str | None:
        """Finds the run that a registration made."""
        wanted = {
            "experiment_ids": [await self._ensure_experiment()],
            "filter": f"tags.`{REGISTRATION_TAG}` = '{registration}'",
            "max_results": 1,
        }
        found = await self._post("runs/search", wanted)
        return next((run["info"]["run_id"] for run in found.get("runs", [])), None)

    async def ensure_run(self, name: str, registration: str) -> str:
        """Finds the run that a registration made, or makes it; returns its id."""
        found = await self.find_run(registration)
        if found is not None:
            return found
        new = {
            "experiment_id": await self._ensure_experiment(),
            "run_name": name,
            "start_time": _now_ms(),
            "tags": _pairs({REGISTRATION_TAG: registration}),
        }
        run_id: str = (await self._post("runs/create", new))["run"]["info"]["run_id"]
        return run_id

    async def fill_run(self, run_id: str, evidence: Evidence, params: Mapping[str, str]) -> None:
        """Writes evidence into a run and ends it. Safe to repeat."""
        now_ms = _now_ms()
        metrics = [
            {"key": key, "value": value, "timestamp": now_ms, "step": 0}
            for key, value in evidence.metrics.items()
        ]
        logged = {"metrics": metrics, "params": _pairs(params)[:PARAMS_MAX]}
        await self._post("runs/log-batch", {"run_id": run_id, **logged})
        if evidence.dataset_digest:
            inputs = {"run_id": run_id, "datasets": [_dataset(evidence.dataset_digest)]}
            await self._post("runs/log-inputs", inputs)
        await self._end_run(run_id, "FINISHED")

    async def kill_run(self, run_id: str) -> None:
        """Ends a run that came to nothing."""
        await self._end_run(run_id, "KILLED")

    async def ensure_model(self, model: str) -> None:
        """Makes a registered model when there is none of that name."""
        await self._post("registered-models/create", {"name": model}, forgive=EXISTS)

    async def find_aliases(self, model: str) -> dict[str, int] | None:
        """Finds a registered model's aliases; None when there is no such model."""
        found = await self._wire.ask(
            "GET", "registered-models/get", {"name": model}, forgive=MISSING
        )
        if not found:
            return None
        aliases = found["registered_model"].get("aliases", [])
        return {alias["alias"]: int(alias["version"]) for alias in aliases}

    async def delete_model(self, model: str) -> None:
        """Deletes a registered model; one that is not there is as good as deleted."""
        await self._wire.ask("DELETE", "registered-models/delete", {"name": model}, forgive=MISSING)

    async def list_versions(self, model: str, registration: str = "") -> list[MlflowVersion]:
        """Lists a model's versions; with `registration`, those that it made."""
        wanted: Json = {"filter": f"name = '{model}'", "max_results": PAGE_VERSIONS}
        if registration:
            wanted["filter"] += f" AND tags.`{REGISTRATION_TAG}` = '{registration}'"
        versions: list[MlflowVersion] = []
        for _ in range(PAGES_MAX):
            page = await self._wire.ask("GET", "model-versions/search", wanted)
            versions += [_to_version(version) for version in page.get("model_versions", [])]
            if not page.get("next_page_token"):
                break
            wanted["page_token"] = page["next_page_token"]
        return versions

    async def ensure_version(
        self, model: str, source: str, run_id: str, tags: Mapping[str, str]
    ) -> int:
        """Finds the version that a registration made, or makes it; returns its number.

        `tags` must have the registration's id.
        """
        for version in await self.list_versions(model, tags[REGISTRATION_TAG]):
            return version.number
        new = {"name": model, "source": source, "run_id": run_id, "tags": _pairs(tags)}
        made = await self._post("model-versions/create", new)
        return int(made["model_version"]["version"])

    async def has_version(self, model: str, number: int) -> bool:
        """Whether MLflow has a version."""
        wanted = {"name": model, "version": str(number)}
        found = await self._wire.ask("GET", "model-versions/get", wanted, forgive=MISSING)
        return bool(found)

    async def delete_version(self, model: str, number: int) -> None:
        """Deletes a version; one that is not there is as good as deleted."""
        gone = {"name": model, "version": str(number)}
        await self._wire.ask("DELETE", "model-versions/delete", gone, forgive=MISSING)

    async def set_tag(self, model: str, number: int, key: str, value: str) -> None:
        """Tags a version. The last writer wins; one that is not there needs no tag."""
        tag = {"name": model, "version": str(number), "key": key, "value": value}
        await self._post("model-versions/set-tag", tag, forgive=MISSING)

    async def set_alias(self, model: str, alias: str, number: int) -> None:
        """Makes an alias name a version. The last writer wins."""
        await self._post(ALIAS, {"name": model, "alias": alias, "version": str(number)})

    async def _end_run(self, run_id: str, status: str) -> None:
        ended = {"run_id": run_id, "status": status, "end_time": _now_ms()}
        await self._post("runs/update", ended, forgive=MISSING)

    async def _ensure_experiment(self) -> str:
        for _ in range(2):  # Another may make it in between.
            wanted = {"experiment_name": EXPERIMENT}
            found = await self._wire.ask("GET", "experiments/get-by-name", wanted, forgive=MISSING)
            if found:
                break
            await self._post("experiments/create", {"name": EXPERIMENT}, forgive=EXISTS)
        experiment_id: str = found["experiment"]["experiment_id"]
        return experiment_id

    async def _post(self, path: str, fields: Json, *, forgive: tuple[str, ...] = ()) -> Json:
        return await self._wire.ask("POST", path, fields, forgive=forgive)


def evaluation_tag(digest: str, metrics: Mapping[str, float]) -> tuple[str, str]:
    """The tag that tells an evaluation: its key, and its metrics as JSON.

    Not metrics of the run: those have one value for a name, whatever dataset it was measured on.
    """
    values = {name: float(metrics[name]) for name in sorted(metrics)}
    return f"{EVALUATION_TAG}{digest}", json.dumps(values)


def _to_version(found: Mapping[str, Any]) -> MlflowVersion:
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    return MlflowVersion(int(found["version"]), tags.get(REGISTRATION_TAG, ""), tags)


def _dataset(digest: str) -> Json:
    # MLflow keeps 36 digits of a digest; the source has all of them.
    dataset = {
        "name": "training",
        "digest": digest[:DATASET_DIGEST_DIGITS_MAX],
        "source_type": "parley",
        "source": f'{{"sha256": "{digest}"}}',
    }
    return {"tags": _pairs({"mlflow.data.context": "training"}), "dataset": dataset}


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _now_ms() -> int:
    return int(time.time() * 1000)
