"""Airflow's simple auth manager, with Parley's own service held to what it needs.

Airflow loads it, in its own Python: it finds the checkout by PYTHONPATH. Where it could not be
loaded the API server would not start, so that nobody gets more than is written here.
"""

from collections.abc import Callable
from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from stack.jobs import airflow_rights
from stack.jobs.airflow_rights import SERVICE


def _closed_to_service(decide: Callable[..., bool]) -> Callable[..., bool]:
    """The same decision for people, and a refusal for the service."""

    def decide_for(self: "ParleyAuthManager", *, user: Any, **asked: Any) -> bool:
        return user.username != SERVICE and decide(self, user=user, **asked)

    return decide_for


class ParleyAuthManager(SimpleAuthManager):
    """Who may do what: people by their roles, the service by `airflow_rights`."""

    def is_authorized_dag(
        self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None
    ) -> bool:
        """Decides on a graph and what belongs to it: its runs, their tasks, its code, ..."""
        if user.username != SERVICE:
            return super().is_authorized_dag(
                method=method, user=user, access_entity=access_entity, details=details
            )
        entity = access_entity.value if access_entity else ""
        return airflow_rights.may(method, entity, details.id if details else None)

    is_authorized_asset = _closed_to_service(SimpleAuthManager.is_authorized_asset)
    is_authorized_asset_alias = _closed_to_service(SimpleAuthManager.is_authorized_asset_alias)
    is_authorized_configuration = _closed_to_service(SimpleAuthManager.is_authorized_configuration)
    is_authorized_connection = _closed_to_service(SimpleAuthManager.is_authorized_connection)
    is_authorized_custom_view = _closed_to_service(SimpleAuthManager.is_authorized_custom_view)
    is_authorized_hitl_task = _closed_to_service(SimpleAuthManager.is_authorized_hitl_task)
    is_authorized_pool = _closed_to_service(SimpleAuthManager.is_authorized_pool)
    is_authorized_team = _closed_to_service(SimpleAuthManager.is_authorized_team)
    is_authorized_variable = _closed_to_service(SimpleAuthManager.is_authorized_variable)
    is_authorized_view = _closed_to_service(SimpleAuthManager.is_authorized_view)
