"""Claims about the starter's entry point that need no model."""

import subprocess
import sys


def test_importing_the_starter_loads_no_heavy_library() -> None:
    """A command line can show its help without waiting for PyTorch."""
    code = (
        "import sys, training.starter, training.shapes;"
        "print(sorted({'torch', 'transformers', 'openvino', 'tokenizers'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "[]"
