"""The registry's values as messages of parley.registry.v1, and back."""

import json
import math
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb

from services.registry.canary.steps import STEP_DURATION_S, WHOLE, Canary
from services.registry.model import (
    AuditEntry,
    Drift,
    Evaluation,
    Evidence,
    File,
    Gate,
    Import,
    ImportState,
    Model,
    Policy,
    Promotion,
    PromotionState,
    Served,
    ServedModel,
    Traffic,
    Version,
    VersionState,
)
from services.rpc.errors import InvalidArgument

VERSION_STATES = {
    VersionState.PENDING: pb.VERSION_STATE_PENDING,
    VersionState.READY: pb.VERSION_STATE_READY,
    VersionState.DELETED: pb.VERSION_STATE_DELETED,
}
PROMOTION_STATES = {
    PromotionState.WAITING: pb.PROMOTION_STATE_WAITING,
    PromotionState.CANARY: pb.PROMOTION_STATE_CANARY,
    PromotionState.DONE: pb.PROMOTION_STATE_DONE,
    PromotionState.REJECTED: pb.PROMOTION_STATE_REJECTED,
    PromotionState.ROLLED_BACK: pb.PROMOTION_STATE_ROLLED_BACK,
}
IMPORT_STATES = {
    ImportState.RUNNING: pb.IMPORT_STATE_RUNNING,
    ImportState.DONE: pb.IMPORT_STATE_DONE,
    ImportState.FAILED: pb.IMPORT_STATE_FAILED,
}


def to_policy(message: pb.ModelPolicy) -> Policy:
    """Reads rules."""
    gates = tuple(
        Gate(
            metric=gate.metric,
            lower_is_better=gate.lower_is_better,
            floor=gate.floor if gate.HasField("floor") else None,
            margin=gate.margin if gate.HasField("margin") else None,
        )
        for gate in message.gates
    )
    return Policy(gates, tuple(message.approvers))


def to_traffic(message: pb.Traffic) -> Traffic:
    """Reads traffic; raises InvalidArgument when a version is named twice."""
    weights = {route.number: route.weight for route in message.routes}
    if len(weights) < len(message.routes):
        raise _invalid("traffic.routes", "A version must be named once.")
    return Traffic(weights, message.mirror)


def to_canary(request: pb.PromoteModelVersionRequest) -> Canary | None:
    """Reads the wish for a canary; None where there is none."""
    if not request.HasField("canary"):
        return None
    asked = request.canary
    duration_s = STEP_DURATION_S
    if asked.HasField("step_duration"):
        duration_s = asked.step_duration.ToNanoseconds() / 1e9
    return Canary(tuple(asked.steps), duration_s)


def to_evidence(message: pb.Evidence) -> Evidence:
    """Reads evidence; raises InvalidArgument when a metric is not a finite number."""
    return Evidence(
        metrics=_to_metrics("evidence.metrics", message.metrics),
        dataset_digest=message.dataset_digest,
        evaluation_digest=message.evaluation_digest,
        run_id=message.run_id,
        wandb_run=message.wandb_run,
    )


def to_evaluation(request: pb.RecordEvaluationRequest, principal: str) -> Evaluation:
    """Reads an evaluation; raises InvalidArgument as `to_evidence` does."""
    metrics = _to_metrics("metrics", request.metrics)
    return Evaluation(request.evaluation_digest, metrics, recorded_by=principal)


def to_import(request: pb.ImportModelRequest, principal: str) -> Import:
    """Reads the wish for an import; raises InvalidArgument as `to_evidence` does."""
    kind = request.WhichOneof("source") or ""
    return Import(
        id=request.request_id,
        model=request.model,
        state=ImportState.RUNNING,
        source_kind=kind,
        source=getattr(request, kind),
        evidence=to_evidence(request.evidence),
        expected_digest=request.expected_digest,
        principal=principal,
    )


def from_model(model: Model, waiting: list[Promotion]) -> pb.Model:
    """Writes a model and the promotions of it that are under way."""
    return pb.Model(
        name=model.name,
        policy=_from_policy(model.policy),
        champion=model.champion,
        predecessor=model.predecessor,
        traffic=_from_traffic(model.traffic),
        waiting=[from_promotion(one) for one in waiting if one.model == model.name],
        create_time=_from_time(model.create_time),
        drift=model.drift,
    )


def from_version(version: Version) -> pb.ModelVersion:
    """Writes a version."""
    return pb.ModelVersion(
        model=version.model,
        number=version.number,
        state=VERSION_STATES[version.state],
        digest=version.digest,
        engine_digest=version.engine_digest,
        evidence=_from_evidence(version.evidence),
        aliases=version.aliases,
        size_bytes=version.size_bytes,
        architecture=version.architecture,
        context_tokens_max=version.context_tokens_max,
        create_time=_from_time(version.create_time),
        created_by=version.created_by,
        source=version.source,
        evaluations=[_from_evaluation(one) for one in version.evaluations],
    )


def from_promotion(promotion: Promotion) -> pb.Promotion:
    """Writes a promotion."""
    return pb.Promotion(
        id=promotion.id,
        model=promotion.model,
        number=promotion.number,
        state=PROMOTION_STATES[promotion.state],
        requested_by=promotion.requested_by,
        reason=promotion.reason,
        answered_by=promotion.answered_by,
        previous=promotion.previous,
        revision=promotion.revision,
        canary=_from_canary(promotion),
    )


def from_import(row: Import) -> pb.Import:
    """Writes an import."""
    return pb.Import(
        id=row.id,
        model=row.model,
        state=IMPORT_STATES[row.state],
        stage=row.stage,
        fraction=row.fraction,
        message=row.message,
        reason=row.reason,
        number=row.number,
    )


def from_audit_entry(entry: AuditEntry) -> pb.AuditEntry:
    """Writes an entry of the audit."""
    act = entry.act
    return pb.AuditEntry(
        id=entry.id,
        time=_from_time(entry.time),
        principal=act.principal,
        action=act.action,
        model=act.model,
        number=act.number,
        from_json=json.dumps(act.before),
        to_json=json.dumps(act.after),
        reason=act.reason,
        evidence_json=json.dumps(act.evidence),
        request_id=act.request_id,
    )


def from_file(file: File, url: str) -> pb.ModelFile:
    """Writes a file and where it can be fetched."""
    return pb.ModelFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, url=url)


def from_drift(drift: Drift) -> pb.Drift:
    """Writes a difference."""
    return pb.Drift(kind=drift.kind, message=drift.message, mended=drift.mended)


def from_served(served: Served) -> pb.WatchModelsResponse:
    """Writes the state that replicas should serve."""
    models = [_from_served_model(model) for model in served.models]
    return pb.WatchModelsResponse(revision=served.revision, models=models)


def _from_served_model(model: ServedModel) -> pb.ServedModel:
    versions = [
        pb.ServedVersion(
            number=served.version.number,
            digest=served.version.digest,
            engine_digest=served.version.engine_digest,
            aliases=served.version.aliases,
            run_id=served.version.evidence.run_id,
            dataset_digest=served.version.evidence.dataset_digest,
            standby=served.standby,
        )
        for served in model.versions
    ]
    return pb.ServedModel(
        name=model.name,
        champion=model.champion,
        traffic=_from_traffic(model.traffic),
        versions=versions,
    )


def _from_canary(promotion: Promotion) -> canary_pb2.CanaryProgress | None:
    canary = promotion.canary
    if canary is None:
        return None
    weights = {PromotionState.CANARY: canary.weight, PromotionState.DONE: WHOLE}
    duration, began = Duration(), Timestamp()
    duration.FromNanoseconds(round(canary.step_duration_s * 1e9))
    began.FromNanoseconds(round(canary.step_s * 1e9))
    return canary_pb2.CanaryProgress(
        canary=canary_pb2.Canary(steps=canary.steps, step_duration=duration),
        step=canary.step,
        weight=weights.get(promotion.state, 0),
        step_time=began if canary.step_s else None,
        verdict=canary.verdict,
        evidence_json=json.dumps(canary.evidence),
    )


def _from_policy(policy: Policy) -> pb.ModelPolicy:
    gates = [
        pb.Gate(
            metric=gate.metric,
            lower_is_better=gate.lower_is_better,
            floor=gate.floor,
            margin=gate.margin,
        )
        for gate in policy.gates
    ]
    return pb.ModelPolicy(gates=gates, approvers=policy.approvers)


def _from_traffic(traffic: Traffic) -> pb.Traffic:
    routes = [pb.Route(number=n, weight=weight) for n, weight in sorted(traffic.weights.items())]
    return pb.Traffic(routes=routes, mirror=traffic.mirror)


def _from_evidence(evidence: Evidence) -> pb.Evidence:
    return pb.Evidence(
        metrics=evidence.metrics,
        dataset_digest=evidence.dataset_digest,
        evaluation_digest=evidence.evaluation_digest,
        run_id=evidence.run_id,
        wandb_run=evidence.wandb_run,
    )


def _from_evaluation(evaluation: Evaluation) -> pb.Evaluation:
    return pb.Evaluation(
        evaluation_digest=evaluation.evaluation_digest,
        metrics=evaluation.metrics,
        time=_from_time(evaluation.time),
        recorded_by=evaluation.recorded_by,
    )


def _to_metrics(field: str, metrics: Mapping[str, float]) -> dict[str, float]:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise _invalid(field, f"Metric {name!r} is not a finite number.")
        if "\0" in name:
            raise _invalid(field, f"Metric {name!r} has a name that cannot be stored.")
    return dict(metrics)


def _from_time(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _invalid(field: str, words: str) -> InvalidArgument:
    return InvalidArgument(words, reason="INVALID_FIELD", metadata={"field": field})
