"""The list of models, and the facade's health."""

import openai
import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from tests.fakes.facade import Facade
from tests.fakes.serving import MODEL, VERSION


def _loaded(name: str, version: str, state: int, *aliases: str) -> pb.LoadedModel:
    return pb.LoadedModel(
        model=name, version=version, state=state, context_tokens_max=64, aliases=aliases
    )


async def test_whatever_may_be_asked_for_is_listed_once(facade: Facade) -> None:
    """Sorted, over all pages; a name stands for the version that answers; a failed one is left
    out."""
    facade.serving.script.models = [
        _loaded("a", "1", pb.MODEL_STATE_DRAINING),
        _loaded("a", "2", pb.MODEL_STATE_READY, "champion"),
        _loaded("b", "1", pb.MODEL_STATE_LOADING),
        _loaded("c", "1", pb.MODEL_STATE_FAILED),
    ]
    models = [model async for model in facade.sdk().models.list()]
    assert {(model.object, model.owned_by) for model in models} == {("model", "parley")}
    told = [(model.id, model.model_extra["parley"]) for model in models]
    assert [(name, known["version"], known["state"]) for name, known in told] == [
        ("a", "2", "ready"),
        ("a@1", "1", "draining"),
        ("a@2", "2", "ready"),
        ("a@champion", "2", "ready"),
        ("b", "1", "loading"),
        ("b@1", "1", "loading"),
    ]


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}@{VERSION}"])
async def test_model_is_found(facade: Facade, name: str) -> None:
    """By its name, and by name and version."""
    model = await facade.sdk().models.retrieve(name)
    assert model.id == name
    assert model.created > 0


async def test_unknown_model_is_a_404(facade: Facade) -> None:
    """With slashes in its name or not; it says which models there are."""
    with pytest.raises(openai.NotFoundError) as caught:
        await facade.sdk().models.retrieve("someone/else")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert f"There are: {MODEL}, {MODEL}@{VERSION}." in str(caught.value)


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
