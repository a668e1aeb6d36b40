"""Checks of PostgreSQL, the object store and MLflow, Parley's own or the user's."""

from stack import up
from stack.doctor.check import FAIL, OK, WARN, Finding
from stack.errors import StackError
from stack.home import Home
from stack.ports import Ports
from stack.stores import checks, credentials, own

NOT_RUNNING = "they are started with Parley"
NO_PORTS = Ports(0, 0, 0, 0, ())


def all_of(home: Home) -> list[Finding]:
    """A finding for each store that can be asked now. Ours can be while Parley runs."""
    try:
        mine = own.read(home)
        credentials.write_own(home, mine)  # the file may have changed since the last start
    except StackError as error:
        return [Finding("own stores", FAIL, error.what, error.mend)]
    running = up.find(home)
    if running and not running.plan.has("registry"):
        return [Finding("stores", OK, "this stack serves one model, without stores")]
    if running:
        found = checks.look(home, running.plan.ports, mine)
    else:
        found = checks.look_at_own(home, NO_PORTS, mine)
    findings = [_finding(one) for one in found]
    if not running and not (mine.postgres and mine.s3 and mine.mlflow):
        findings.append(Finding("stores", WARN, NOT_RUNNING, "Start them with: ./parley up"))
    return findings


def _finding(found: checks.Verdict) -> Finding:
    if found.problem:
        return Finding(found.name, FAIL, found.problem, found.mend)
    return Finding(found.name, OK, found.words)
