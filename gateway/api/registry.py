"""Which address of /api/v1 is which call of the registry: its table."""

from parley.registry.v1 import registry_pb2 as pb

from gateway.api.call import PAGE, ROOT, Call

_RPCS = pb.DESCRIPTOR.services_by_name["Registry"].methods_by_name
_NAMED = {"model": "name"}
CALLS = (
    Call("GET", f"{ROOT}/models", _RPCS["ListModels"], "Lists models.", query=PAGE),
    Call("GET", f"{ROOT}/models/{{model}}", _RPCS["GetModel"], "Gets a model.", renamed=_NAMED),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:policy",
        _RPCS["SetModelPolicy"],
        "Sets the rules by which a model's versions are promoted.",
        renamed=_NAMED,
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:promote",
        _RPCS["PromoteModelVersion"],
        "Makes a version the champion, at once or by a canary, or asks for approval.",
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:rollback",
        _RPCS["RollbackModel"],
        "Makes the champion's predecessor the champion again, or ends a canary.",
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:traffic",
        _RPCS["SetTraffic"],
        "Spreads a model's traffic over versions.",
    ),
    Call(
        "GET",
        f"{ROOT}/models/{{model}}/versions",
        _RPCS["ListModelVersions"],
        "Lists a model's versions, newest first.",
        query=PAGE,
    ),
    Call(
        "GET",
        f"{ROOT}/models/{{model}}/versions/{{version}}",
        _RPCS["GetModelVersion"],
        "Gets a version by its number, an alias or digits of its digest.",
    ),
    Call(
        "DELETE",
        f"{ROOT}/models/{{model}}/versions/{{number}}",
        _RPCS["DeleteModelVersion"],
        "Deletes a version that nothing uses.",
        query=("reason",),
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}/versions/{{number}}:evaluation",
        _RPCS["RecordEvaluation"],
        "Records how a version does on one more evaluation dataset.",
    ),
    Call("POST", f"{ROOT}/imports", _RPCS["ImportModel"], "Starts to import a model.", status=202),
    Call("GET", f"{ROOT}/imports/{{id}}", _RPCS["GetImport"], "Gets an import, running or done."),
    Call(
        "GET",
        f"{ROOT}/promotions/{{id}}",
        _RPCS["GetPromotion"],
        "Gets a promotion, and how far its canary is.",
    ),
    Call(
        "POST",
        f"{ROOT}/promotions/{{id}}:answer",
        _RPCS["AnswerPromotion"],
        "Approves or rejects a promotion that waits.",
    ),
    Call(
        "GET",
        f"{ROOT}/audit",
        _RPCS["ListAuditEntries"],
        "Lists what was done, newest first.",
        query=("model", *PAGE),
    ),
    Call(
        "GET",
        f"{ROOT}/lineage/{{response_id}}",
        _RPCS["GetLineage"],
        "Follows an answer back to what it came from.",
    ),
    Call(
        "GET",
        f"{ROOT}/lineage",
        _RPCS["GetLineage"],
        "Follows a dataset to all that was made from it.",
        query=("dataset",),
        renamed={"dataset": "dataset_digest"},
        operation="GetLineageOfDataset",
    ),
)
