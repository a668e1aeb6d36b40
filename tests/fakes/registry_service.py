"""A Registry in memory that keeps the contract's rules: small, and no store behind it.

Numbers count up, a repeat of a request_id is answered with the first answer, another champion than
the expected one refuses, gates look at metrics, and approvals are for approvers. It runs behind
Parley's own server and interceptor, so its errors look as the registry's do.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from functools import wraps
from itertools import islice
from typing import Any

import grpc
from google.protobuf.message import Message
from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.rpc import errors
from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from tests.fakes import registry_canaries

NAME = "parley.registry.v1.Registry"
PAGE = 100
STAGES = ("check", "export", "store", "register")
_ANSWER_ID = re.compile(r"(?:chatcmpl|cmpl)-([0-9a-f]{12})-(\d+)-(\d+)-\w+")
Method = Callable[[Any, Any, grpc.aio.ServicerContext], Awaitable[Any]]


def once(method: Method) -> Method:
    """Answers a repeat with the first answer, and refuses one with other fields."""

    @wraps(method)
    async def answer(self: "FakeRegistry", request: Message, context: Any) -> Message:
        self.note(context)
        key, asked = request.request_id, request.SerializeToString(deterministic=True)
        if key in self.answers:
            before, told = self.answers[key]
            if before != asked:
                raise errors.AlreadyExists(
                    "That request id was used for something else.", reason="REQUEST_ID_TAKEN"
                )
            return told
        told = await method(self, request, context)
        self.answers[key] = (asked, told)
        return told

    return answer


class FakeRegistry(pb_grpc.RegistryServicer):
    """Holds everything in plain sight, for tests to look at and to change."""

    def __init__(self) -> None:
        self.models: dict[str, pb.Model] = {}
        self.versions: dict[str, list[pb.ModelVersion]] = {}
        self.imports: dict[str, pb.Import] = {}
        self.promotions: dict[str, pb.Promotion] = {}
        self.audit: list[pb.AuditEntry] = []
        self.answers: dict[str, tuple[bytes, Message]] = {}
        self.metadata: list[dict[str, str]] = []
        self.revision = 0
        # Names of clients by their keys, as the mesh knows them.
        self.clients: dict[str, str] = {}
        # Raised one by one, a call each.
        self.refusals: list[errors.ParleyError] = []
        # The same, for GetImport and GetPromotion alone.
        self.interruptions: list[errors.ParleyError] = []
        # The step, from 0, at which a canary does worse than the champion; none for one that holds.
        self.worse_at: int | None = None
        # Whether canaries go on by themselves, a step each time that somebody looks.
        self.canaries_move = True

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the service to a server."""
        pb_grpc.add_RegistryServicer_to_server(self, server)

    def add_version(self, model: str, **evidence: Any) -> pb.ModelVersion:
        """Registers one more version, which is ready."""
        self.models.setdefault(model, pb.Model(name=model))
        known = self.versions.setdefault(model, [])
        number = len(known) + 1
        version = pb.ModelVersion(
            model=model,
            number=number,
            state=pb.VERSION_STATE_READY,
            digest=hashlib.sha256(f"{model}{number}".encode()).hexdigest(),
            evidence=pb.Evidence(**evidence),
            size_bytes=1 << 33,
            created_by="local",
        )
        version.create_time.GetCurrentTime()
        known.append(version)
        return version

    def note(self, context: grpc.aio.ServicerContext) -> str:
        """Keeps what came with a call; gives its principal."""
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.refusals:
            raise self.refusals.pop(0)
        found = self.metadata[-1]
        key = found.get("authorization", "").removeprefix("Bearer ")
        return found.get("x-parley-principal") or self.clients.get(key, "local")

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> Message:
        """By name."""
        self.note(context)
        names, token = _page(sorted(self.models), request)
        return pb.ListModelsResponse(
            models=[self.models[name] for name in names], next_page_token=token
        )

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> Message:
        """By its name."""
        self.note(context)
        return pb.GetModelResponse(model=self._model(request.name))

    @once
    async def SetModelPolicy(self, request: pb.SetModelPolicyRequest, context: Any) -> Message:
        """Makes the model where there is none."""
        model = self.models.setdefault(request.name, pb.Model(name=request.name))
        model.policy.CopyFrom(request.policy)
        return pb.SetModelPolicyResponse(model=model)

    async def ListModelVersions(self, request: Any, context: Any) -> Message:
        """Newest first."""
        self.note(context)
        self._model(request.model)
        known = reversed(self.versions.get(request.model, []))
        found, token = _page(list(known), request)
        return pb.ListModelVersionsResponse(versions=found, next_page_token=token)

    async def GetModelVersion(self, request: pb.GetModelVersionRequest, context: Any) -> Message:
        """By number, alias or digits."""
        self.note(context)
        return pb.GetModelVersionResponse(version=self._version(request.model, request.version))

    @once
    async def DeleteModelVersion(self, request: Any, context: Any) -> Message:
        """Not the champion."""
        model = self._model(request.model)
        version = self._version(model.name, str(request.number))
        if version.number in (model.champion, model.predecessor):
            raise errors.FailedPrecondition("That version is in use.", reason="VERSION_IN_USE")
        version.state = pb.VERSION_STATE_DELETED
        self._write("delete", model.name, request, context)
        return pb.DeleteModelVersionResponse(version=version)

    @once
    async def RecordEvaluation(self, request: pb.RecordEvaluationRequest, context: Any) -> Message:
        """In the place of what was recorded of the same dataset."""
        version = self._version(request.model, str(request.number))
        others = [
            one for one in version.evaluations if one.evaluation_digest != request.evaluation_digest
        ]
        new = pb.Evaluation(
            evaluation_digest=request.evaluation_digest,
            metrics=request.metrics,
            recorded_by=self.note(context),
        )
        new.time.GetCurrentTime()
        del version.evaluations[:]
        version.evaluations.extend([new, *others])
        self._write("evaluate", request.model, request, context)
        return pb.RecordEvaluationResponse(version=version)

    @once
    async def ImportModel(self, request: pb.ImportModelRequest, context: Any) -> Message:
        """It goes one stage further each time that somebody looks."""
        if request.local_folder and not request.local_folder.startswith("/"):
            raise errors.InvalidArgument(
                "The folder's path is not absolute.", reason="INVALID_FIELD"
            )
        begun = pb.Import(
            id=request.request_id,
            model=request.model,
            state=pb.IMPORT_STATE_RUNNING,
            stage=STAGES[0],
        )
        self.imports[begun.id] = begun
        self._write("import", request.model, request, context)
        return pb.ImportModelResponse(**{"import": begun})

    async def GetImport(self, request: pb.GetImportRequest, context: Any) -> Message:
        """Goes on with it, for nobody else does."""
        self.note(context)
        if self.interruptions:
            raise self.interruptions.pop(0)
        found = self.imports.get(request.id)
        if found is None:
            raise errors.NotFound("There is no such import.", reason="IMPORT_NOT_FOUND")
        if found.state == pb.IMPORT_STATE_RUNNING:
            index = STAGES.index(found.stage) + 1
            found.fraction = index / len(STAGES)
            if index < len(STAGES):
                found.stage = STAGES[index]
            else:
                found.state = pb.IMPORT_STATE_DONE
                found.number = self.add_version(found.model).number
        return pb.GetImportResponse(**{"import": found})

    @once
    async def PromoteModelVersion(self, request: Any, context: Any) -> Message:
        """Asks the gates, and then the approvers."""
        model = self._model(request.model)
        version = self._version(model.name, str(request.number))
        self._expect(model, request.expected_champion)
        for gate in model.policy.gates:
            _pass(gate, version)
        promotion = pb.Promotion(
            id=request.request_id,
            model=model.name,
            number=request.number,
            requested_by=self.note(context),
            reason=request.reason,
            previous=model.champion,
        )
        self.promotions[promotion.id] = promotion
        if model.policy.approvers:
            promotion.state = pb.PROMOTION_STATE_WAITING
            model.waiting.append(promotion)
        elif request.HasField("canary"):
            registry_canaries.begin(promotion, model, request.canary)
        else:
            self._crown(promotion)
        self._write("promote", model.name, request, context)
        return pb.PromoteModelVersionResponse(promotion=promotion)

    async def GetPromotion(self, request: canary_pb2.GetPromotionRequest, context: Any) -> Message:
        """A canary goes one step further each time that somebody looks."""
        self.note(context)
        if self.interruptions:
            raise self.interruptions.pop(0)
        found = self.promotions.get(request.id)
        if found is None:
            raise errors.NotFound("There is no such promotion.", reason="PROMOTION_NOT_FOUND")
        if found.state == pb.PROMOTION_STATE_CANARY and self.canaries_move:
            model = self.models[found.model]
            if not registry_canaries.move(found, model, self.worse_at):
                self._crown(found)
        return pb.GetPromotionResponse(promotion=found)

    @once
    async def AnswerPromotion(self, request: pb.AnswerPromotionRequest, context: Any) -> Message:
        """By an approver who did not ask."""
        promotion = self.promotions.get(request.id)
        if promotion is None:
            raise errors.NotFound("There is no such promotion.", reason="PROMOTION_NOT_FOUND")
        model, who = self._model(promotion.model), self.note(context)
        if promotion.state != pb.PROMOTION_STATE_WAITING:
            raise errors.FailedPrecondition("It was answered before.", reason="PROMOTION_ANSWERED")
        if who not in model.policy.approvers:
            raise errors.PermissionDenied(f"{who} may not answer it.", reason="NOT_AN_APPROVER")
        if who == promotion.requested_by:
            raise errors.PermissionDenied(f"{who} asked for it.", reason="OWN_PROMOTION")
        promotion.answered_by = who
        promotion.state = pb.PROMOTION_STATE_REJECTED
        if request.approve:
            self._crown(promotion)
        del model.waiting[:]
        self._write("answer", model.name, request, context)
        return pb.AnswerPromotionResponse(promotion=promotion)

    @once
    async def RollbackModel(self, request: pb.RollbackModelRequest, context: Any) -> Message:
        """To the predecessor."""
        model = self._model(request.model)
        self._expect(model, request.expected_champion)
        for one in model.waiting:
            if one.state == pb.PROMOTION_STATE_CANARY:
                ended = self.promotions[one.id]
                registry_canaries.end(ended, model, f"ended by {self.note(context)}")
                return pb.RollbackModelResponse(promotion=ended)
        if not model.predecessor:
            raise errors.FailedPrecondition("There is no predecessor.", reason="NO_PREDECESSOR")
        promotion = pb.Promotion(
            id=request.request_id,
            model=model.name,
            number=model.predecessor,
            previous=model.champion,
        )
        self._crown(promotion)
        self._write("rollback", model.name, request, context)
        return pb.RollbackModelResponse(promotion=promotion)

    @once
    async def SetTraffic(self, request: pb.SetTrafficRequest, context: Any) -> Message:
        """Weights sum to 100."""
        model = self._model(request.model)
        self._expect(model, request.expected_champion)
        if sum(route.weight for route in request.traffic.routes) != 100:
            raise errors.InvalidArgument(
                "The weights do not sum to 100.",
                reason="INVALID_FIELD",
                metadata={"field": "traffic"},
            )
        for route in request.traffic.routes:
            self._version(model.name, str(route.number))
        model.traffic.CopyFrom(request.traffic)
        self.revision += 1
        self._write("traffic", model.name, request, context)
        return pb.SetTrafficResponse(model=model, revision=self.revision)

    async def GetLineage(self, request: pb.GetLineageRequest, context: Any) -> Message:
        """By digits and number in an answer's id, or by a dataset."""
        self.note(context)
        every = [version for known in self.versions.values() for version in known]
        if request.dataset_digest:
            wanted = request.dataset_digest
            found = [one for one in every if one.evidence.dataset_digest == wanted]
            return pb.GetLineageResponse(versions=found)
        match = _ANSWER_ID.fullmatch(request.response_id)
        if not match:
            raise errors.InvalidArgument("That is no id of an answer.", reason="INVALID_FIELD")
        found = [one for one in every if one.digest.startswith(match[1])]
        if not found:
            raise errors.NotFound("No version here gave this answer.", reason="ANSWER_NOT_FOUND")
        deployment = self.audit[-1] if self.audit else None
        return pb.GetLineageResponse(versions=found, deployment=deployment, revision=int(match[3]))

    async def ListAuditEntries(self, request: Any, context: Any) -> Message:
        """Newest first."""
        self.note(context)
        entries = [one for one in reversed(self.audit) if request.model in ("", one.model)]
        found, token = _page(entries, request)
        return pb.ListAuditEntriesResponse(entries=found, next_page_token=token)

    def _model(self, name: str) -> pb.Model:
        if name not in self.models:
            raise errors.NotFound(f"There is no model {name!r}.", reason="MODEL_NOT_FOUND")
        return self.models[name]

    def _version(self, model: str, asked: str) -> pb.ModelVersion:
        self._model(model)
        for version in self.versions.get(model, []):
            named = asked in (str(version.number), *version.aliases)
            if named or (len(asked) >= 12 and version.digest.startswith(asked)):
                return version
        raise errors.NotFound(f"{model} has no version {asked!r}.", reason="VERSION_NOT_FOUND")

    def _expect(self, model: pb.Model, champion: int) -> None:
        if model.champion != champion:
            raise errors.Aborted(
                f"The champion of {model.name} is {model.champion}, not {champion}.",
                reason="CHAMPION_MOVED",
            )

    def _crown(self, promotion: pb.Promotion) -> None:
        model = self.models[promotion.model]
        self.revision += 1
        promotion.state, promotion.revision = pb.PROMOTION_STATE_DONE, self.revision
        model.predecessor, model.champion = promotion.previous, promotion.number
        model.traffic.CopyFrom(pb.Traffic(routes=[pb.Route(number=model.champion, weight=100)]))
        for version in self.versions[model.name]:
            version.aliases[:] = ["champion"] if version.number == model.champion else []

    def _write(self, action: str, model: str, request: Any, context: Any) -> None:
        entry = pb.AuditEntry(
            id=len(self.audit) + 1,
            principal=self.note(context),
            action=action,
            model=model,
            number=getattr(request, "number", 0),
            reason=getattr(request, "reason", ""),
            request_id=request.request_id,
        )
        entry.time.GetCurrentTime()
        self.audit.append(entry)


def _pass(gate: pb.Gate, version: pb.ModelVersion) -> None:
    value = version.evidence.metrics.get(gate.metric)
    worse = value is not None and (value > gate.floor) is gate.lower_is_better
    if value is None or (gate.HasField("floor") and worse and value != gate.floor):
        raise errors.FailedPrecondition(
            f"The gate on {gate.metric} refuses: it is {value}.",
            reason="GATE_REFUSED",
            metadata={"metric": gate.metric},
        )


def _page(rows: list[Any], request: Any) -> tuple[list[Any], str]:
    first, size = int(request.page_token or 0), request.page_size or PAGE
    rest = len(rows) > first + size
    return list(islice(rows, first, first + size)), str(first + size) if rest else ""


async def start(address: str, registry: FakeRegistry) -> Server:
    """Runs `registry` at `address` behind Parley's own server and interceptor."""
    server = Server(ServerSettings(address=address), [NAME])
    registry.add_to(server.grpc)
    await server.start()
    return server
