"""What callers can ask: lists, names of versions, files, lineage, imports, and who they are."""

from uuid import uuid4

import pytest
from parley.registry.v1 import registry_pb2 as pb

from services.rpc.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
)
from tests.contract.registry.worlds import World


async def test_lists_come_in_pages(world: World):
    """Pages follow each other without a gap or a repeat, and the last one says so."""
    numbers = [(await world.register(digit)).number for digit in "abcde"]
    seen, token = [], ""
    for size in (2, 2, 1):
        asked = pb.ListModelVersionsRequest(model=world.model, page_size=2, page_token=token)
        page = await world.ask("ListModelVersions", asked)
        assert len(page.versions) == size
        seen += [version.number for version in page.versions]
        token = page.next_page_token
    assert (seen, token) == (sorted(numbers, reverse=True), "")


async def test_models_are_listed_by_name(world: World):
    """From one page to the next."""
    for name in ("b", "a", "c"):
        world.model = name
        await world.set_policy()
    first = await world.ask("ListModels", pb.ListModelsRequest(page_size=2))
    asked = pb.ListModelsRequest(page_size=2, page_token=first.next_page_token)
    rest = await world.ask("ListModels", asked)
    assert [m.name for m in first.models] == ["a", "b"]
    assert ([m.name for m in rest.models], rest.next_page_token) == (["c"], "")


FOREIGN_TOKENS = ["x", "bm8=", "dHJ1ZQ==", "LTE=", "é", "MTg0NDY3NDQwNzM3MDk1NTE2MTY="]


@pytest.mark.parametrize("token", FOREIGN_TOKENS)
async def test_a_foreign_page_token_is_refused(world: World, token: str):
    """Whatever it holds, it was not made here."""
    for method, asked in (
        ("ListAuditEntries", pb.ListAuditEntriesRequest(page_token=token)),
        ("ListModels", pb.ListModelsRequest(page_token=token)),
    ):
        with pytest.raises(InvalidArgument):
            await world.ask(method, asked)


async def test_the_audit_comes_in_pages(world: World):
    """Newest first, without a gap."""
    for _ in range(5):
        await world.set_policy()
    first = await world.ask("ListAuditEntries", pb.ListAuditEntriesRequest(page_size=3))
    asked = pb.ListAuditEntriesRequest(page_size=3, page_token=first.next_page_token)
    rest = await world.ask("ListAuditEntries", asked)
    assert [entry.id for entry in (*first.entries, *rest.entries)] == [5, 4, 3, 2, 1]


async def test_a_version_is_found_by_what_people_call_it(world: World):
    """Number, alias, digits of its digest; anything else is not found."""
    version = await world.register("a")
    await world.promote(version.number, 0)
    for name in ("1", "champion", "a" * 12, "a" * 64):
        asked = pb.GetModelVersionRequest(model=world.model, version=name)
        assert (await world.ask("GetModelVersion", asked)).version.number == version.number
    for name in ("2", "0", "challenger", "a" * 11, "b" * 12, "a%", "9" * 20, "1" * 128):
        asked = pb.GetModelVersionRequest(model=world.model, version=name)
        with pytest.raises(NotFound):
            await world.ask("GetModelVersion", asked)


async def test_files_leave_out_what_only_training_needs(world: World):
    """A replica gets addresses of the engine's form and the small files, sorted by path."""
    version = await world.register("a")
    asked = pb.GetModelFilesRequest(model=world.model, number=version.number)
    answer = await world.ask("GetModelFiles", asked)
    assert (answer.digest, answer.engine_digest) == (version.digest, version.engine_digest)
    assert [file.path for file in answer.files] == ["config.json", "openvino/m.bin"]
    assert answer.files[0].url == f"http://objects/models/{version.digest}/config.json?signed"
    await world.delete(version.number)
    with pytest.raises(FailedPrecondition):
        await world.ask("GetModelFiles", asked)


async def test_an_answer_leads_back_to_its_deployment(world: World):
    """From its id alone to the version, what put it into service, and the data behind it."""
    first, second = await world.register("a", dataset_digest="d" * 64), await world.register("b")
    promoted = await world.promote(first.number, 0, as_="ada")
    await world.set_policy()
    later = (await world.audit())[0].id
    await world.promote(second.number, first.number)
    for revision in (promoted.revision, later):
        response_id = f"chatcmpl-{'a' * 12}-{first.number}-{revision}-0f3c"
        asked = pb.GetLineageRequest(response_id=response_id)
        answer = await world.ask("GetLineage", asked)
        assert [version.number for version in answer.versions] == [first.number]
        assert answer.versions[0].evidence.dataset_digest == "d" * 64
        assert (answer.deployment.action, answer.deployment.principal) == ("promote", "ada")
        assert (answer.deployment.id, answer.revision) == (promoted.revision, revision)


async def test_an_answer_of_nobody_is_not_found(world: World):
    """An id that this registry cannot have led to is said to be so."""
    version = await world.register("a")
    with pytest.raises(NotFound):  # before any deployment
        asked = pb.GetLineageRequest(response_id=f"cmpl-{'a' * 12}-{version.number}-1-ff")
        await world.ask("GetLineage", asked)
    with pytest.raises(InvalidArgument):
        await world.ask("GetLineage", pb.GetLineageRequest(response_id="chatcmpl-123"))


async def test_a_dataset_leads_to_all_that_was_made_of_it(world: World):
    """Deleted versions too: their answers are out in the world."""
    for digit in "ab":
        await world.register(digit, dataset_digest="d" * 64)
    await world.register("c")
    await world.delete(1)
    answer = await world.ask("GetLineage", pb.GetLineageRequest(dataset_digest="d" * 64))
    assert [version.number for version in answer.versions] == [2, 1]
    assert not answer.HasField("deployment")


async def test_an_import_is_taken_once_and_found(world: World):
    """A repeat finds it; too many, and folders that may not be read, are refused."""
    request_id = str(uuid4())
    asked = pb.ImportModelRequest(model=world.model, local_folder="/m", request_id=request_id)
    first = await world.ask("ImportModel", asked)
    assert first == await world.ask("ImportModel", asked)
    assert getattr(first, "import").state == pb.IMPORT_STATE_RUNNING
    found = await world.ask("GetImport", pb.GetImportRequest(id=request_id))
    assert getattr(found, "import") == getattr(first, "import")
    assert world.importer.woken
    asked.request_id = str(uuid4())
    await world.ask("ImportModel", asked)
    asked.request_id = str(uuid4())
    with pytest.raises(ResourceExhausted):
        await world.ask("ImportModel", asked)
    asked.local_folder = "/root"
    with pytest.raises(PermissionDenied):
        await world.ask("ImportModel", asked)
    with pytest.raises(NotFound):
        await world.ask("GetImport", pb.GetImportRequest(id=str(uuid4())))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_evidence_must_be_finite(world: World, value: float):
    """No metric that cannot be compared gets in."""
    evidence = pb.Evidence(metrics={"accuracy": value})
    asked = pb.ImportModelRequest(
        model=world.model, local_folder="/m", evidence=evidence, request_id=str(uuid4())
    )
    with pytest.raises(InvalidArgument):
        await world.ask("ImportModel", asked)


@pytest.mark.parametrize(
    ("metadata", "principal"),
    [
        ((), "local"),
        ((("x-parley-client", "ada"),), "ada"),
        ((("x-parley-client", "gateway"), ("x-parley-principal", "bob")), "bob"),
        ((("x-parley-client", "gateway"),), "gateway"),
        ((("x-parley-client", "ada"), ("x-parley-principal", "bob")), "ada"),
        ((("x-parley-principal", "bob"),), "local"),
    ],
)
async def test_the_caller_is_who_the_mesh_says(world: World, metadata, principal: str):
    """Only the facade speaks for others."""
    request = pb.SetModelPolicyRequest(
        name=world.model, policy=pb.ModelPolicy(), request_id=str(uuid4())
    )
    await world.stub.SetModelPolicy(request, metadata=metadata)
    assert [entry.principal for entry in await world.audit()] == [principal]
