"""`models` and `lineage`: what the registry knows."""

from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands import canaries, imports, policies, promotions
from stack.commands.options import AsJson, AsName
from stack.plain import plain
from stack.words import ago, out, print_json, print_rows, say, talk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.timestamp_pb2 import Timestamp
    from parley.registry.v1 import registry_pb2 as pb

    from stack.registry import Registry

PAGE = 1000
DIGITS = 12
DATASET_CHARS = 64
HELP = """The models that the registry knows, and which versions of them answer.

\b
Examples:
  ./parley models list
  ./parley models import parley-starter ./my-model --metric accuracy=0.93
  ./parley models promote parley-starter@2 --reason "better on the facts"
  ./parley models promote parley-starter@2 --canary 1,10,50,100 --step 60s
  ./parley models rollback parley-starter
"""


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True, help=HELP, rich_markup_mode=None)
    group.command("list")(list_models)
    group.command("show")(show)
    imports.add_to(group)
    promotions.add_to(group)
    policies.add_to(group)
    group.command("audit")(audit)
    app.add_typer(group, name="models")
    app.command("lineage")(lineage)


def list_models(as_name: AsName = None, as_json: AsJson = False) -> None:
    """List the models, with their champions and traffic.

    \b
    Examples:
      ./parley models list
      ./parley models list --json
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    with registry.connect(as_name) as known:
        models = known.pages("ListModels", pb.ListModelsRequest(page_size=PAGE), "models")
    if as_json:
        print_json([plain(model) for model in models])
        return
    rows = [(one.name, _number(one.champion), _traffic(one.traffic), _news(one)) for one in models]
    print_rows(("MODEL", "CHAMPION", "TRAFFIC", ""), rows)
    if not models:
        talk.print("There is none yet. Import one with: ./parley models import NAME FOLDER")


def show(
    model: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A model or a version.")],
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Show a model with its versions, or one version.

    \b
    Examples:
      ./parley models show parley-starter
      ./parley models show parley-starter@champion
      ./parley models show parley-starter@3 --json
    """
    from stack import registry

    with registry.connect(as_name) as known:
        if "@" in model:
            version = known.version(*registry.split(model))
            print_json(plain(version)) if as_json else _show_version(version)
            return
        found, versions = known.model(model), _versions(known, model)
    if as_json:
        print_json({"model": plain(found), "versions": [plain(one) for one in versions]})
        return
    _show_model(found)
    rows = [
        (f"{one.number}", _state(one), one.digest[:DIGITS], _when(one.create_time), one.created_by)
        for one in versions
    ]
    out.print()
    print_rows(("VERSION", "STATE", "DIGEST", "MADE", "BY"), rows)


def audit(
    model: Annotated[str, typer.Argument(metavar="[NAME]", help="A model; by default all.")] = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=PAGE, help="Entries.")] = 20,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Show who did what, newest first.

    \b
    Examples:
      ./parley models audit
      ./parley models audit parley-starter -n 100 --json
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    request = pb.ListAuditEntriesRequest(model=model, page_size=lines)
    with registry.connect(as_name) as known:
        entries = known.call("ListAuditEntries", request).entries
    if as_json:
        print_json([plain(entry) for entry in entries])
        return
    rows = [
        (_time(one.time), one.principal, one.action, _place(one.model, one.number), one.reason)
        for one in entries
    ]
    print_rows(("WHEN", "WHO", "WHAT", "TO", "WHY"), rows)


def lineage(
    start: Annotated[
        str, typer.Argument(metavar="ID", help="An answer's id, or a dataset's SHA-256.")
    ],
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Follow an answer back to its model, run and data, or a dataset to all that came of it.

    \b
    Examples:
      ./parley lineage chatcmpl-0123456789ab-3-17-0f1e2d3c4b5a69788796a5b4c3d2e1f0
      ./parley lineage DATASET_SHA256 --json
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    is_dataset = len(start) == DATASET_CHARS and "-" not in start
    field = "dataset_digest" if is_dataset else "response_id"
    with registry.connect(as_name) as known:
        found = known.call("GetLineage", pb.GetLineageRequest(**{field: start}))
    if as_json:
        print_json(plain(found))
        return
    if found.HasField("deployment"):
        by = found.deployment
        out.print(f"  answered   in revision {found.revision}")
        words = f"{by.action} by {by.principal} at {_time(by.time)}"
        say(f"  deployed   {words}{f': {by.reason}' if by.reason else ''}")
    for version in found.versions:
        _show_version(version)
    if not found.versions:
        talk.print("No version is known to come from it.")


def _versions(known: "Registry", model: str) -> "list[pb.ModelVersion]":
    from parley.registry.v1 import registry_pb2 as pb

    request = pb.ListModelVersionsRequest(model=model, page_size=PAGE)
    return known.pages("ListModelVersions", request, "versions")


def _show_model(model: "pb.Model") -> None:
    say(f"{model.name}")
    out.print(f"  champion   {_number(model.champion)}")
    out.print(f"  before it  {_number(model.predecessor)}")
    out.print(f"  traffic    {_traffic(model.traffic)}")
    if rules := policies.rules(model.policy):
        say(f"  rules      {rules}")
    if canary := canaries.running(model):
        say(f"  canary     {canary.number} takes {canaries.words(canary)}")
    for one in _waiting(model):
        say(f"  waiting    {one.number}, asked by {one.requested_by}: {one.id}")
    if model.drift:
        say(f"  drift      {model.drift}")


def _show_version(version: "pb.ModelVersion") -> None:
    known = version.evidence
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    values = {
        "state": _state(version),
        "digest": version.digest,
        "run": known.run_id,
        "dataset": known.dataset_digest or "unknown",
        "metrics": _metrics(known.metrics),
        "network": version.architecture,
        "size": f"{version.size_bytes / 1e6:.1f} MB",
        "made": f"{_time(version.create_time)} by {version.created_by}",
        "from": version.source,
    }
    say(f"{_place(version.model, version.number)}{aliases}")
    for name, value in values.items():
        if value:
            say(f"  {name:<10} {value}")
    for one in version.evaluations:
        by = f"{_time(one.time)} by {one.recorded_by}"
        say(f"  evaluated  on {one.evaluation_digest[:DIGITS]}: {_metrics(one.metrics)} ({by})")


def _metrics(metrics: "Mapping[str, float]") -> str:
    return ", ".join(f"{name}={metrics[name]:g}" for name in sorted(metrics))


def _news(model: "pb.Model") -> str:
    count, canary = len(_waiting(model)), canaries.running(model)
    waiting = f"{count} waiting for approval" if count else ""
    moving = f"canary of {canary.number}" if canary else ""
    return ", ".join(filter(None, (moving, waiting, "drift" if model.drift else "")))


def _waiting(model: "pb.Model") -> "list[pb.Promotion]":
    from parley.registry.v1 import registry_pb2 as pb

    return [one for one in model.waiting if one.state == pb.PROMOTION_STATE_WAITING]


def _traffic(traffic: "pb.Traffic") -> str:
    shares = [f"{route.number}={route.weight}" for route in traffic.routes]
    mirror = [f"mirror {traffic.mirror}"] if traffic.mirror else []
    return " ".join(shares + mirror) or "-"


def _state(version: "pb.ModelVersion") -> str:
    from parley.registry.v1 import registry_pb2 as pb

    return pb.VersionState.Name(version.state).removeprefix("VERSION_STATE_").lower()


def _number(number: int) -> str:
    return str(number) if number else "-"


def _place(model: str, number: int) -> str:
    return f"{model}@{number}" if number else model


def _when(stamp: "Timestamp") -> str:
    import time

    return f"{ago(max(0.0, time.time() - stamp.ToSeconds()))} ago"


def _time(stamp: "Timestamp") -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")
