"""Generates the Python stubs of `protos/` into the environment's site-packages.

Stubs are made at set-up and never committed. The protovalidate rules that our protos import come
from the installed protovalidate package, as a descriptor, so that no third-party proto is committed
and no schema registry is asked.

Also writes the descriptor set that `buf lint` and `buf breaking` read. Knows nothing of the
services.
"""

import argparse
import sys
import sysconfig
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent.parent / "protos"
VALIDATE = "buf/validate/validate.proto"


def sources(root: Path = PROTOS) -> list[str]:
    """Paths of all protos below `root`, relative to it and sorted."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.proto"))


def write_rules(path: Path) -> None:
    """Writes the descriptors of protovalidate's rules and of what they import."""
    from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
    from protovalidate._gen.buf.validate import validate_pb

    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    path.write_bytes(files.SerializeToString())


def _protoc(arguments: list[str]) -> None:
    from grpc_tools import protoc

    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("parley: the protos do not compile; see the lines above")


def generate(out: Path, root: Path = PROTOS) -> None:
    """Writes `*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` below `out`. Safe to repeat."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch, "rules.binpb")
        write_rules(rules)
        common = [f"--descriptor_set_in={rules}", f"--python_out={out}", f"--pyi_out={out}"]
        _protoc([*common, VALIDATE])
        _protoc([f"-I{root}", *common, f"--grpc_python_out={out}", *sources(root)])


def describe(path: Path, root: Path = PROTOS) -> None:
    """Writes one descriptor set of all our protos with their comments, for buf to read."""
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch, "rules.binpb")
        write_rules(rules)
        _protoc(
            [
                f"-I{root}",
                f"--descriptor_set_in={rules}",
                "--include_source_info",
                "--include_imports",
                f"--descriptor_set_out={path}",
                *sources(root),
            ]
        )


def main() -> None:
    """Generates into the running interpreter's site-packages, or describes into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--describe",
        type=Path,
        metavar="FILE",
        help="write a descriptor set for buf instead of stubs",
    )
    arguments = parser.parse_args()
    if arguments.describe:
        describe(arguments.describe)
    else:
        generate(Path(sysconfig.get_paths()["purelib"]))


if __name__ == "__main__":
    sys.exit(main())
