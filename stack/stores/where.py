"""Where each store is, whether Parley starts it or the user does: addresses that hold no secret.

Pure: reads and starts nothing.
"""

from dataclasses import dataclass

from sqlalchemy.engine import URL, make_url

from stack.home import Home
from stack.ports import LOOPBACK, Ports
from stack.stores.credentials import DEFAULT_PORT, without_password
from stack.stores.own import Own

BUCKET = "parley"
REGION = "us-east-1"
ADMIN = "parley"
UNIX = "unix:"


@dataclass(frozen=True)
class Stores:
    """What the registry, MLflow and the checks are told.

    Args:
        parley_uri, mlflow_uri, airflow_uri: SQLAlchemy URIs; `mlflow_uri` is empty where MLflow is
            the user's, `airflow_uri` where the user's PostgreSQL has no database for it.
        mlflow_address: `unix:/path`, or the user's `http://...`.
        mlflow_token_file: empty where MLflow asks for none.
    """

    parley_uri: str
    mlflow_uri: str
    s3_endpoint: str
    s3_region: str
    s3_bucket: str
    s3_credentials_file: str
    mlflow_address: str
    mlflow_token_file: str = ""
    airflow_uri: str = ""

    @property
    def s3_settings(self) -> dict[str, str]:
        """The object store, as the settings of whoever uses it name it."""
        return {
            "S3_ENDPOINT": self.s3_endpoint,
            "S3_REGION": self.s3_region,
            "S3_BUCKET": self.s3_bucket,
            "S3_CREDENTIALS_FILE": self.s3_credentials_file,
        }


def find(home: Home, ports: Ports, own: Own) -> Stores:
    """The stores of a home: the user's where `own` names one, else Parley's."""
    parley_uri = our_uri(home, "parley_app", "parley_db")
    mlflow_uri = our_uri(home, "mlflow", "mlflow_db")
    airflow_uri = our_uri(home, "airflow", "airflow_db")
    if own.postgres:
        airflow_uri = own.postgres.uri_airflow
        airflow_uri = without_password(airflow_uri, home.own_pgpass) if airflow_uri else ""
        parley_uri = without_password(own.postgres.uri_parley, home.own_pgpass)
        mlflow_uri = own.postgres.uri_mlflow
        mlflow_uri = without_password(mlflow_uri, home.own_pgpass) if mlflow_uri else ""
    token = own.mlflow.token_file if own.mlflow else None
    return Stores(
        parley_uri=parley_uri,
        mlflow_uri="" if own.mlflow else mlflow_uri,
        s3_endpoint=own.s3.endpoint if own.s3 else f"http://{LOOPBACK}:{ports.s3}",
        s3_region=own.s3.region if own.s3 else REGION,
        s3_bucket=own.s3.bucket if own.s3 else BUCKET,
        s3_credentials_file=str(
            own.s3.credentials_file.expanduser() if own.s3 else home.s3_credentials
        ),
        mlflow_address=own.mlflow.uri if own.mlflow else f"{UNIX}{home.socket('mlflow')}",
        mlflow_token_file=str(token.expanduser()) if token else "",
        airflow_uri=airflow_uri,
    )


def admin_uri(home: Home) -> str:
    """The superuser's way into Parley's own PostgreSQL."""
    return our_uri(home, ADMIN, "postgres")


def conninfo(uri: str) -> str:
    """The same URI in the form that libpq and its programs take."""
    return make_url(uri).set(drivername="postgresql").render_as_string(hide_password=False)


def our_uri(home: Home, role: str, database: str) -> str:
    """A role's way into one of our own databases."""
    query = {"host": str(home.sockets), "port": str(DEFAULT_PORT), "passfile": str(home.pgpass)}
    url = URL.create("postgresql+psycopg", username=role, database=database, query=query)
    return url.render_as_string(hide_password=False)
