"""Asks Parley's auth manager who may do what and prints it, as JSON; runs in Airflow's Python."""

import inspect
import json
from itertools import product
from typing import Any

from airflow.api_fastapi.app import get_auth_manager_cls
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    DagAccessEntity,
    DagDetails,
    TeamDetails,
)
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

METHODS = ("GET", "POST", "PUT", "DELETE")
GRAPHS = ("finetune", "announce_feedback", "a_stranger", None)
ROLES = {"admin": "admin", "parley-jobs": "viewer"}


def _of_graphs(manager: Any, user: Any) -> list[list[str | None]]:
    """Every method, entity and graph that is allowed."""
    entities = [None, *DagAccessEntity]
    return [
        [method, entity.value if entity else "", graph]
        for method, entity, graph in product(METHODS, entities, GRAPHS)
        if manager.is_authorized_dag(
            method=method, user=user, access_entity=entity, details=DagDetails(id=graph)
        )
    ]


def _of_the_rest(manager: Any, user: Any) -> list[str]:
    """What else is allowed, as method and what it is of."""
    kinds = ("asset", "asset_alias", "configuration", "connection", "pool", "variable")
    asked: dict[str, Any] = {
        f"{method} {kind}": getattr(manager, f"is_authorized_{kind}")(method=method, user=user)
        for method, kind in product(METHODS, kinds)
    }
    for view in AccessView:
        asked[f"view {view.value}"] = manager.is_authorized_view(access_view=view, user=user)
    custom = {"method": "GET", "resource_name": "x", "user": user}
    asked["custom view"] = manager.is_authorized_custom_view(**custom)
    asked["team"] = manager.is_authorized_team(method="GET", user=user, details=TeamDetails("x"))
    assigned = {user.username}
    asked["hitl task"] = manager.is_authorized_hitl_task(assigned_users=assigned, user=user)
    return sorted(name for name, allowed in asked.items() if allowed)


def main() -> None:
    """Prints what each user may do, and which decisions the manager leaves to its base."""
    cls: Any = get_auth_manager_cls()
    manager = cls()
    told = {}
    for name, role in ROLES.items():
        user = SimpleAuthManagerUser(username=name, role=role)
        told[name] = {"graphs": _of_graphs(manager, user), "rest": _of_the_rest(manager, user)}
    decisions = [name for name, _ in inspect.getmembers(BaseAuthManager) if "is_authorized" in name]
    singular = {name for name in decisions if name.startswith("is_authorized_")}
    print("\n" + json.dumps({"may": told, "left_open": sorted(singular - vars(cls).keys())}))


if __name__ == "__main__":
    main()
