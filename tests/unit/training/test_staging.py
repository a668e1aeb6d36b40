"""Claims about folders that appear whole or not at all."""

from pathlib import Path

import pytest

from training.staging import FolderBusyError, FolderExistsError, staged_folder


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_finished_folder_appears_under_its_name(tmp_path: Path) -> None:
    """The folder is absent until the block ends, then whole."""
    out = tmp_path / "deep" / "model"
    with staged_folder(out) as folder:
        (folder / "file").write_text("whole")
        assert not out.exists()
    assert (out / "file").read_text() == "whole"
    assert visible(out.parent) == ["model"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_an_interrupted_folder_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    """Ctrl-C and errors alike clear up, and the same place can be used again."""
    out = tmp_path / "model"
    with pytest.raises(failure), staged_folder(out) as folder:
        (folder / "half").touch()
        raise failure
    assert visible(tmp_path) == []
    with staged_folder(out):
        pass
    assert out.is_dir()


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    """Nothing of an earlier half-made folder gets into a new one."""
    (tmp_path / ".model.partial").mkdir()
    (tmp_path / ".model.partial" / "stale").touch()
    with staged_folder(tmp_path / "model"):
        pass
    assert list((tmp_path / "model").iterdir()) == []


def test_an_existing_folder_is_refused_and_kept(tmp_path: Path) -> None:
    """A finished model is never written over."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").touch()
    with (
        pytest.raises(FolderExistsError, match="remove it first"),
        staged_folder(tmp_path / "model"),
    ):
        pass
    assert (tmp_path / "model" / "file").exists()


def test_two_makers_of_one_folder_do_not_meet(tmp_path: Path) -> None:
    """The second is told to wait, and the first goes on undisturbed."""
    out = tmp_path / "model"
    with staged_folder(out) as folder:
        (folder / "file").touch()
        with pytest.raises(FolderBusyError), staged_folder(out):
            pass
    assert (out / "file").exists()
