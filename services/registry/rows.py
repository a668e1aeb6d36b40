"""Rows to domain values and back. Knows no statement."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.registry.canary.steps import to_canary
from services.registry.model import (
    CHAMPION,
    Act,
    AuditEntry,
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
    Traffic,
    Version,
    VersionState,
)

Row = sa.RowMapping


def from_policy(policy: Policy) -> dict[str, Any]:
    """Writes a policy."""
    return asdict(policy)


def to_policy(value: Mapping[str, Any]) -> Policy:
    """Reads a policy."""
    gates = tuple(Gate(**gate) for gate in value["gates"])
    return Policy(gates, tuple(value["approvers"]))


def from_traffic(traffic: Traffic) -> dict[str, Any]:
    """Writes traffic; JSON's keys are text."""
    weights = {str(number): weight for number, weight in sorted(traffic.weights.items())}
    return {"weights": weights, "mirror": traffic.mirror}


def to_traffic(value: Mapping[str, Any]) -> Traffic:
    """Reads traffic."""
    weights = {int(number): weight for number, weight in value["weights"].items()}
    return Traffic(dict(sorted(weights.items())), value["mirror"])


def to_model(row: Row) -> Model:
    """Reads a model."""
    return Model(
        name=row["name"],
        policy=to_policy(row["policy"]),
        champion=row["champion"],
        predecessor=row["predecessor"],
        traffic=to_traffic(row["traffic"]),
        create_time=row["create_time"],
        drift=row["drift"],
    )


def to_version(row: Row) -> Version:
    """Reads a version, joined with whether it is the champion and with what was recorded of it;
    its number is 0 while pending."""
    return Version(
        model=row["model"],
        number=row["number"] or 0,
        state=VersionState(row["state"]),
        digest=row["digest"],
        engine_digest=row["engine_digest"],
        evidence=Evidence(**row["evidence"]),
        files=tuple(File(**file) for file in row["files"]),
        size_bytes=row["size_bytes"],
        architecture=row["architecture"],
        context_tokens_max=row["context_tokens_max"],
        create_time=row["create_time"],
        created_by=row["created_by"],
        source=row["source"],
        aliases=(CHAMPION,) if row["is_champion"] else (),
        evaluations=tuple(to_evaluation(one) for one in row["evaluations"] or ()),
    )


def to_evaluation(value: Mapping[str, Any]) -> Evaluation:
    """Reads an evaluation, which PostgreSQL wrote as JSON."""
    return Evaluation(
        evaluation_digest=value["evaluation_digest"],
        metrics=value["metrics"],
        time=datetime.fromisoformat(value["time"]),
        recorded_by=value["recorded_by"],
    )


def to_promotion(row: Row) -> Promotion:
    """Reads a promotion."""
    fields = {name: row[name] for name in Promotion.__slots__ if name not in ("state", "canary")}
    state, canary = PromotionState(row["state"]), to_canary(row["canary"])
    return Promotion(state=state, canary=canary, **fields)


def from_evidence(evidence: Evidence) -> dict[str, Any]:
    """Writes evidence."""
    return asdict(evidence)


def to_import(row: Row) -> Import:
    """Reads an import."""
    fields = {name: row[name] for name in Import.__slots__ if name not in ("state", "evidence")}
    return Import(state=ImportState(row["state"]), evidence=Evidence(**row["evidence"]), **fields)


def to_audit_entry(row: Row) -> AuditEntry:
    """Reads an entry of the audit."""
    act = Act(**{name: row[name] for name in Act.__slots__})
    return AuditEntry(row["id"], row["time"], act)
