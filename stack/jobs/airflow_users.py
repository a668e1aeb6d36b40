"""Who may enter Airflow: one person, and Parley's own service. Their passwords are generated.

The service's role lets it look and change nothing; what it may do of Parley's graphs is in
`airflow_rights`, to which `airflow_auth` holds it.
"""

import base64
import json
import secrets

from stack import keys
from stack.home import Home
from stack.jobs.airflow_rights import SERVICE

ADMIN = "admin"
ROLES = {ADMIN: "admin", SERVICE: "viewer"}
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
