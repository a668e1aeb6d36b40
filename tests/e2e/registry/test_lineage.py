"""From an answer back to its data, and from the data to what came of it."""

from parley.registry.v1 import registry_pb2 as pb

from .product import FRANCE, PAGE, STARTER, Product


def test_an_answer_leads_to_its_version_run_data_and_promotion(product: Product):
    """By the answer's id alone: what its headers say, and the audit entry that deployed it."""
    with product.sdk() as client:
        raw = client.chat.completions.with_raw_response.create(model=STARTER, messages=FRANCE)
    found = product.call("GetLineage", pb.GetLineageRequest(response_id=raw.parse().id))
    (version,) = found.versions
    told = [raw.headers[f"x-parley-{name}"] for name in ("model", "version", "run", "dataset")]
    evidence = version.evidence
    assert told == [version.model, str(version.number), evidence.run_id, evidence.dataset_digest]
    asked = pb.ListAuditEntriesRequest(model=STARTER, page_size=PAGE)
    entries = product.call("ListAuditEntries", asked).entries
    assert found.deployment == next(entry for entry in entries if entry.action == "promote")
    assert found.deployment.number == version.number
    forward = product.call(
        "GetLineage", pb.GetLineageRequest(dataset_digest=evidence.dataset_digest)
    )
    assert list(forward.versions) == [version]


def test_an_id_of_another_server_leads_nowhere(product: Product):
    """An answer that nothing here gave is not found; what is no id is refused."""
    with product.http() as client:
        stranger = client.get("/api/v1/lineage/chatcmpl-0123456789ab-1-1-00")
        nonsense = client.get("/api/v1/lineage/chatcmpl-nonsense")
    assert (stranger.status_code, nonsense.status_code) == (404, 400)
