"""An MLflow that keeps the rules which matter here, behind its REST interface.

Versions are numbered without reuse, nothing is idempotent, a deleted version takes its aliases
along silently, a missing alias is 400 and a missing version 404. What it does not know, it refuses.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

API = "/api/2.0/mlflow/"
Json = dict[str, Any]


class Refused(Exception):
    """An error as MLflow answers it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass
class Registered:
    """A registered model."""

    versions: dict[str, Json] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    last: int = 0


@dataclass
class FakeMlflow:
    """The state, and what tests may do to the server."""

    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    models: dict[str, Registered] = field(default_factory=dict)
    down: bool = False
    calls: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        """The server."""
        handlers: dict[tuple[str, str], Callable[[Json], Json]] = {
            ("GET", "experiments/get-by-name"): self._experiment,
            ("POST", "experiments/create"): self._create_experiment,
            ("POST", "experiments/search"): self._search_experiments,
            ("POST", "runs/create"): self._create_run,
            ("POST", "runs/search"): self._search_runs,
            ("GET", "runs/get"): lambda asked: {"run": self._run(asked)},
            ("POST", "runs/log-batch"): self._log_batch,
            ("POST", "runs/log-inputs"): self._log_inputs,
            ("POST", "runs/update"): self._update_run,
            ("POST", "registered-models/create"): self._create_model,
            ("GET", "registered-models/get"): self._get_model,
            ("DELETE", "registered-models/delete"): self._delete_model,
            ("POST", "model-versions/create"): self._create_version,
            ("GET", "model-versions/get"): lambda asked: {"model_version": self._version(asked)},
            ("GET", "model-versions/search"): self._search_versions,
            ("DELETE", "model-versions/delete"): self._delete_version,
            ("POST", "model-versions/set-tag"): self._set_tag,
            ("POST", "registered-models/alias"): self._set_alias,
            ("DELETE", "registered-models/alias"): self._delete_alias,
        }
        return Starlette(
            routes=[
                Route(API + path, self._answering(verb, path, handle), methods=[verb])
                for (verb, path), handle in handlers.items()
            ]
        )

    def _answering(self, verb: str, path: str, handle: Callable[[Json], Json]) -> Any:
        async def answer(request: Request) -> Response:
            if self.down:
                return Response("<html>502</html>", 502)
            asked = dict(request.query_params) if verb == "GET" else await request.json()
            self.calls.append(path)
            try:
                return JSONResponse(handle(asked))
            except Refused as refused:
                body = {"error_code": refused.code, "message": "no"}
                return JSONResponse(body, refused.status)

        return answer

    def _experiment(self, asked: Json) -> Json:
        found = _there(self.experiments.get(asked["experiment_name"]))
        return {"experiment": {"experiment_id": found}}

    def _create_experiment(self, asked: Json) -> Json:
        _not_there(asked["name"] in self.experiments)
        self.experiments[asked["name"]] = str(len(self.experiments))
        return {"experiment_id": self.experiments[asked["name"]]}

    def _search_experiments(self, asked: Json) -> Json:
        found = [{"name": name, "experiment_id": one} for name, one in self.experiments.items()]
        return {"experiments": found[: asked["max_results"]]}

    def _create_run(self, asked: Json) -> Json:
        info = {"run_id": uuid4().hex, "status": "RUNNING", "experiment": asked["experiment_id"]}
        run = {"info": info, "tags": _tags(asked), "metrics": {}, "params": {}, "inputs": []}
        self.runs[info["run_id"]] = run
        return {"run": run}

    def _search_runs(self, asked: Json) -> Json:
        key, value = _tag_filter(asked["filter"])
        return {"runs": [run for run in self.runs.values() if run["tags"].get(key) == value]}

    def _run(self, asked: Json) -> Json:
        return _there(self.runs.get(asked["run_id"]))

    def _log_batch(self, asked: Json) -> Json:
        run = self._run(asked)
        run["metrics"] |= {metric["key"]: metric["value"] for metric in asked["metrics"]}
        run["params"] |= {param["key"]: param["value"] for param in asked["params"]}
        return {}

    def _log_inputs(self, asked: Json) -> Json:
        run = self._run(asked)
        for dataset in asked["datasets"]:
            if len(dataset["dataset"]["digest"]) > 36:
                raise Refused(400, "INVALID_PARAMETER_VALUE")
            if dataset not in run["inputs"]:
                run["inputs"].append(dataset)
        return {}

    def _update_run(self, asked: Json) -> Json:
        self._run(asked)["info"]["status"] = asked["status"]
        return {}

    def _create_model(self, asked: Json) -> Json:
        _not_there(asked["name"] in self.models)
        self.models[asked["name"]] = Registered()
        return {"registered_model": {"name": asked["name"]}}

    def _get_model(self, asked: Json) -> Json:
        model = self._model(asked)
        aliases = [{"alias": name, "version": number} for name, number in model.aliases.items()]
        return {"registered_model": {"name": asked["name"], "aliases": aliases}}

    def _delete_model(self, asked: Json) -> Json:
        self._model(asked)
        del self.models[asked["name"]]
        return {}

    def _model(self, asked: Json) -> Registered:
        return _there(self.models.get(asked["name"]))

    def _create_version(self, asked: Json) -> Json:
        model = self._model(asked)
        model.last += 1
        number = str(model.last)
        model.versions[number] = {**asked, "version": number}
        return {"model_version": model.versions[number]}

    def _version(self, asked: Json) -> Json:
        return _there(self._model(asked).versions.get(asked["version"]))

    def _search_versions(self, asked: Json) -> Json:
        name = re.search(r"name = '([^']+)'", asked["filter"])
        model = self.models.get(name[1] if name else "", Registered())
        found = list(model.versions.values())
        if "tags." in asked["filter"]:
            key, value = _tag_filter(asked["filter"])
            found = [version for version in found if _tags(version).get(key) == value]
        return {"model_versions": found}

    def _delete_version(self, asked: Json) -> Json:
        self._version(asked)
        model = self._model(asked)
        del model.versions[asked["version"]]
        model.aliases = {k: v for k, v in model.aliases.items() if v != asked["version"]}
        return {}

    def _set_tag(self, asked: Json) -> Json:
        tag, version = {"key": asked["key"], "value": asked["value"]}, self._version(asked)
        others = [one for one in version["tags"] if one["key"] != tag["key"]]
        version["tags"] = [*others, tag]
        return {}

    def _set_alias(self, asked: Json) -> Json:
        self._version(asked)
        self._model(asked).aliases[asked["alias"]] = asked["version"]
        return {}

    def _delete_alias(self, asked: Json) -> Json:
        if self._model(asked).aliases.pop(asked["alias"], None) is None:
            raise Refused(400, "INVALID_PARAMETER_VALUE")
        return {}


def _there(found: Any) -> Any:
    if found is None:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST")
    return found


def _not_there(found: bool) -> None:
    if found:
        raise Refused(400, "RESOURCE_ALREADY_EXISTS")


def _tags(asked: Json) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in asked.get("tags", [])}


def _tag_filter(words: str) -> tuple[str, str]:
    found = re.search(r"tags\.`([^`]+)` = '([^']+)'", words)
    assert found, words
    return found[1], found[2]
