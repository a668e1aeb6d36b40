"""`train` and `evaluate`: a model made better on data of one's own, or measured."""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack import keys
from stack.commands import outcomes
from stack.commands.options import AsJson, AsName, Detach
from stack.errors import Exit, StackError
from stack.plain import plain
from stack.words import print_json, say, talk

if TYPE_CHECKING:
    from parley.jobs.v1 import jobs_pb2 as pb

NAME_CHARS_MAX = 128
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._-]+")
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="JSON lines with messages, or with prompt and completion; or plain text. "
        "A file, s3://bucket/key, or the SHA-256 of a stored dataset.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("train")(train)
    app.command("evaluate")(evaluate)


def train(
    data: Data,
    name: Annotated[
        str, typer.Option(help="The model; by default named as the file is. Made when new.")
    ] = "",
    base: Annotated[
        str,
        typer.Option(help="The model to begin with; by default its champion, else the starter."),
    ] = "",
    lora: Annotated[
        bool, typer.Option("--lora", help="Train low-rank additions, not all weights.")
    ] = False,
    scratch: Annotated[bool, typer.Option("--scratch", help="Begin with new weights.")] = False,
    epochs: Annotated[
        int, typer.Option(min=0, max=1000, help="Times through the data; 0 lets Parley choose.")
    ] = 0,
    learning_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Peak learning rate; 0 lets Parley choose.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of what is drawn.")] = 0,
    verbatim: Annotated[
        bool, typer.Option("--verbatim", help="Make no other wordings of the questions.")
    ] = False,
    no_promote: Annotated[
        bool, typer.Option("--no-promote", help="Only register it; do not ask for promotion.")
    ] = False,
    detach: Detach = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on data, measure it, register it, and promote it when it is better.

    Shows it live. Ctrl-C leaves it running. Ends with 0 when the model is promoted, waits for an
    approval or was not to be promoted, with 5 when a gate refused it, with 1 when it failed.

    \b
    Examples:
      ./parley train talks.jsonl
      ./parley train talks.jsonl --name support --epochs 5 --lora
      ./parley train notes.txt --name notes --base parley-starter@3 --no-promote
      ./parley train s3://data/talks.jsonl --name support --detach
    """
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack.job_client import data_of

    if lora and scratch:
        raise typer.BadParameter("cannot be together with --scratch", param_hint="--lora")
    method = pb.TRAINING_METHOD_LORA if lora else pb.TRAINING_METHOD_FULL
    spec = pb.FinetuneSpec(
        model=name or name_of(data),
        dataset=data_of(data),
        base=base,
        method=pb.TRAINING_METHOD_SCRATCH if scratch else method,
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        no_promotion=no_promote,
        verbatim=verbatim,
    )
    submit(pb.JobSpec(finetune=spec), detach, as_name, as_json)


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="By default its champion.")
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="[DATA]", help="As for train; by default what its own data held out."
        ),
    ] = "",
    detach: Detach = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Measure a version beside the champion.

    \b
    Examples:
      ./parley evaluate support
      ./parley evaluate support@4 questions.jsonl
      ./parley evaluate support@champion s3://data/questions.jsonl --json
    """
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack.job_client import data_of

    name, _, version = model.partition("@")
    spec = pb.EvaluateSpec(model=name, version=version, dataset=data_of(data) if data else "")
    submit(pb.JobSpec(evaluate=spec), detach, as_name, as_json)


def submit(spec: "pb.JobSpec", detach: bool, as_name: str | None, as_json: bool) -> None:
    """Has a job done, and shows it to its end unless `detach`. Raises StackError."""
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack import job_client
    from stack.commands import watching

    request = pb.SubmitJobRequest(spec=spec, request_id=keys.new_request_id())
    with job_client.connect(as_name) as jobs:
        job: Any = jobs.call("SubmitJob", request).job
        if not detach:
            outcomes.tell(watching.watch(jobs, job, quiet=as_json), as_json)
            return
    if as_json:
        print_json(plain(job))
        return
    say(job.id)
    talk.print(f"\nNext: ./parley jobs watch {job.id}", markup=False)


def name_of(data: str) -> str:
    """A model's name made of the data's. Raises StackError where there is nothing to make it of."""
    stem = "" if data.startswith("sha256:") else PurePosixPath(data).stem
    found = _FORBIDDEN.sub("-", stem).strip("-._")[:NAME_CHARS_MAX]
    if not found or len(data) == 64:
        raise StackError(
            "The data have no name that a model could have.",
            mend="Name the model: --name NAME",
            code=Exit.USAGE,
        )
    return found
