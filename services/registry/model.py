"""What the registry speaks of: models, versions, what is known of them, and what was done.

Plain frozen values. Knows no database, no MLflow and no wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.registry.canary.steps import Canary

CHAMPION = "champion"
# The registry's own name, where it acts by itself.
PARLEY = "parley"


class VersionState(StrEnum):
    """What can be done with a version."""

    PENDING = "pending"
    READY = "ready"
    DELETED = "deleted"


class PromotionState(StrEnum):
    """How far a promotion has come."""

    WAITING = "waiting"
    CANARY = "canary"
    DONE = "done"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled back"


class ImportState(StrEnum):
    """How far an import has come."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Gate:
    """What one metric of a candidate must reach; None asks nothing."""

    metric: str
    lower_is_better: bool = False
    floor: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """By which rules a model's versions are promoted."""

    gates: tuple[Gate, ...] = ()
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a version. Digests are 64 hexadecimal digits, or empty when unknown."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    dataset_digest: str = ""
    evaluation_digest: str = ""
    run_id: str = ""
    wandb_run: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a version did on one dataset; its digest is empty when unknown."""

    evaluation_digest: str
    metrics: Mapping[str, float]
    time: datetime | None = None
    recorded_by: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Weights by version number, which sum to 100; and a version that gets copies, 0 for none."""

    weights: Mapping[int, int] = field(default_factory=dict)
    mirror: int = 0

    @property
    def numbers(self) -> set[int]:
        """Every version that it reaches."""
        return {*self.weights, *([self.mirror] if self.mirror else [])}


@dataclass(frozen=True, slots=True)
class Model:
    """A name under which versions come and go; 0 stands for no version."""

    name: str
    policy: Policy = Policy()
    champion: int = 0
    predecessor: int = 0
    traffic: Traffic = Traffic()
    create_time: datetime | None = None
    drift: str = ""

    @property
    def used(self) -> set[int]:
        """Versions that something relies on."""
        return (self.traffic.numbers | {self.champion, self.predecessor}) - {0}


@dataclass(frozen=True, slots=True)
class File:
    """A file of a version: its path in the model folder, and the object that holds it."""

    path: str
    size_bytes: int
    sha256: str
    key: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model. `evidence.run_id` is its MLflow run's, whoever made that."""

    model: str
    number: int
    state: VersionState
    digest: str
    engine_digest: str
    evidence: Evidence
    files: tuple[File, ...] = ()
    size_bytes: int = 0
    architecture: str = ""
    context_tokens_max: int = 0
    create_time: datetime | None = None
    created_by: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()
    # Recorded after it was registered, newest first.
    evaluations: tuple[Evaluation, ...] = ()

    @property
    def measured(self) -> tuple[Evaluation, ...]:
        """All that was measured of it: its evidence, then what was recorded later."""
        own = Evaluation(self.evidence.evaluation_digest, self.evidence.metrics)
        return (own, *self.evaluations)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A wish to make a version the champion: all at once, or in the steps of a canary."""

    id: str
    model: str
    number: int
    state: PromotionState
    requested_by: str
    reason: str
    previous: int
    answered_by: str = ""
    revision: int = 0
    rollback: bool = False
    canary: Canary | None = None


@dataclass(frozen=True, slots=True)
class Import:
    """A folder on its way to become a version."""

    id: str
    model: str
    state: ImportState
    # "local_folder", "s3_prefix" or "hub_id", and its value.
    source_kind: str
    source: str
    evidence: Evidence
    expected_digest: str
    principal: str
    stage: str = "check"
    fraction: float = 0.0
    message: str = ""
    reason: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is about to be done: who does it, what, to what, and why."""

    principal: str
    action: str
    model: str
    number: int = 0
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was done. Its id is also the revision of the state that it made."""

    id: int
    time: datetime
    act: Act


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference between the stores."""

    kind: str
    model: str
    message: str
    mended: bool = False


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that replicas should load."""

    version: Version
    standby: bool


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What replicas should serve under one name."""

    name: str
    champion: int
    traffic: Traffic
    versions: tuple[ServedVersion, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """The whole state that replicas should serve, at one revision."""

    revision: int
    models: tuple[ServedModel, ...]
