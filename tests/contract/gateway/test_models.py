"""The list of models, and the facade's health."""

import openai
import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from tests.fakes.facade import Facade
from tests.fakes.serving import MODEL, VERSION


def _loaded(name: str, version: str, state: int) -> pb.LoadedModel:
    return pb.LoadedModel(model=name, version=version, state=state, context_tokens_max=64)


async def test_models_are_listed_once_over_all_pages(facade: Facade) -> None:
    """Sorted, each with the version that answers; a failed one is left out."""
    facade.serving.script.models = [
        _loaded("a", "1", pb.MODEL_STATE_DRAINING),
        _loaded("a", "2", pb.MODEL_STATE_READY),
        _loaded("b", "1", pb.MODEL_STATE_LOADING),
        _loaded("c", "1", pb.MODEL_STATE_FAILED),
    ]
    models = [model async for model in facade.sdk().models.list()]
    assert [(model.id, model.object, model.owned_by) for model in models] == [
        ("a", "model", "parley"),
        ("b", "model", "parley"),
    ]
    assert [model.model_extra["parley"]["version"] for model in models] == ["2", "1"]
    assert [model.model_extra["parley"]["state"] for model in models] == ["ready", "loading"]


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}@{VERSION}"])
async def test_model_is_found(facade: Facade, name: str) -> None:
    """By its name, and by name and version."""
    model = await facade.sdk().models.retrieve(name)
    assert model.id == MODEL
    assert model.created > 0


async def test_unknown_model_is_a_404(facade: Facade) -> None:
    """With slashes in its name or not."""
    with pytest.raises(openai.NotFoundError) as caught:
        await facade.sdk().models.retrieve("someone/else")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("state", "mesh"), [(pb.MODEL_STATE_READY, "ready"), (pb.MODEL_STATE_LOADING, "loading")]
)
async def test_health_tells_how_far_the_mesh_is(facade: Facade, state: int, mesh: str) -> None:
    """The process is well either way."""
    facade.serving.script.models = [_loaded("a", "1", state)]
    reply = await facade.http.get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok", "mesh": mesh})


async def test_health_without_a_mesh_is_still_health(facade: Facade) -> None:
    """A dead mesh is no reason to restart the facade."""
    await facade.stop_replica()
    reply = await facade.http.get("/healthz")
    assert (reply.status_code, reply.json()["mesh"]) == (200, "unreachable")
