"""`models promote`, `watch`, `approve`, `reject`, `rollback`, `traffic` and `delete`: changes.

Each says what has changed, waits until it is so everywhere, and names what may come next.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import click
import typer

from stack import keys
from stack.commands import canaries
from stack.commands.options import AsJson, AsName, NoWait, Reason
from stack.errors import Exit, StackError
from stack.plain import plain
from stack.progress import Silent
from stack.words import Teller, print_json, say, talk

if TYPE_CHECKING:
    from parley.registry.v1 import registry_pb2 as pb

    from stack.registry import Registry

Version = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Which version.")]
Name = Annotated[str, typer.Argument(help="Which model.")]
Id = Annotated[str, typer.Argument(help="The promotion's id; ./parley models show NAME has it.")]
Canary = Annotated[
    str | None,
    typer.Option(metavar="PERCENTS", help="Promote in steps of these shares: 1,10,50,100."),
]
Step = Annotated[
    str | None, typer.Option(metavar="TIME", help="How long a step lasts: 60s, 5m; by default 60s.")
]
Expect = Annotated[
    int | None,
    typer.Option(min=0, help="The champion that must be there now; by default the one that is."),
]


def add_to(group: typer.Typer) -> None:
    """Adds the commands."""
    for name, command in (
        ("promote", promote),
        ("watch", watch),
        ("approve", approve),
        ("reject", reject),
        ("rollback", rollback),
        ("traffic", traffic),
        ("delete", delete),
    ):
        group.command(name)(command)


def promote(
    version: Version,
    canary: Canary = None,
    step: Step = None,
    reason: Reason = "",
    expect: Expect = None,
    no_wait: NoWait = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Make a version the champion, and wait until it answers.

    Where the model asks for approval, the promotion waits for it. With --canary its share grows
    step by step while it does as well as the champion, and falls back by itself when it does not.

    \b
    Examples:
      ./parley models promote parley-starter@2
      ./parley models promote parley-starter@2 --canary 1,10,50,100 --step 60s
      ./parley models promote parley-starter@2 --reason "better on the facts"
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    name, asked = registry.split(version)
    steps = canaries.asked(canary, step)
    with registry.connect(as_name) as known:
        request = pb.PromoteModelVersionRequest(
            model=name,
            number=known.version(name, asked).number,
            expected_champion=known.model(name).champion if expect is None else expect,
            reason=reason,
            request_id=keys.new_request_id(),
            canary=steps,
        )
        promotion = known.call("PromoteModelVersion", request).promotion
        _tell(known, promotion, no_wait, as_json)


def watch(name: Name, as_name: AsName = None, as_json: AsJson = False) -> None:
    """Watch a model's canary to its end.

    Ctrl-C leaves it running.

    \b
    Examples:
      ./parley models watch parley-starter
    """
    from stack import registry

    with registry.connect(as_name) as known:
        _tell(known, canaries.require(known.model(name)), False, as_json)


def approve(
    id: Id, reason: Reason = "", no_wait: NoWait = False, as_name: AsName = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Approve a promotion that waits.

    Then waits until its version answers. Needs a key whose name is among the model's approvers,
    and not the one that asked.

    \b
    Examples:
      ./parley models approve 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d --as ann
    """
    _answer(id, True, reason, no_wait, as_name, as_json)


def reject(id: Id, reason: Reason = "", as_name: AsName = None, as_json: AsJson = False) -> None:
    """Reject a promotion that waits.

    \b
    Examples:
      ./parley models reject 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d --as ann --reason "too slow"
    """
    _answer(id, False, reason, True, as_name, as_json)


def rollback(
    name: Name,
    reason: Reason = "",
    no_wait: NoWait = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Make the champion's predecessor champion again, or end a canary.

    Then waits until it answers.

    \b
    Examples:
      ./parley models rollback parley-starter --reason "odd answers"
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    with registry.connect(as_name) as known:
        champion = known.model(name).champion
        if not champion:
            raise StackError(f"{name} has no champion, so there is nothing to go back to.")
        request = pb.RollbackModelRequest(
            model=name,
            expected_champion=champion,
            reason=reason,
            request_id=keys.new_request_id(),
        )
        promotion = known.call("RollbackModel", request).promotion
        _tell(known, promotion, no_wait, as_json, asked_for=True)


def traffic(
    name: Name,
    weights: Annotated[
        list[str], typer.Argument(metavar="NUMBER=PERCENT...", help="They sum to 100.")
    ],
    mirror: Annotated[
        int, typer.Option(min=0, help="A version that gets a copy of each request; 0 for none.")
    ] = 0,
    reason: Reason = "",
    no_wait: NoWait = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Spread a model's traffic over versions. The champion stays.

    \b
    Examples:
      ./parley models traffic parley-starter 1=90 2=10
      ./parley models traffic parley-starter 1=100 --mirror 2
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    routes = [pb.Route(number=number, weight=weight) for number, weight in _weights(weights)]
    with registry.connect(as_name) as known:
        request = pb.SetTrafficRequest(
            model=name,
            traffic=pb.Traffic(routes=routes, mirror=mirror),
            expected_champion=known.model(name).champion,
            reason=reason,
            request_id=keys.new_request_id(),
        )
        told = known.call("SetTraffic", request)
        numbers = [route.number for route in routes] + ([mirror] if mirror else [])
        _follow(known, name, numbers, told.revision, no_wait, as_json)
    if as_json:
        print_json(plain(told))
    else:
        shares = ", ".join(f"{route.weight} % to {name}@{route.number}" for route in routes)
        say(f"Traffic: {shares}")
        talk.print(f"\nNext: ./parley models show {name}", markup=False)


def delete(
    version: Version,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Reason = "",
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Delete a version that nothing uses.

    \b
    Examples:
      ./parley models delete parley-starter@1 --yes --reason "never used"
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    name, asked = registry.split(version)
    with registry.connect(as_name) as known:
        number = known.version(name, asked).number
        if not yes and not _confirmed(f"Delete {name}@{number}?"):
            raise StackError("Nothing was deleted.", mend="To delete without a question: --yes")
        request = pb.DeleteModelVersionRequest(
            model=name, number=number, reason=reason, request_id=keys.new_request_id()
        )
        told = known.call("DeleteModelVersion", request)
    print_json(plain(told)) if as_json else talk.print(f"Deleted {name}@{number}.", markup=False)


def _weights(texts: Sequence[str]) -> list[tuple[int, int]]:
    found = []
    for text in texts:
        number, _, weight = text.partition("=")
        if not (number.isdecimal() and weight.isdecimal()):
            raise typer.BadParameter(f"{text!r} is not NUMBER=PERCENT, for example 2=10")
        found.append((int(number), int(weight)))
    return found


def _answer(
    id: str, yes: bool, reason: str, no_wait: bool, as_name: str | None, as_json: bool
) -> None:
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    with registry.connect(as_name) as known:
        request = pb.AnswerPromotionRequest(
            id=id, approve=yes, reason=reason, request_id=keys.new_request_id()
        )
        _tell(known, known.call("AnswerPromotion", request).promotion, no_wait, as_json)


def _tell(
    known: "Registry",
    promotion: "pb.Promotion",
    no_wait: bool,
    as_json: bool,
    *,
    asked_for: bool = False,
) -> None:
    """Says what became of a promotion, and waits until it is so.

    Raises typer.Exit when a canary was rolled back, unless that was `asked_for`.
    """
    from parley.registry.v1 import registry_pb2 as pb

    if promotion.state == pb.PROMOTION_STATE_CANARY and not no_wait:
        promotion = canaries.watch(known, promotion, canaries.narrator(as_json))
    name, number = promotion.model, promotion.number
    done = promotion.state == pb.PROMOTION_STATE_DONE
    if done:
        _follow(known, name, [number], promotion.revision, no_wait, as_json)
    if as_json:
        print_json(plain(promotion))
        if promotion.state == pb.PROMOTION_STATE_ROLLED_BACK and not asked_for:
            raise typer.Exit(Exit.REFUSED)
    elif promotion.state == pb.PROMOTION_STATE_CANARY:
        canaries.tell_running(promotion)
    elif promotion.state == pb.PROMOTION_STATE_ROLLED_BACK:
        canaries.tell_rolled_back(promotion, asked_for=asked_for)
    elif done:
        say(f"{name}@{number} is the champion.")
        talk.print(f"\nNext: ./parley chat --model {name}", markup=False)
    elif promotion.state == pb.PROMOTION_STATE_REJECTED:
        say(f"The promotion of {name}@{number} is rejected.")
    else:
        say(promotion.id)
        talk.print(f"The promotion of {name}@{number} waits for an approval.", markup=False)
        talk.print(f"\nNext: ./parley models approve {promotion.id} --as NAME", markup=False)


def _follow(
    known: "Registry",
    name: str,
    numbers: Sequence[int],
    revision: int,
    no_wait: bool,
    quiet: bool,
) -> None:
    if no_wait:
        return
    teller = Silent() if quiet else Teller()
    with closing(teller):
        took_s = known.follow(name, numbers, revision, teller)
        teller.done(name, f"answers with {', '.join(map(str, numbers))} after {took_s:.1f} s")


def _confirmed(question: str) -> bool:
    if not talk.is_terminal or not click.get_text_stream("stdin").isatty():
        raise StackError(
            "This deletes, and there is nobody to ask.", mend="Add --yes", code=Exit.USAGE
        )
    return typer.confirm(question, err=True)
