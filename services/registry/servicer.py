"""parley.registry.v1.Registry: proto to domain and back."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import (
    audit,
    catalog,
    changes,
    imports,
    lookups,
    messages,
    requests,
    rules,
)
from services.registry.alignment import Alignment
from services.registry.canary.driver import Driver
from services.registry.deploying import Wish
from services.registry.failpoints import Point, reach
from services.registry.model import File, Import, Model, Promotion, PromotionState, Version
from services.registry.objects import Objects
from services.registry.reconciler import Reconciler
from services.registry.watch import Watch
from services.rpc import pages
from services.rpc.errors import NotFound
from services.rpc.principal import read_principal
from services.rpc.store import Store

SERVICE = pb.DESCRIPTOR.services_by_name["Registry"].full_name
ENGINE_FOLDER = "openvino/"
TRAINING_WEIGHTS = ".safetensors"
DEPLOYED = (PromotionState.DONE, PromotionState.CANARY)
# Shown with their model.
UNDER_WAY = (PromotionState.WAITING, PromotionState.CANARY)

M = TypeVar("M", bound=Message)
Context = grpc.aio.ServicerContext


class Importer(Protocol):
    """Who makes folders into versions."""

    def check(self, wanted: Import) -> None:
        """Raises InvalidArgument or PermissionDenied when it cannot be imported at all."""

    async def admit(self, tx: AsyncConnection) -> None:
        """Raises ResourceExhausted when too many imports run."""

    def wake(self) -> None:
        """Says that there may be imports to take up."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the servicer answers from."""

    store: Store
    objects: Objects
    importer: Importer
    watch: Watch
    alignment: Alignment
    reconciler: Reconciler
    canaries: Driver


class Servicer(pb_grpc.RegistryServicer):
    """Answers from the registry's parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._run = parts.store.run

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """Lists models by name."""
        after, size = pages.read(request, str)

        async def read(tx: AsyncConnection) -> list[pb.Model]:
            return await _with_waiting(tx, await catalog.list_models(tx, after or "", size + 1))

        page, token = pages.cut(await self._run(read), size, lambda model: model.name)
        return pb.ListModelsResponse(models=page, next_page_token=token)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Gets a model."""

        async def read(tx: AsyncConnection) -> list[pb.Model]:
            return await _with_waiting(tx, [await catalog.get_model(tx, request.name)])

        return pb.GetModelResponse(model=(await self._run(read))[0])

    async def SetModelPolicy(
        self, request: pb.SetModelPolicyRequest, context: Context
    ) -> pb.SetModelPolicyResponse:
        """Sets a model's rules."""

        async def work(tx: AsyncConnection, wish: Wish) -> pb.SetModelPolicyResponse:
            policy = messages.to_policy(request.policy)
            model = await changes.set_policy(tx, wish, request.name, policy)
            return pb.SetModelPolicyResponse(model=(await _with_waiting(tx, [model]))[0])

        return await self._once(request, context, pb.SetModelPolicyResponse, work)

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        """Lists a model's versions."""
        before, size = pages.read(request, int)

        async def read(tx: AsyncConnection) -> list[Version]:
            await catalog.get_model(tx, request.model)
            return await catalog.list_versions(tx, request.model, before, size + 1)

        found = [messages.from_version(version) for version in await self._run(read)]
        page, token = pages.cut(found, size, lambda version: version.number)
        return pb.ListModelVersionsResponse(versions=page, next_page_token=token)

    async def GetModelVersion(
        self, request: pb.GetModelVersionRequest, context: Context
    ) -> pb.GetModelVersionResponse:
        """Gets a version."""
        version = await self._run(lambda tx: lookups.get_named(tx, request.model, request.version))
        return pb.GetModelVersionResponse(version=messages.from_version(version))

    async def DeleteModelVersion(
        self, request: pb.DeleteModelVersionRequest, context: Context
    ) -> pb.DeleteModelVersionResponse:
        """Deletes a version."""

        async def work(tx: AsyncConnection, wish: Wish) -> pb.DeleteModelVersionResponse:
            version = await changes.delete(tx, wish, request.model, request.number)
            return pb.DeleteModelVersionResponse(version=messages.from_version(version))

        answer = await self._once(request, context, pb.DeleteModelVersionResponse, work)
        reach(Point.DELETE_COMMITTED)
        await self._parts.alignment.try_delete(request.model, request.number)
        return answer

    async def RecordEvaluation(
        self, request: pb.RecordEvaluationRequest, context: Context
    ) -> pb.RecordEvaluationResponse:
        """Records an evaluation, which MLflow's version gets as a tag."""

        async def work(tx: AsyncConnection, wish: Wish) -> pb.RecordEvaluationResponse:
            evaluation = messages.to_evaluation(request, wish.principal)
            version = await changes.record_evaluation(
                tx, wish, request.model, request.number, evaluation
            )
            return pb.RecordEvaluationResponse(version=messages.from_version(version))

        answer = await self._once(request, context, pb.RecordEvaluationResponse, work)
        digest = request.evaluation_digest
        await self._parts.alignment.try_evaluation(request.model, request.number, digest)
        return answer

    async def ImportModel(
        self, request: pb.ImportModelRequest, context: Context
    ) -> pb.ImportModelResponse:
        """Starts an import."""
        importer = self._parts.importer

        async def work(tx: AsyncConnection, wish: Wish) -> pb.ImportModelResponse:
            wanted = messages.to_import(request, wish.principal)
            importer.check(wanted)
            await importer.admit(tx)
            await imports.insert(tx, wanted)
            return pb.ImportModelResponse(**{"import": messages.from_import(wanted)})

        answer = await self._once(request, context, pb.ImportModelResponse, work)
        importer.wake()
        return answer

    async def GetImport(
        self, request: pb.GetImportRequest, context: Context
    ) -> pb.GetImportResponse:
        """Gets an import."""
        found = await self._run(lambda tx: imports.find(tx, request.id))
        if found is None:
            raise NotFound(f"There is no import {request.id}.", reason="IMPORT_NOT_FOUND")
        return pb.GetImportResponse(**{"import": messages.from_import(found)})

    async def PromoteModelVersion(
        self, request: pb.PromoteModelVersionRequest, context: Context
    ) -> pb.PromoteModelVersionResponse:
        """Makes a version the champion, begins its canary, or asks for an approval."""
        canary = messages.to_canary(request)
        return await self._deploy(
            request,
            context,
            pb.PromoteModelVersionResponse,
            lambda tx, wish: changes.promote(
                tx, wish, request.model, request.number, request.expected_champion, canary
            ),
        )

    async def GetPromotion(
        self, request: canary_pb2.GetPromotionRequest, context: Context
    ) -> pb.GetPromotionResponse:
        """Gets a promotion."""
        found = await self._run(lambda tx: catalog.get_promotion(tx, request.id))
        return pb.GetPromotionResponse(promotion=messages.from_promotion(found))

    async def AnswerPromotion(
        self, request: pb.AnswerPromotionRequest, context: Context
    ) -> pb.AnswerPromotionResponse:
        """Approves or rejects a promotion."""
        return await self._deploy(
            request,
            context,
            pb.AnswerPromotionResponse,
            lambda tx, wish: changes.answer(tx, wish, request.id, request.approve),
        )

    async def RollbackModel(
        self, request: pb.RollbackModelRequest, context: Context
    ) -> pb.RollbackModelResponse:
        """Ends a canary, or goes back to the predecessor."""
        return await self._deploy(
            request,
            context,
            pb.RollbackModelResponse,
            lambda tx, wish: changes.roll_back(tx, wish, request.model, request.expected_champion),
        )

    async def SetTraffic(
        self, request: pb.SetTrafficRequest, context: Context
    ) -> pb.SetTrafficResponse:
        """Spreads traffic."""

        async def work(tx: AsyncConnection, wish: Wish) -> pb.SetTrafficResponse:
            traffic = messages.to_traffic(request.traffic)
            model, revision = await changes.set_traffic(
                tx, wish, request.model, traffic, request.expected_champion
            )
            (shown,) = await _with_waiting(tx, [model])
            return pb.SetTrafficResponse(model=shown, revision=revision)

        return await self._once(request, context, pb.SetTrafficResponse, work)

    async def WatchModels(
        self, request: pb.WatchModelsRequest, context: Context
    ) -> AsyncIterator[pb.WatchModelsResponse]:
        """Streams what replicas should serve."""
        async with aclosing(self._parts.watch.follow(request.revision)) as states:
            async for served in states:
                yield messages.from_served(served)

    async def GetModelFiles(
        self, request: pb.GetModelFilesRequest, context: Context
    ) -> pb.GetModelFilesResponse:
        """Gets the addresses of a version's files."""
        version = await self._run(lambda tx: catalog.get_version(tx, request.model, request.number))
        rules.check_ready(version)
        files = [file for file in version.files if _is_served(file)]
        urls = await asyncio.gather(*(self._parts.objects.presign(file.key) for file in files))
        return pb.GetModelFilesResponse(
            digest=version.digest,
            engine_digest=version.engine_digest,
            files=[messages.from_file(file, url) for file, url in zip(files, urls, strict=True)],
        )

    async def GetLineage(
        self, request: pb.GetLineageRequest, context: Context
    ) -> pb.GetLineageResponse:
        """Follows an answer back, or a dataset forward."""
        if request.WhichOneof("from") == "dataset_digest":
            found = await self._run(lambda tx: catalog.list_trained_on(tx, request.dataset_digest))
            versions = [messages.from_version(version) for version in found]
            return pb.GetLineageResponse(versions=versions)
        version, deployment, revision = await self._run(
            lambda tx: lookups.follow_answer(tx, request.response_id)
        )
        return pb.GetLineageResponse(
            versions=[messages.from_version(version)],
            deployment=messages.from_audit_entry(deployment),
            revision=revision,
        )

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        """Lists what was done."""
        before, size = pages.read(request, int)
        found = await self._run(lambda tx: audit.list_entries(tx, request.model, before, size + 1))
        entries = [messages.from_audit_entry(entry) for entry in found]
        page, token = pages.cut(entries, size, lambda entry: entry.id)
        return pb.ListAuditEntriesResponse(entries=page, next_page_token=token)

    async def Reconcile(
        self, request: pb.ReconcileRequest, context: Context
    ) -> pb.ReconcileResponse:
        """Compares the stores."""
        drifts = await self._parts.reconciler.reconcile()
        return pb.ReconcileResponse(drifts=[messages.from_drift(drift) for drift in drifts])

    async def _once(
        self,
        request: Any,
        context: Context,
        kind: type[M],
        work: Callable[[AsyncConnection, Wish], Awaitable[M]],
    ) -> M:
        """Does `work` in one transaction, once for each request id, and tells the watchers."""
        principal = read_principal(context.invocation_metadata())
        wish = Wish(principal, request.request_id, getattr(request, "reason", ""))
        fingerprint = _fingerprint(request, principal)

        async def attempt(tx: AsyncConnection) -> M:
            first = await requests.begin(tx, wish.request_id, fingerprint)
            if first is not None:
                return kind.FromString(first)
            answer = await work(tx, wish)
            await requests.finish(tx, wish.request_id, answer.SerializeToString())
            return answer

        answer = await self._run(attempt)
        self._parts.watch.tell()
        return answer

    async def _deploy(
        self,
        request: Any,
        context: Context,
        kind: type[M],
        change: Callable[[AsyncConnection, Wish], Awaitable[Promotion]],
    ) -> M:
        """Makes a promotion, and MLflow's alias follow it."""

        async def work(tx: AsyncConnection, wish: Wish) -> M:
            promotion = await change(tx, wish)
            if promotion.canary and promotion.state in UNDER_WAY:
                rules.check_watched(self._parts.canaries.watches)
            if promotion.state in DEPLOYED:
                await self._parts.alignment.check_version(promotion.model, promotion.number)
            reach(Point.PROMOTE_UNCOMMITTED)
            return kind(promotion=messages.from_promotion(promotion))

        answer: Any = await self._once(request, context, kind, work)
        reach(Point.PROMOTE_COMMITTED)
        self._parts.canaries.wake()
        await self._parts.alignment.try_align(answer.promotion.model)
        return answer


async def _with_waiting(tx: AsyncConnection, models: Sequence[Model]) -> list[pb.Model]:
    names = [model.name for model in models]
    waiting = await catalog.list_promotions(tx, UNDER_WAY, names)
    return [messages.from_model(model, waiting) for model in models]


def _fingerprint(request: Any, principal: str) -> str:
    """What makes a request another one: its method, its fields, and who asks."""
    fields = type(request)()
    fields.CopyFrom(request)
    fields.ClearField("request_id")
    asked = [request.DESCRIPTOR.full_name.encode(), principal.encode()]
    asked.append(fields.SerializeToString(deterministic=True))
    return hashlib.sha256(b"\0".join(asked)).hexdigest()


def _is_served(file: File) -> bool:
    """Whether a replica needs a file: the weights outside the engine's form only train."""
    return file.path.startswith(ENGINE_FOLDER) or not file.path.endswith(TRAINING_WEIGHTS)
