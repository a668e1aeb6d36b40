"""Which address of /api/v1 is which call of the registry: one table, for routes and OpenAPI alike.

A request's fields come from the path, the query or the body, by their names in the contract.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from parley.registry.v1 import registry_pb2 as pb

ROOT = "/api/v1"
REQUEST_ID = "request_id"
_METHODS = pb.DESCRIPTOR.services_by_name["Registry"].methods_by_name
_PARAMETER = re.compile(r"\{(\w+)\}")
_PAGE = ("page_size", "page_token")


@dataclass(frozen=True, slots=True)
class Call:
    """One address and its call.

    `renamed` maps a parameter of path or query to its field, where their names differ; `query`
    lists the parameters of the query. What is left of the fields is the body's, except for GET.
    """

    method: str
    path: str
    rpc: str
    summary: str
    query: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def descriptor(self) -> MethodDescriptor:
        """The call in the contract."""
        return _METHODS[self.rpc]

    @property
    def request_type(self) -> type[Message]:
        """The class of its request."""
        return message_factory.GetMessageClass(self.descriptor.input_type)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def takes_request_id(self) -> bool:
        """Whether it changes something."""
        return REQUEST_ID in self.descriptor.input_type.fields_by_name

    @property
    def body(self) -> tuple[str, ...]:
        """The fields that its body may hold; none where it takes no body."""
        if self.method != "POST":
            return ()
        elsewhere = {self.field_of(name) for name in (*self.parameters, *self.query)}
        fields: Descriptor = self.descriptor.input_type
        return tuple(one.name for one in fields.fields if one.name not in elsewhere)

    def field_of(self, parameter: str) -> str:
        """The field that a parameter of path or query fills."""
        return self.renamed.get(parameter, parameter)


_NAMED = {"model": "name"}
CALLS = (
    Call("GET", f"{ROOT}/models", "ListModels", "Lists models.", query=_PAGE),
    Call("GET", f"{ROOT}/models/{{model}}", "GetModel", "Gets a model.", renamed=_NAMED),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:policy",
        "SetModelPolicy",
        "Sets the rules by which a model's versions are promoted.",
        renamed=_NAMED,
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:promote",
        "PromoteModelVersion",
        "Makes a version the champion, or asks for approval.",
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:rollback",
        "RollbackModel",
        "Makes the champion's predecessor the champion again.",
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}:traffic",
        "SetTraffic",
        "Spreads a model's traffic over versions.",
    ),
    Call(
        "GET",
        f"{ROOT}/models/{{model}}/versions",
        "ListModelVersions",
        "Lists a model's versions, newest first.",
        query=_PAGE,
    ),
    Call(
        "GET",
        f"{ROOT}/models/{{model}}/versions/{{version}}",
        "GetModelVersion",
        "Gets a version by its number, an alias or digits of its digest.",
    ),
    Call(
        "DELETE",
        f"{ROOT}/models/{{model}}/versions/{{number}}",
        "DeleteModelVersion",
        "Deletes a version that nothing uses.",
        query=("reason",),
    ),
    Call(
        "POST",
        f"{ROOT}/models/{{model}}/versions/{{number}}:evaluation",
        "RecordEvaluation",
        "Records how a version does on one more evaluation dataset.",
    ),
    Call("POST", f"{ROOT}/imports", "ImportModel", "Starts to import a model.", status=202),
    Call("GET", f"{ROOT}/imports/{{id}}", "GetImport", "Gets an import, running or done."),
    Call(
        "POST",
        f"{ROOT}/promotions/{{id}}:answer",
        "AnswerPromotion",
        "Approves or rejects a promotion that waits.",
    ),
    Call(
        "GET",
        f"{ROOT}/audit",
        "ListAuditEntries",
        "Lists what was done, newest first.",
        query=("model", *_PAGE),
    ),
    Call(
        "GET",
        f"{ROOT}/lineage/{{response_id}}",
        "GetLineage",
        "Follows an answer back to what it came from.",
    ),
    Call(
        "GET",
        f"{ROOT}/lineage",
        "GetLineage",
        "Follows a dataset to all that was made from it.",
        query=("dataset",),
        renamed={"dataset": "dataset_digest"},
    ),
)
