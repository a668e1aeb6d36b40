"""`models policy`: the rules by which a model's versions are promoted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stack import keys
from stack.commands.options import AsJson, AsName
from stack.plain import plain
from stack.words import print_json, say

if TYPE_CHECKING:
    from parley.registry.v1 import registry_pb2 as pb

Name = Annotated[str, typer.Argument(help="Which model.")]


def add_to(group: typer.Typer) -> None:
    """Adds the command."""
    group.command("policy")(policy)


def policy(
    name: Name,
    higher: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC[=LEAST]", help="A metric that must be at least this."),
    ] = None,
    lower: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC[=MOST]", help="A metric that must be at most this."),
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=MARGIN", help="How much worse than the champion's passes."),
    ] = None,
    approver: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Who may approve; may be repeated.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take all rules away.")] = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Set the rules for a model's promotions.

    They take the place of the old ones. Without an option, shows them.

    \b
    Examples:
      ./parley models policy parley-starter
      ./parley models policy parley-starter --higher accuracy=0.9 --margin accuracy=0.01
      ./parley models policy parley-starter --lower loss --margin loss=0 --approver ann
      ./parley models policy parley-starter --clear
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    wanted = policy_of(higher or [], lower or [], margin or [], approver or [])
    with registry.connect(as_name) as known:
        if clear or wanted != pb.ModelPolicy():
            request = pb.SetModelPolicyRequest(
                name=name, policy=wanted, request_id=keys.new_request_id()
            )
            model = known.call("SetModelPolicy", request).model
        else:
            model = known.model(name)
    if as_json:
        print_json(plain(model))
    else:
        say(f"{name}: {rules(model.policy) or 'no rules'}")


def rules(policy: "pb.ModelPolicy") -> str:
    """A policy in words; empty where there are no rules."""
    words = []
    for gate in policy.gates:
        limit = (
            ("at most" if gate.lower_is_better else "at least") if gate.HasField("floor") else ""
        )
        found = f"{gate.metric} {limit} {gate.floor:g}" if limit else gate.metric
        if gate.HasField("margin"):
            found += f", at most {gate.margin:g} worse than the champion's"
        words.append(found)
    if policy.approvers:
        words.append(f"approved by {' or '.join(policy.approvers)}")
    return "; ".join(words)


def policy_of(
    higher: Sequence[str], lower: Sequence[str], margin: Sequence[str], approvers: Sequence[str]
) -> "pb.ModelPolicy":
    """The policy that the options ask for. Raises typer.BadParameter."""
    from parley.registry.v1 import registry_pb2 as pb

    gates: dict[str, pb.Gate] = {}
    for texts, is_lower in ((higher, False), (lower, True)):
        for text in texts:
            name, limit = _limit(text)
            gates[name] = pb.Gate(metric=name, lower_is_better=is_lower, floor=limit)
    for text in margin:
        name, limit = _limit(text)
        if name not in gates or limit is None:
            raise typer.BadParameter(
                f"{text!r} needs a value, and --higher or --lower {name}", param_hint="--margin"
            )
        gates[name].margin = limit
    return pb.ModelPolicy(gates=gates.values(), approvers=approvers)


def _limit(text: str) -> tuple[str, float | None]:
    name, is_set, value = text.partition("=")
    try:
        limit = float(value) if is_set else None
    except ValueError:
        name = ""
    if not name:
        raise typer.BadParameter(f"{text!r} is not METRIC=VALUE")
    return name, limit
