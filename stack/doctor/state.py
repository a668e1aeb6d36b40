"""Checks of the state folder and of what runs in it."""

from stack import ports as loopback
from stack import starter, status, up
from stack.doctor.check import FAIL, OK, WARN, Finding
from stack.environment.places import Places
from stack.errors import StackError
from stack.home import Home, check_private
from stack.plan import MESH

FIRST_UP = "Made by: ./parley up"


def folder(places: Places, home: Home) -> Finding:
    """Whether the state folder is this user's alone."""
    if not home.path.exists():
        return Finding("state folder", WARN, f"{home.path} is not there yet", FIRST_UP)
    try:
        check_private(home.path)
    except StackError as error:
        return Finding("state folder", FAIL, error.what, error.mend)
    return Finding("state folder", OK, str(home.path))


def secrets(places: Places, home: Home) -> Finding:
    """Whether the keys are there, and for this user's eyes only."""
    files = (home.api_key, home.page_key, home.mesh_key)
    missing = [path.name for path in files if not path.exists()]
    if missing:
        return Finding("secrets", WARN, f"not there yet: {', '.join(missing)}", FIRST_UP)
    for path in (home.secrets, *home.secrets.iterdir()):
        try:
            check_private(path)
        except StackError as error:
            return Finding("secrets", FAIL, error.what, error.mend)
    return Finding("secrets", OK, "keys and passwords, readable by this user alone")


def sockets(places: Places, home: Home) -> Finding:
    """Where unix sockets go: their paths have a short limit."""
    words = str(home.sockets)
    if home.sockets != home.run:
        words += " (the state folder's path is too long for sockets)"
    return Finding("sockets", OK, words)


def model(places: Places, home: Home) -> Finding:
    """Whether the starter model is whole."""
    if not home.starter_model.exists():
        return Finding("starter model", WARN, "is not made yet", FIRST_UP)
    if problem := starter.problem(home):
        mend = f"Make it anew: ./parley down; rm -r {home.starter_model}; ./parley up"
        return Finding("starter model", FAIL, problem, mend)
    return Finding("starter model", OK, str(home.starter_model))


def ports(places: Places, home: Home) -> Finding:
    """Whether the usual ports are free, or which ones are used instead."""
    if running := up.find(home):
        used = running.plan.ports
        words = f"edge {used.edge}, mesh {used.mesh}, stats {used.stats}"
        return Finding("ports", OK, words)
    usual = (loopback.EDGE, loopback.MESH, loopback.STATS)
    taken = [port for port in usual if not loopback.is_free(port)]
    if not taken:
        return Finding("ports", OK, f"{', '.join(map(str, usual))} are free")
    words = ", ".join(f"{port} is taken{loopback.holder(port)}" for port in taken)
    return Finding("ports", WARN, words, "Nothing to do: the next free ones are used.")


def mesh(places: Places, home: Home) -> Finding:
    """Whether replicas have joined the mesh, and proxies follow it."""
    running = up.find(home)
    if not (running and running.plan.has(MESH)):
        return Finding("mesh", WARN, "is there while Parley runs", "Start it with: ./parley up")
    from stack import mesh_view  # it brings gRPC, which no other check waits for

    try:
        with mesh_view.connect(home) as client:
            found = client.look()
    except StackError as error:
        mend = "Envoy goes on with what it has. See why: ./parley logs mesh"
        return Finding("mesh", FAIL, error.what, mend)
    if problem := mesh_view.problem(found):
        return Finding("mesh", WARN, problem, "See more: ./parley mesh")
    return Finding("mesh", OK, mesh_view.summary(found))


def services(places: Places, home: Home) -> Finding:
    """Whether everything that should run answers."""
    running = up.find(home)
    if not running:
        return Finding("services", WARN, "Parley is not running", "Start it with: ./parley up")
    sick = [f"{one.name} {one.words}" for one in status.look(running.plan) if not one.healthy]
    if sick:
        name = sick[0].split()[0]
        return Finding("services", FAIL, "; ".join(sick), f"See why: ./parley logs {name}")
    return Finding("services", OK, f"all {len(running.plan.programs)} answer")
