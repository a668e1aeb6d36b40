"""Which file names a model folder may hold.

A name is what a folder, an object store or a hub calls a file, and it is not to be believed: it may
lead out of the folder, hide what it is, or be another file's name on another machine. What passes
is plain ASCII without any separator. Knows no file's content.
"""

import re

from services.registry.importing.refusals import refused

# What a folder may hold besides: the engine's form, which is made anew from the rest.
ENGINE_FOLDER = "openvino"
NAME_BYTES_MAX = 128

WEIGHTS = ".safetensors"
_ALLOWED = (WEIGHTS, ".json", ".txt", ".jinja", ".md")
_PAPERS = {"license", "notice"}
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
_CODE = (".py", ".pyc", ".pyx", ".so", ".sh", ".ipynb")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
_ESCAPES = re.compile(r"[/\\\0]|%2e|%2f|%5c", re.IGNORECASE)
_ADAPTER = "adapter_config.json"


def is_skipped(name: str) -> bool:
    """Whether the folder's entry is neither read nor taken: hidden ones, such as .git, and the
    engine's form."""
    return re.match(r"\.[^.]", name) is not None or name == ENGINE_FOLDER


def check_name(name: str) -> None:
    """Raises InvalidArgument unless the name is a plain one of an allowed kind."""
    check_plain(name)
    lower = name.lower()
    if lower.endswith(_PICKLES):
        raise refused(
            "PICKLE_FILE", name, "may run code when it is opened. Save the weights as safetensors "
            "(save_pretrained does), and remove it from the folder.",
        )  # fmt: skip
    if lower.endswith(_CODE):
        raise refused(
            "CODE_FILE", name, "is program code, which is never run. Remove it; a model whose "
            "code transformers does not hold cannot be imported.",
        )  # fmt: skip
    if lower == _ADAPTER:
        raise refused(
            "ADAPTER_NOT_MERGED", name, "belongs to an adapter without its base model. Merge them "
            "(merge_and_unload) and save the result.",
        )  # fmt: skip
    if not is_allowed(name):
        kinds = ", ".join(_ALLOWED)
        raise refused("FILE_NOT_ALLOWED", name, f"is of no kind that is taken: {kinds}. Remove it.")


def check_plain(name: str) -> None:
    """Raises InvalidArgument unless the name is that of a file right in a folder, on any system."""
    if name in {"", ".", ".."} or _ESCAPES.search(name):
        raise refused("NAME_ESCAPES", name, "leads out of the model's folder. Rename or remove it.")
    if len(name.encode(errors="surrogateescape")) > NAME_BYTES_MAX:
        words = f"has a name of more than {NAME_BYTES_MAX} bytes. Shorten it."
        raise refused("NAME_TOO_LONG", name, words)
    if not _PLAIN.fullmatch(name):
        raise refused(
            "NAME_INVALID", name, "has a name with other signs than letters, digits, dots, "
            "dashes, underscores and plus signs. Rename or remove it.",
        )  # fmt: skip


def check_distinct(names: list[str]) -> None:
    """Raises InvalidArgument when two names are one where case does not count."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            words = f"and {other} are one name on systems that ignore case. Rename one of them."
            raise refused("NAME_COLLIDES", name, words)


def is_allowed(name: str) -> bool:
    """Whether a plain name is of a kind that is taken."""
    return name.lower() in _PAPERS or name.endswith(_ALLOWED)
