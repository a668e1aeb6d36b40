"""What is asked for, flat for Airflow and back."""

import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from services.jobs.specs import to_conf, to_spec

SPECS = [
    pb.JobSpec(
        finetune=pb.FinetuneSpec(
            model="m",
            dataset="/d",
            method=pb.TRAINING_METHOD_LORA,
            seed=4294967295,
            learning_rate=0.1,
            harness_tasks=["a", "b"],
            verbatim=True,
        )
    ),
    pb.JobSpec(pretrain_starter=pb.PretrainStarterSpec(no_promotion=True)),
    pb.JobSpec(evaluate=pb.EvaluateSpec(model="m", version="3")),
    pb.JobSpec(import_model=pb.ImportModelSpec(model="m", source="hub:x")),
    pb.JobSpec(batch_generate=pb.BatchGenerateSpec(model="m@3", dataset="/d", tokens_max=8)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.WhichOneof("work"))
def test_there_and_back(spec: pb.JobSpec):
    """Nothing is lost, and all values are JSON's."""
    assert to_spec(*to_conf(spec)) == spec


@pytest.mark.parametrize("name", ["TRAINING_METHOD_LORA", "LORA", "lora"])
def test_a_person_may_write_an_enum_shortly(name: str):
    """As Airflow's form has it."""
    assert to_spec("finetune", {"method": name}).finetune.method == pb.TRAINING_METHOD_LORA


def test_what_does_not_fit_is_left_out():
    """A run of Airflow's page may hold anything."""
    conf = {"model": 3, "seed": -1, "method": "magic", "harness_tasks": 1, "more": {}, "epochs": 2}
    assert to_spec("finetune", conf).finetune == pb.FinetuneSpec(epochs=2)
