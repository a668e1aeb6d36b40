"""What `up` refuses of a stack that runs."""

import dataclasses

import pytest

from stack.commands import life
from stack.errors import StackError
from stack.plan import JOBS, Plan, Program
from stack.up import Running

AIRFLOW = Program("airflow-api", JOBS, ())


def running(planned: Plan, *more: Program) -> Running:
    """A stack with stores."""
    programs = (*planned.programs, *more)
    return Running(dataclasses.replace(planned, model_dir=None, programs=programs))


def test_a_stack_with_jobs_does_not_lose_them(planned: Plan):
    """Asked for without, it says how to come to that."""
    with pytest.raises(StackError) as refused:
        life._refuse_change(running(planned, AIRFLOW), None, None, None, jobs=False)
    said = "\n".join(refused.value.lines())
    assert "runs already, with jobs" in said
    assert "./parley down && ./parley up --without jobs" in said


@pytest.mark.parametrize("more", [(), (AIRFLOW,)])
def test_what_asks_for_nothing_is_not_refused(planned: Plan, more: tuple[Program, ...]):
    """The address is shown again, also of a stack that was started without jobs."""
    life._refuse_change(running(planned, *more), None, None, None, jobs=True)
