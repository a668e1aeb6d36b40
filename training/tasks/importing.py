"""Importing a model: register >> promote. The registry does the work."""

from training.data.source import local_path
from training.tasks.registry import import_folder, open_registry, promote
from training.tasks.task import Json, Task, run

__all__ = ["promote", "register"]


def register(job: Json) -> Json:
    """Has the registry import the folder, and waits for it."""
    return run(job, "register", _register)


def _register(task: Task) -> Json:
    from parley.registry.v1 import registry_pb2 as pb

    registry = open_registry(task)
    model, source = task.conf["model"], task.conf["source"]
    champion = registry.champion_of(model)
    request = pb.ImportModelRequest(model=model, request_id=task.request_id("import"))
    if source.startswith("s3://"):
        request.s3_prefix = source
    elif source.startswith("hub:"):
        request.hub_id = source.removeprefix("hub:")
    else:
        request.local_folder = str(local_path(source))
    number = import_folder(task, registry, request)
    task.reporter.result(model=model, version=number)
    return {"model": model, "number": number, "champion": champion}
