"""What one address of /api/v1 is: a call of a service, and where the call's fields come from.

A request's fields come from the path, the query or the body, by their names in the contract.
Knows no service; each has its own table of these.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message

from gateway.replies import JSON

ROOT = "/api/v1"
REQUEST_ID = "request_id"
PAGE = ("page_size", "page_token")
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Call:
    """One address and its call.

    `renamed` maps a parameter of path or query to its field, where their names differ; `query`
    lists the parameters of the query; `fixed` are fields that the address itself says. What is left
    of the fields is the body's, except for GET; `body_optional` lets it be left out.
    `operation` names it where two addresses are one call.

    A stream has another kind of body or of answer than JSON, `headers` that it reads, and `needed`
    parameters of its query; `answer` says what it sends.
    """

    method: str
    path: str
    rpc: MethodDescriptor
    summary: str
    query: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    body_optional: bool = False
    operation: str = ""
    body_kind: str = JSON
    answer_kind: str = JSON
    answer: str = ""
    headers: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()

    @property
    def request_type(self) -> type[Message]:
        """The class of its request."""
        return message_factory.GetMessageClass(self.rpc.input_type)

    @property
    def operation_id(self) -> str:
        """Its name, which no other address has."""
        return self.operation or self.rpc.name

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def takes_request_id(self) -> bool:
        """Whether it changes something that is known by its request's id."""
        return REQUEST_ID in self.rpc.input_type.fields_by_name

    @property
    def body(self) -> tuple[str, ...]:
        """The fields that its body may hold; none where it takes no body."""
        if self.method != "POST":
            return ()
        elsewhere = {self.field_of(name) for name in (*self.parameters, *self.query)}
        fields: Descriptor = self.rpc.input_type
        names = (one.name for one in fields.fields)
        return tuple(name for name in names if name not in elsewhere and name not in self.fixed)

    def field_of(self, parameter: str) -> str:
        """The field that a parameter of path or query fills."""
        return self.renamed.get(parameter, parameter)
