"""Runs all tasks of a job one after another in this process, without any scheduler.

    python -m training.tasks.run KIND CONF_JSON [--id ID]

For trying things out, and for tests. Run it again with the same id: what is done stays done.
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from training.errors import JobFailure, Unavailable
from training.tasks import evaluate, finetune, generate, importing, starter
from training.tasks.task import Json


def run_finetune(job: Json) -> Json:
    """prepare >> train >> evaluate >> export >> register >> promote."""
    prepared = finetune.prepare(job)
    trained = finetune.train(job, prepared)
    evaluated = finetune.evaluate(job, prepared, trained)
    exported = finetune.export(job, prepared, trained, evaluated)
    registered = finetune.register(job, prepared, evaluated, exported)
    return finetune.promote(job, registered)


def run_starter(job: Json) -> Json:
    """train >> register >> promote."""
    return starter.promote(job, starter.register(job, starter.train(job)))


def run_evaluate(job: Json) -> Json:
    """prepare >> evaluate."""
    return evaluate.evaluate(job, evaluate.prepare(job))


def run_import(job: Json) -> Json:
    """register >> promote."""
    return importing.promote(job, importing.register(job))


KINDS: dict[str, Callable[[Json], Any]] = {
    "finetune": run_finetune,
    "pretrain_starter": run_starter,
    "evaluate": run_evaluate,
    "import_model": run_import,
    "batch_generate": generate.generate,
}


def main() -> int:
    """The command line; 0 when all is done, 1 for what no repeat mends, 75 for what one may."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tasks.run", description="Run a job's tasks here and now."
    )
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("conf", type=json.loads, metavar="CONF_JSON")
    parser.add_argument("--id", default="", help="the job's id; a new one by default")
    options = parser.parse_args()
    job = {
        "id": options.id or str(uuid4()),
        "kind": options.kind,
        "conf": options.conf,
        "submitted_by": options.conf.get("submitted_by", "airflow"),
    }
    try:
        print(json.dumps({"id": job["id"], **KINDS[options.kind](job)}))
    except JobFailure as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
