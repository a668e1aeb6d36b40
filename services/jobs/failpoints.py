"""Points at which the process can be made to die. `PARLEY_JOBS_FAIL_AT` names one."""

from enum import StrEnum


class Point(StrEnum):
    """Every step between a wish and Airflow begins or ends at one of these."""

    SUBMIT_UNCOMMITTED = "submit-uncommitted"
    SUBMIT_COMMITTED = "submit-committed"
    TRIGGER_BEGUN = "trigger-begun"
    TRIGGERED = "triggered"
    TRIGGER_COMMITTED = "trigger-committed"
    CANCEL_COMMITTED = "cancel-committed"
    STOPPED = "stopped"
    CLEAR_BEGUN = "clear-begun"
    CLEARED = "cleared"
    MIGRATION_UNCOMMITTED = "migration-uncommitted"
