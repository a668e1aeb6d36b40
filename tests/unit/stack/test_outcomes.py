"""What came of a job, as a table."""

from parley.jobs.v1 import jobs_pb2 as pb

from stack.commands.outcomes import ROWS_MAX, rows_of_metrics


def test_what_matters_most_comes_first_and_the_rest_is_bounded():
    """The champion's value stands beside, whichever of its names it came under."""
    metrics = {f"eval.category.{n:02}": 0.5 for n in range(20)}
    metrics |= {"eval.perplexity": 3.0, "eval.exact_match": 0.75, "loss": 1.0}
    metrics |= {"champion.exact_match": 0.5, "champion.eval.perplexity": 4.0}
    rows = rows_of_metrics(pb.Job(metrics=metrics))
    assert rows[:3] == [
        ("exact_match", "0.75", "0.5"),
        ("perplexity", "3", "4"),
        ("category.00", "0.5", "-"),
    ]
    assert len(rows) == ROWS_MAX
