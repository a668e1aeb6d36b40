"""Gives an empty registry its first model: the starter, made where it is missing, then imported and
promoted like any other.

Every step can be interrupted and repeated: the same files are one version, however often they are
imported, and only a registry without a champion is touched.
"""

import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack import starter
from stack.errors import StackError
from stack.home import STARTER, Home
from stack.progress import Narrator

if TYPE_CHECKING:
    from parley.registry.v1 import registry_pb2, registry_pb2_grpc

NAME = "first model"
CALL_WITHIN_S = 30.0
IMPORT_WITHIN_S = 600.0
POLL_S = 0.2
MODELS_MAX = 1000
REASON = "the first model of a new registry"
CARD = "model_card.json"


def ensure(home: Home, narrator: Narrator) -> None:
    """Makes sure that the registry has a model to serve. Raises StackError with the mend."""
    import grpc
    from parley.registry.v1 import registry_pb2_grpc

    with grpc.insecure_channel(f"unix:{home.socket('registry')}") as channel:
        stub = registry_pb2_grpc.RegistryStub(channel)
        try:
            if not _needed(stub):
                return
            if not starter.is_made(home):
                starter.make(home, narrator)
            number = _import(stub, home.starter_model, narrator)
            _promote(stub, number)
        except grpc.RpcError as error:
            raise StackError(
                f"The registry did not take its first model: {error.details()}.",
                mend=f"Whole log: {home.log('registry')}\nTry again with: ./parley up",
            ) from None
    narrator.done(NAME, f"{STARTER} is version {number}, and the champion")


def evidence(folder: Path) -> "registry_pb2.Evidence":
    """What the model's card says of it: shares of right answers, and the dataset's digest."""
    from parley.registry.v1 import registry_pb2

    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        asked = card["evaluation"].items()
        metrics = {f"eval.{name}": float(topic["share"]) for name, topic in asked}
        digest = str(card["data"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return registry_pb2.Evidence()
    return registry_pb2.Evidence(metrics=metrics, dataset_digest=digest)


def _needed(stub: "registry_pb2_grpc.RegistryStub") -> bool:
    """Whether there is no model, or only a starter that an interrupt kept from being promoted."""
    from parley.registry.v1 import registry_pb2

    asked = registry_pb2.ListModelsRequest(page_size=MODELS_MAX)
    models = stub.ListModels(asked, timeout=CALL_WITHIN_S, wait_for_ready=True).models
    return not models or (len(models) == 1 and models[0].name == STARTER and not models[0].champion)


def _import(stub: "registry_pb2_grpc.RegistryStub", folder: Path, narrator: Narrator) -> int:
    """Has the folder imported; gives the version's number."""
    from parley.registry.v1 import registry_pb2

    asked = registry_pb2.ImportModelRequest(
        model=STARTER,
        local_folder=str(folder),
        evidence=evidence(folder),
        request_id=str(uuid.uuid4()),
    )
    found = getattr(stub.ImportModel(asked, timeout=CALL_WITHIN_S), "import")
    deadline = time.monotonic() + IMPORT_WITHIN_S
    while found.state == registry_pb2.IMPORT_STATE_RUNNING:
        if time.monotonic() > deadline:
            raise StackError(f"The import took over {IMPORT_WITHIN_S:.0f} s ({found.message}).")
        narrator.doing(NAME, found.message or "importing")
        time.sleep(POLL_S)
        asked_how_far = registry_pb2.GetImportRequest(id=found.id)
        found = getattr(stub.GetImport(asked_how_far, timeout=CALL_WITHIN_S), "import")
    if found.state != registry_pb2.IMPORT_STATE_DONE:
        raise StackError(
            f"{folder} could not be imported: {found.message or found.reason}",
            mend=f"Make it anew with: rm -r {folder} && ./parley up",
        )
    return found.number


def _promote(stub: "registry_pb2_grpc.RegistryStub", number: int) -> None:
    from parley.registry.v1 import registry_pb2

    asked = registry_pb2.PromoteModelVersionRequest(
        model=STARTER, number=number, reason=REASON, request_id=str(uuid.uuid4())
    )
    stub.PromoteModelVersion(asked, timeout=CALL_WITHIN_S)
