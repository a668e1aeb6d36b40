"""What `./parley up` brings: a model that the registry knows, and MLflow beside it."""

import subprocess

import httpx
from minio import Minio

from services.objects import s3_credentials
from stack.stores import psql

from .product import FRANCE, STARTER, Product

ALIAS = "/api/2.0/mlflow/registered-models/alias"
RUN = "/api/2.0/mlflow/runs/get"


def test_the_starter_is_a_registered_champion(product: Product):
    """The API lists it, and an answer's headers name the registry's version, run and dataset."""
    version = product.version(STARTER, "champion")
    with product.sdk() as client:
        assert STARTER in [model.id for model in client.models.list()]
        raw = client.chat.completions.with_raw_response.create(model=STARTER, messages=FRANCE)
    told = [raw.headers[f"x-parley-{name}"] for name in ("model", "version", "run", "dataset")]
    evidence = version.evidence
    assert told == [STARTER, "1", evidence.run_id, evidence.dataset_digest]
    assert len(evidence.dataset_digest) == 64
    assert raw.parse().system_fingerprint == f"fp_{version.digest[:12]}"


def test_the_databases_are_psqls_to_look_at(product: Product):
    """psql connects with the password file of the home, and lists MLflow's database."""
    ports = product.running.plan.ports
    command = psql.command(product.home, ports, "mlflow_db", ["-l", "-A", "-t"])
    listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    names = {line.split("|")[0] for line in listed.stdout.splitlines()}
    assert {"mlflow_db", "parley_db"} <= names


def test_mlflow_is_behind_the_edges_keys(product: Product):
    """No key, no page; with one, the run's metrics and the version with its alias are there."""
    site = product.running.mlflow_url
    assert httpx.get(site).status_code == 401
    assert httpx.get(f"{site}{ALIAS}").status_code == 401
    version = product.version(STARTER, "champion")
    with product.http(site) as mlflow:
        assert "<html" in mlflow.get("/").text
        query = {"name": STARTER, "alias": "champion"}
        registered = mlflow.get(ALIAS, params=query).json()["model_version"]
        run_id = {"run_id": registered["run_id"]}
        run = mlflow.get(RUN, params=run_id).json()["run"]
    assert (registered["version"], registered["aliases"]) == ("1", ["champion"])
    assert registered["run_id"] == version.evidence.run_id
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert metrics == dict(version.evidence.metrics)
    assert metrics["eval.overall"] > 0.5


def test_the_bucket_holds_source_and_engine_by_digest(product: Product):
    """Each lies once, under its own digest."""
    version = product.version(STARTER, "1")
    found = s3_credentials.read(product.home.s3_credentials)
    store = Minio(
        f"127.0.0.1:{product.running.plan.ports.s3}",
        access_key=found.access_key,
        secret_key=found.secret_key,
        region="us-east-1",
        secure=False,
    )
    names = {item.object_name for item in store.list_objects("parley", recursive=True)}
    assert f"models/{version.digest}/model.safetensors" in names
    assert f"engines/{version.engine_digest}/openvino_model.bin" in names
