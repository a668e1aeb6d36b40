"""A registry in this process with all that is around it, and short ways to ask it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.registry import process
from services.registry.model import Evidence, File, Version
from services.registry.registering import Registration
from services.registry.settings import Settings
from services.rpc.channel import open_channel
from tests.contract.calls import WAIT_S, Caller
from tests.fakes.objects import FakeImporter, FakeObjects

# Patient: what is tested is what happens, not how fast a shared machine is.
STORE_TIMEOUT_S = 20.0


@dataclass
class World(Caller):
    """A running registry and a client of it. `model` is a name that no other test uses."""

    registry: process.Registry
    objects: FakeObjects
    importer: FakeImporter
    stub: pb_grpc.RegistryStub
    model: str = field(default_factory=lambda: f"m-{uuid4().hex[:8]}")

    async def register(self, digit: str = "a", **evidence: Any) -> Version:
        """Registers a version of files whose digest is one digit, repeated."""
        return await self.registry.registrar.register(self.registration(digit, **evidence))

    def registration(self, digit: str, **evidence: Any) -> Registration:
        """What the importer would ask for."""
        digest, engine = digit * 64, digit * 63 + "e"
        names = {
            "config.json": "models",
            "model.safetensors": "models",
            "openvino/m.bin": "engines",
        }
        files = tuple(
            File(name, 10, "f" * 64, f"{kind}/{digest if kind == 'models' else engine}/{name}")
            for name, kind in names.items()
        )
        return Registration(
            model=self.model,
            digest=digest,
            engine_digest=engine,
            evidence=Evidence(**evidence),
            files=files,
            architecture="LlamaForCausalLM",
            context_tokens_max=256,
            source="/models/x",
            import_id=str(uuid4()),
            principal="ada",
        )

    async def promote(self, number: int, expected: int, as_: str = "", **fields: Any) -> Any:
        """Asks to make a version the champion; gives the promotion."""
        asked = {"model": self.model, "reason": "better", "request_id": str(uuid4())} | fields
        request = pb.PromoteModelVersionRequest(number=number, expected_champion=expected, **asked)
        return (await self.ask("PromoteModelVersion", request, as_)).promotion

    async def answer(self, promotion_id: str, approve: bool, as_: str) -> Any:
        """Answers a promotion; gives it."""
        request = pb.AnswerPromotionRequest(
            id=promotion_id, approve=approve, request_id=str(uuid4())
        )
        return (await self.ask("AnswerPromotion", request, as_)).promotion

    async def roll_back(self, expected: int) -> Any:
        """Goes back; gives the promotion."""
        request = pb.RollbackModelRequest(
            model=self.model, expected_champion=expected, request_id=str(uuid4())
        )
        return (await self.ask("RollbackModel", request)).promotion

    async def set_policy(self, **policy: Any) -> Any:
        """Sets the model's rules; gives the model."""
        request = pb.SetModelPolicyRequest(
            name=self.model, policy=pb.ModelPolicy(**policy), request_id=str(uuid4())
        )
        return (await self.ask("SetModelPolicy", request)).model

    async def set_traffic(self, weights: dict[int, int], expected: int, mirror: int = 0) -> Any:
        """Spreads traffic; gives the answer."""
        routes = [pb.Route(number=number, weight=weight) for number, weight in weights.items()]
        request = pb.SetTrafficRequest(
            model=self.model,
            traffic=pb.Traffic(routes=routes, mirror=mirror),
            expected_champion=expected,
            request_id=str(uuid4()),
        )
        return await self.ask("SetTraffic", request)

    async def record(self, number: int, digit: str = "d", **metrics: float) -> Any:
        """Records an evaluation on a dataset whose digest is one digit, repeated; gives the
        version."""
        request = pb.RecordEvaluationRequest(
            model=self.model,
            number=number,
            evaluation_digest=digit * 64,
            metrics=metrics,
            request_id=str(uuid4()),
        )
        return (await self.ask("RecordEvaluation", request)).version

    async def delete(self, number: int) -> Any:
        """Deletes a version; gives it as it was."""
        request = pb.DeleteModelVersionRequest(
            model=self.model, number=number, request_id=str(uuid4())
        )
        return (await self.ask("DeleteModelVersion", request)).version

    async def get(self) -> Any:
        """Gets the model."""
        return (await self.ask("GetModel", pb.GetModelRequest(name=self.model))).model

    async def promotion(self, promotion_id: str) -> Any:
        """Gets a promotion."""
        request = canary_pb2.GetPromotionRequest(id=promotion_id)
        return (await self.ask("GetPromotion", request)).promotion

    async def audit(self, **fields: Any) -> list[Any]:
        """Lists what was done to the model, newest first."""
        request = pb.ListAuditEntriesRequest(model=self.model, **fields)
        return list((await self.ask("ListAuditEntries", request)).entries)

    async def reconcile(self) -> dict[str, bool]:
        """Reconciles; gives what differed here, and whether it was mended."""
        drifts = await self.registry.reconciler.reconcile()
        return {drift.kind: drift.mended for drift in drifts if drift.model == self.model}

    async def alias(self) -> int | None:
        """Which version MLflow calls champion."""
        return (await self.registry.mlflow.find_aliases(self.model) or {}).get("champion")


@asynccontextmanager
async def open_world(
    folder: Path,
    database_uri: str,
    mlflow_address: str,
    timeout_s: float = STORE_TIMEOUT_S,
    **chosen: Any,
) -> AsyncIterator[World]:
    """Runs a registry for one test, as soon as its database is ready, with what else is chosen."""
    settings = Settings(
        address=f"unix:{folder}/r.sock",
        database_uri=database_uri,
        mlflow_address=mlflow_address,
        s3_endpoint="http://127.0.0.1:1",
        s3_credentials_file=folder / "none",
        imports_dir=folder,
        store_timeout_s=timeout_s,
        **chosen,
    )
    objects, importer = FakeObjects(), FakeImporter()
    async with (
        process.start(settings, objects, lambda _store, _registrar: importer) as registry,
        open_channel(settings.address) as channel,
    ):
        async with asyncio.timeout(WAIT_S):
            await registry.store.opened.wait()
        yield World(registry, objects, importer, pb_grpc.RegistryStub(channel))
        registry.watch.close()
        await registry.server.grpc.stop(0)
