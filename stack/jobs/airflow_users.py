"""Who may enter Airflow: one person, and Parley's own service. Their passwords are generated.

The service's role is "user": it sees, starts, ends and repeats runs of DAGs, and every DAG here is
Parley's. Connections, variables, pools and settings are closed to it.
"""

import base64
import json
import secrets

from stack import keys
from stack.home import Home

ADMIN, SERVICE = "admin", "parley-jobs"
ROLES = {ADMIN: "admin", SERVICE: "user"}
SECRET_BYTES = 32


def ensure(home: Home) -> None:
    """Makes the passwords and signing keys that are missing. Safe to repeat."""
    for path in (home.airflow_admin, home.airflow_service, home.airflow_jwt, home.airflow_api):
        if not path.exists():
            keys.write_private(path, f"{secrets.token_urlsafe(SECRET_BYTES)}\n")
    if not home.airflow_fernet.exists():
        # Fernet takes 32 bytes in URL-safe base64, with its padding.
        made = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        keys.write_private(home.airflow_fernet, f"{made}\n")
    passwords = {ADMIN: keys.read(home.airflow_admin), SERVICE: keys.read(home.airflow_service)}
    keys.write_private(home.airflow_passwords, json.dumps(passwords) + "\n")
