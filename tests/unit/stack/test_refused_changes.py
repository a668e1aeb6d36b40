"""What `up` refuses of a stack that runs."""

import dataclasses

import pytest

from stack.commands import life
from stack.errors import StackError
from stack.plan import JOBS, Plan, Program
from stack.up import Running

AIRFLOW = Program("airflow-api", JOBS, ())
OWN = '[postgres]\nuri_parley = "postgresql://h/a"\nuri_mlflow = "postgresql://h/b"\n'


def running(planned: Plan, *more: Program) -> Running:
    """A stack with stores."""
    programs = (*planned.programs, *more)
    return Running(dataclasses.replace(planned, model_dir=None, programs=programs))


def words(one: Running, *, jobs: bool) -> str:
    """What is said, and how to mend it."""
    with pytest.raises(StackError) as refused:
        life._refuse_change(one, None, None, jobs)
    return "\n".join(refused.value.lines())


def test_a_stack_with_jobs_does_not_lose_them(planned: Plan):
    """Asked for without, it says how to come to that."""
    said = words(running(planned, AIRFLOW), jobs=False)
    assert "runs already, with jobs" in said
    assert "./parley down && ./parley up --without jobs" in said


def test_a_stack_without_jobs_does_not_get_them(planned: Plan):
    """Nor does it seem as if it had them."""
    said = words(running(planned), jobs=True)
    assert "runs already, without jobs" in said
    assert "./parley down && ./parley up" in said


@pytest.mark.parametrize("jobs", [True, False])
def test_what_is_as_asked_is_not_refused(planned: Plan, jobs: bool):
    """The address is shown again."""
    life._refuse_change(running(planned, *[AIRFLOW] * jobs), None, None, jobs)


def test_a_stack_that_cannot_have_jobs_is_not_refused(planned: Plan):
    """One folder alone; or a PostgreSQL of the user's without a database for Airflow."""
    life._refuse_change(Running(planned), None, None, True)
    own = planned.home.own_stores
    own.touch(0o600)
    own.write_text(OWN)
    life._refuse_change(running(planned), None, None, True)
