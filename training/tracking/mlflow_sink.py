"""A job's run in MLflow: found by its tag, or made.

The library's patience is cut short: who waits for MLflow is a thread, but it should end. Knows
nothing of jobs but their ids.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any

from training.settings import secret
from training.tracking.sink import Comparison, RunStart

JOB_TAG = "parley.job"
REQUEST_S = 5
_DATASET_DIGEST_DIGITS_MAX = 36
_PARAM_CHARACTERS_MAX = 6000
_keys: dict[str, str] = {}
_registering = threading.Lock()


class MlflowSink:
    """One run, through the client of the `mlflow` package."""

    def __init__(self, url: str, key_file: Path | None) -> None:
        from mlflow import environment_variables as variables
        from mlflow.tracking import MlflowClient

        variables.MLFLOW_HTTP_REQUEST_TIMEOUT.set(REQUEST_S)
        variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(1)
        if key_file is not None:
            _send_key(secret(key_file))
        self._client: Any = MlflowClient(tracking_uri=url)
        self._run_id = ""

    def open(self, start: RunStart) -> str:
        """Finds the job's run or makes it, and returns its id."""
        experiment = self._ensure_experiment(start.experiment)
        found = self._client.search_runs(
            [experiment], f"tags.`{JOB_TAG}` = '{start.job_id}'", max_results=1
        )
        if found:
            self._run_id = found[0].info.run_id
            self._client.update_run(self._run_id, status="RUNNING")
        else:
            tags = start.tags | {JOB_TAG: start.job_id}
            run = self._client.create_run(experiment, tags=tags, run_name=start.job_id[:64])
            self._run_id = run.info.run_id
        known = found[0].data.params if found else {}
        for name, value in start.params.items():
            if name not in known:
                self._client.log_param(self._run_id, name, value[:_PARAM_CHARACTERS_MAX])
        return self._run_id

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        """Adds values to the curves."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [Metric(_name(name), value, now_ms, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def log_dataset(self, digest: str, uri: str, context: str) -> None:
        """Names the data that went in."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow keeps 36 digits of a digest; the source has all of them.
        dataset = Dataset(
            name=context,
            digest=digest[:_DATASET_DIGEST_DIGITS_MAX],
            source_type="parley",
            source=json.dumps({"sha256": digest, "uri": uri}),
        )
        tags = [InputTag("mlflow.data.context", context)]
        self._client.log_inputs(self._run_id, datasets=[DatasetInput(dataset, tags)])

    def log_comparison(self, comparison: Comparison) -> None:
        """Adds the table and its picture."""
        rows = [[metric, *values] for metric, values in comparison.metrics.items()]
        table = {"columns": ["metric", *comparison.names], "data": rows}
        self._client.log_dict(self._run_id, table, "comparison.json")
        self._client.log_artifact(self._run_id, str(comparison.picture))

    def set_tag(self, name: str, value: str) -> None:
        """Adds a tag."""
        self._client.set_tag(self._run_id, name, value)

    def close(self, has_ended: bool, is_failed: bool) -> None:
        """Ends the run when the job does not write to it any more."""
        if has_ended:
            self._client.set_terminated(self._run_id, "FAILED" if is_failed else "FINISHED")

    def abandon(self) -> None:
        """Nothing of it outlives its thread, which is a daemon."""

    def _ensure_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        for _ in range(2):  # Another may make it in between.
            found = self._client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise RuntimeError(f"MLflow neither has the experiment {name} nor makes it")


def _name(metric: str) -> str:
    """MLflow takes letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "_" for sign in metric)


def _send_key(key: str) -> None:
    """Has every request carry the key, without putting it into the environment."""
    from mlflow.tracking.request_header.abstract_request_header_provider import (
        RequestHeaderProvider,
    )
    from mlflow.tracking.request_header.registry import _request_header_provider_registry

    class Bearer(RequestHeaderProvider):
        """The key as MLflow's plugins give headers."""

        def in_context(self) -> bool:
            """Always."""
            return True

        def request_headers(self) -> dict[str, str]:
            """The one header."""
            return {"Authorization": f"Bearer {_keys['key']}"}

    with _registering:
        if "key" not in _keys:
            _request_header_provider_registry.register(Bearer)
        _keys["key"] = key
