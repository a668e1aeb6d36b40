"""`models import`: a folder, a prefix of the store or a model of the hub becomes a version."""

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack import keys
from stack.commands.options import AsJson, AsName
from stack.errors import Exit, StackError
from stack.plain import plain
from stack.progress import Narrator, Silent
from stack.words import Teller, print_json, say, talk

if TYPE_CHECKING:
    from parley.registry.v1 import registry_pb2 as pb

    from stack.registry import Registry

POLL_S = 0.5
LONGEST_S = 6 * 3600.0
# An import outlives the registry's process; a restart takes seconds.
AWAY_S = 60.0


def add_to(group: typer.Typer) -> None:
    """Adds the command."""
    group.command("import")(import_model)


def import_model(
    name: Annotated[str, typer.Argument(help="The model that it becomes a version of.")],
    source: Annotated[str, typer.Argument(help="A folder, s3://bucket/prefix, or a hub id.")],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A metric; may be repeated.")
    ] = None,
    dataset_digest: Annotated[
        str, typer.Option(help="SHA-256 of the data it was trained on.")
    ] = "",
    evaluation_digest: Annotated[
        str, typer.Option(help="SHA-256 of the data the metrics were measured on.")
    ] = "",
    run: Annotated[str, typer.Option(help="Id of its MLflow run; made when there is none.")] = "",
    digest: Annotated[str, typer.Option(help="The digest that its files must have.")] = "",
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Check, export and store a model, and register it as a version.

    Goes on in the background when this is stopped. The same files for the same run are one version.

    \b
    Examples:
      ./parley models import parley-starter ./my-model
      ./parley models import my-model owner/name@main
      ./parley models import my-model ./out --metric accuracy=0.93 --dataset-digest SHA256
    """
    from parley.registry.v1 import registry_pb2 as pb

    from stack import registry

    request = pb.ImportModelRequest(
        model=name,
        **source_of(source),
        evidence=pb.Evidence(
            metrics=metrics_of(metric or []),
            dataset_digest=dataset_digest,
            evaluation_digest=evaluation_digest,
            run_id=run,
        ),
        expected_digest=digest,
        request_id=keys.new_request_id(),
    )
    teller = Silent() if as_json else Teller()
    with registry.connect(as_name) as known, closing(teller):
        done = _finish(known, request, teller)
        version = known.version(name, str(done.number))
    if as_json:
        print_json(plain(version))
        return
    say(f"{name}@{done.number}")
    talk.print(f"\nNext: ./parley models promote {name}@{done.number}", markup=False)


def source_of(text: str) -> dict[str, str]:
    """Where the files are, as the registry takes it. Raises StackError for a missing folder."""
    if text.startswith("s3://"):
        return {"s3_prefix": text}
    path = Path(text).expanduser()
    if path.is_dir():
        return {"local_folder": str(path.absolute())}
    if text.startswith(("/", "./", "../", "~")) or "/" not in text:
        raise StackError(
            f"There is no folder {text}.",
            mend="Name a folder, s3://bucket/prefix, or a model of the hub as owner/name.",
            code=Exit.USAGE,
        )
    return {"hub_id": text.removeprefix("hf://")}


def metrics_of(pairs: list[str]) -> dict[str, float]:
    """Metrics from NAME=VALUE. Raises typer.BadParameter."""
    found: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--metric")
    return found


def _finish(known: "Registry", request: "pb.ImportModelRequest", narrator: Narrator) -> "pb.Import":
    """Starts an import and looks after it to its end. Raises StackError when it fails."""
    from parley.registry.v1 import registry_pb2 as pb

    began = time.monotonic()
    found = getattr(known.call("ImportModel", request), "import")
    try:
        while found.state == pb.IMPORT_STATE_RUNNING and time.monotonic() - began < LONGEST_S:
            narrator.fraction("import", found.fraction, found.message or found.stage)
            time.sleep(POLL_S)
            found = _look(known, found.id)
    except KeyboardInterrupt:
        narrator.note(f"It goes on by itself. Later: ./parley models show {request.model}")
        raise
    if found.state != pb.IMPORT_STATE_DONE:
        raise StackError(
            found.message or f"The import is not done, at {found.stage}.",
            mend="See: ./parley logs registry",
        )
    narrator.done("import", f"done in {time.monotonic() - began:.1f} s")
    return found


def _look(known: "Registry", import_id: str) -> "pb.Import":
    """How far an import has come, through a restart of the registry. Raises StackError."""
    from parley.registry.v1 import registry_pb2 as pb

    from stack.mesh import Unanswered

    began = time.monotonic()
    while True:
        try:
            return getattr(known.call("GetImport", pb.GetImportRequest(id=import_id)), "import")
        except Unanswered:
            if time.monotonic() - began > AWAY_S:
                raise
            time.sleep(POLL_S)
