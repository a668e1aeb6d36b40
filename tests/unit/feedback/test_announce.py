"""What Airflow is told of a new dataset."""

import pytest

from services.jobs.data.announce import ASSET, announcer
from services.jobs.data.exporting import News
from services.rpc.errors import Unavailable
from tests.fakes.assets import FakeAssets

NEWS = News("m", "d" * 64, "ada")


async def test_an_event_says_which_model_and_dataset():
    """For whoever retrains."""
    airflow = FakeAssets(ASSET)
    await announcer(airflow)(NEWS)
    assert airflow.events == [
        {"model": "m", "dataset": f"sha256:{'d' * 64}", "submitted_by": "ada"}
    ]


async def test_an_airflow_without_the_asset_is_not_ready():
    """It reads its DAGs for a while after it has begun to answer; others are not meant."""
    with pytest.raises(Unavailable):
        await announcer(FakeAssets(f"{ASSET}/other"))(NEWS)
