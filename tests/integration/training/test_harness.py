"""Claims about tasks of lm-evaluation-harness."""

import json
from pathlib import Path

import pytest

from training.measuring.harness import run_harness
from training.quiet import quiet_libraries

pytestmark = pytest.mark.slow

TASK = """task: small_choice
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["hot", "cold"]
doc_to_target: label
metric_list:
  - metric: acc
"""


def test_a_local_task_is_run_and_one_without_data_is_left_out(
    small_model: Path, tmp_path: Path
) -> None:
    """The first has its number, the second a reason; neither fails the job."""
    data = tmp_path / "rows.json"
    rows = [{"question": f"Number {n}: the sun is", "label": n % 2} for n in range(4)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = tmp_path / "small_choice.yaml"
    task.write_text(TASK.format(data=data))
    with quiet_libraries():
        absent = str(tmp_path / "absent.yaml")
        metrics, left_out = run_harness(small_model, [str(task), absent], 2)
    assert 0.0 <= metrics["harness.small_choice.acc"] <= 1.0
    assert set(left_out) == {absent}
