"""Where an answer says that it came from."""

from parley.serving.v1 import model_serving_pb2 as pb

from gateway import identity

DIGEST = "0123456789abcdef" * 4
STARTED = pb.Started(
    model="m", version="3", digest=DIGEST, run_id="r" * 32, dataset_digest="d" * 64, revision=17
)


def test_id_names_digest_number_and_revision():
    """The registry finds the deployment by it."""
    assert identity.answer_id("chatcmpl-", STARTED, "ab12") == "chatcmpl-0123456789ab-3-17-ab12"


def test_id_of_a_folders_answer_has_number_0():
    """Its version is the digest already."""
    started = pb.Started(model="m", version="ba9876543210")
    assert identity.answer_id("cmpl-", started, "x") == "cmpl-ba9876543210-0-0-x"
    assert identity.fingerprint(started) == "fp_ba9876543210"


def test_headers_name_what_is_known():
    """And leave out what is not."""
    assert dict(identity.headers(STARTED)) == {
        b"x-parley-model": b"m",
        b"x-parley-version": b"3",
        b"x-parley-run": b"r" * 32,
        b"x-parley-dataset": b"d" * 64,
    }
    assert len(identity.headers(pb.Started(model="m", version="v"))) == 2
