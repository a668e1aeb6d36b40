"""Stacks of their own for measurements and tests: one model's folder, without stores."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stack import edge, up
from stack.home import Home
from stack.plan import Plan

if TYPE_CHECKING:
    from training.sizes import Shape


def as_planned(plan: Plan) -> Plan:
    """Changes nothing."""
    return plan


@contextlib.contextmanager
def serving(
    home: Home, model_dir: Path, *, replicas: int = 1, change: Callable[[Plan], Plan] = as_planned
) -> Iterator[up.Running]:
    """A whole stack in `home`, of the plan that `change` makes of the usual one; stopped at the
    end, also when its start is interrupted."""

    def plan() -> Plan:
        planned = up.prepare(home, replicas, model_dir)
        edge.write_config(planned)
        return change(planned)

    try:
        yield up.start_with(home, plan)
    finally:
        up.stop(home)


def told(plan: Plan, name: str, settings: dict[str, str]) -> Plan:
    """The plan with more settings for one of its programs."""
    program = plan.program(name)
    environment = {**program.environment, **settings}
    return plan.with_program(dataclasses.replace(program, environment=environment))


def random_model(home: Home, name: str, shape: "Shape", say: Callable[[str], object]) -> Path:
    """The folder of a model with random weights, made once."""
    from training import shapes

    folder = home.path / "models" / name
    if not folder.is_dir():
        say(f"Making the model {name}, once, with random weights")
        shapes.make_random_model(folder, shape)
    return folder
