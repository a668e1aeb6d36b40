"""What Airflow is told of a new dataset."""

from services.jobs.data.announce import announcer
from services.jobs.data.exporting import News
from tests.fakes.announcements import FakeAnnouncements

NEWS = News("m", "d" * 64, "ada")


async def test_a_run_says_which_model_and_dataset():
    """For whoever retrains."""
    airflow = FakeAnnouncements()
    await announcer(airflow)(NEWS)
    assert airflow.events == [
        {"model": "m", "dataset": f"sha256:{'d' * 64}", "submitted_by": "ada"}
    ]


async def test_a_dataset_is_told_of_once():
    """The same feedback exported again retrains nothing."""
    airflow = FakeAnnouncements()
    await announcer(airflow)(NEWS)
    await announcer(airflow)(NEWS)
    assert len(airflow.events) == 1
