"""What tasks ask of the registry, on behalf of who submitted the job; and the tasks that only ask.

Knows no weights and no data.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1.registry_pb2_grpc import RegistryStub

from training.errors import JobFailure, Unavailable
from training.tasks.task import Json, Task, run

CLIENT_KEY = "x-parley-client"
CALL_S = 10.0
POLL_S = 0.5
IMPORT_S = 1800.0
MARGIN = 0.02
"""How much worse than the champion a new version may be, where the model has no rules yet."""
_HOPELESS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
}


class RefusedError(JobFailure):
    """The registry answered that it will not; `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.code = code


class Registry:
    """The registry's calls, with deadlines, for one task."""

    def __init__(self, address: str, client: str) -> None:
        if not address:
            raise JobFailure("NO_REGISTRY", "this Parley has no registry: start it with one.")
        self._stub = RegistryStub(grpc.insecure_channel(address))
        self._metadata = ((CLIENT_KEY, client),)

    def ask(self, name: str, request: Any) -> Any:
        """Makes one call. Raises RefusedError, or Unavailable for what may pass by itself."""
        with _translated():
            return getattr(self._stub, name)(request, timeout=CALL_S, metadata=self._metadata)

    def find_model(self, name: str) -> pb.Model | None:
        """A model, if there is one of that name."""
        try:
            found: pb.Model = self.ask("GetModel", pb.GetModelRequest(name=name)).model
        except RefusedError as error:
            if error.code == grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return found

    def champion_of(self, model: str) -> int:
        """The number of a model's champion, 0 for none."""
        found = self.find_model(model)
        return found.champion if found else 0

    def version(self, model: str, version: str) -> pb.ModelVersion:
        """A version by number or alias."""
        found: pb.ModelVersion = self.ask(
            "GetModelVersion", pb.GetModelVersionRequest(model=model, version=version)
        ).version
        return found


def open_registry(task: Task) -> Registry:
    """The registry, on behalf of who submitted the task's job."""
    return Registry(task.settings.registry_address, task.job["submitted_by"])


def import_folder(task: Task, registry: Registry, request: pb.ImportModelRequest) -> int:
    """Imports a folder and waits until it is a version; returns its number."""
    task.progress(0.0, "Registering")
    started = getattr(registry.ask("ImportModel", request), "import")
    end_s = time.monotonic() + IMPORT_S
    while True:
        found = _ask_again(
            task, lambda: registry.ask("GetImport", pb.GetImportRequest(id=started.id))
        )
        done = getattr(found, "import")
        if done.state == pb.IMPORT_STATE_DONE:
            return int(done.number)
        if done.state == pb.IMPORT_STATE_FAILED:
            raise JobFailure(done.reason or "IMPORT_FAILED", done.message)
        if time.monotonic() > end_s:
            raise Unavailable("the import takes too long; it is looked at again")
        task.progress(done.fraction, f"Registering: {done.stage}")
        time.sleep(POLL_S)


def promote(job: Json, registered: Json) -> Json:
    """Asks for the promotion of what a job registered, unless the job says not to."""
    return run(job, "promote", lambda task: _promote(task, registered))


def ensure_policy(
    task: Task, registry: Registry, model: str, metric: str, lower_is_better: bool
) -> None:
    """Gives a model that has no rules yet one gate: not worse than the champion, by a margin."""
    found = registry.find_model(model)
    if found is not None and (found.policy.gates or found.policy.approvers):
        return
    gate = pb.Gate(metric=metric, lower_is_better=lower_is_better, margin=MARGIN)
    registry.ask(
        "SetModelPolicy",
        pb.SetModelPolicyRequest(
            name=model, policy=pb.ModelPolicy(gates=[gate]), request_id=task.request_id("policy")
        ),
    )


def _promote(task: Task, registered: Json) -> Json:
    model, number = registered["model"], int(registered["number"])
    if task.conf.get("no_promotion"):
        task.reporter.result(promotion="PROMOTION_OUTCOME_NOT_ASKED")
        return {"model": model, "number": number, "promotion": "NOT_ASKED"}
    registry = open_registry(task)
    expected = int(registered["champion"])
    try:
        told = _ask_promotion(task, registry, model, number, expected)
    except RefusedError as error:
        if error.code not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED):
            raise
        task.reporter.result(promotion="PROMOTION_OUTCOME_REFUSED", promotion_reason=error.message)
        task.reporter.line(f"not promoted: {error.message}")
        return {
            "model": model,
            "number": number,
            "promotion": "REFUSED",
            "reason": error.message,
        }
    is_done = told.state == pb.PROMOTION_STATE_DONE
    outcome = "PROMOTED" if is_done else "WAITING"
    task.reporter.result(promotion=f"PROMOTION_OUTCOME_{outcome}", promotion_id=told.id)
    task.reporter.line(f"{model} version {number}: {outcome.lower()}")
    return {"model": model, "number": number, "promotion": outcome, "promotion_id": told.id}


def _ask_promotion(
    task: Task, registry: Registry, model: str, number: int, expected: int
) -> pb.Promotion:
    """Once more, when the champion has moved meanwhile: gates look at the one there is."""
    for attempt in ("first", "second"):
        request = pb.PromoteModelVersionRequest(
            model=model,
            number=number,
            expected_champion=expected,
            reason=f"job {task.job['id']}",
            request_id=task.request_id(f"promote {attempt}"),
        )
        try:
            found: pb.Promotion = registry.ask("PromoteModelVersion", request).promotion
        except RefusedError as error:
            if error.code != grpc.StatusCode.ABORTED or attempt == "second":
                raise
            expected = registry.champion_of(model)
        else:
            return found
    raise AssertionError("the second attempt returns or raises")


def _ask_again(task: Task, call: Callable[[], Any]) -> Any:
    """A call that may be repeated, again while the registry is away for a while."""
    end_s = time.monotonic() + 60.0
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > end_s:
                raise
            task.check()
            time.sleep(POLL_S)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        code = error.code()
        if code in _HOPELESS or code in (
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.ALREADY_EXISTS,
        ):
            raise RefusedError(code, _reason(error) or code.name, error.details()) from error
        raise Unavailable(f"the registry answered {code.name}: {error.details()}") from error


def _reason(error: Any) -> str:
    """The UPPER_SNAKE reason in an error's details; empty when it has none."""
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if _is_of(detail, info):
                    detail.Unpack(info)
                    return str(info.reason)
    return ""


def _is_of(detail: any_pb2.Any, kind: error_details_pb2.ErrorInfo) -> bool:
    return bool(detail.Is(kind.DESCRIPTOR))
