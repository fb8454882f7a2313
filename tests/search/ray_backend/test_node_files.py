"""Where a training finds its images and keeps its checkpoint, by the node that it runs on."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from common.remote import UriPlace
from datasets.access import TRAIN_FILE
from datasets.spec import DatasetError
from search.config.command_line import resolve
from search.ray_backend import ray_cluster
from search.ray_backend.node_files import NodeFiles, cache
from search.session.backup import StorageSync
from tests.datasets.test_node_copy import PRINT, shared  # noqa: F401  (a fixture)

WHOLE = {"driver_node": "n1", "run": "first", "dataset": "tiny", "fingerprint": PRINT}


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Says which node this is, and gives the node's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def be(name: str) -> Path:
        monkeypatch.setattr(ray_cluster, "node_id", lambda: name)
        return tmp_path / "cache" / "tiny-imagenet-search"

    return be


def test_on_the_only_machine_everything_is_where_it_is(tmp_path):
    node_files = NodeFiles()
    assert node_files.lacking(tmp_path / "data") is None
    assert node_files.data(tmp_path / "data") == tmp_path / "data"
    with node_files.checkpoint(tmp_path / "0001.pt") as found:
        assert found == (tmp_path / "0001.pt", None)


def test_without_a_home_that_can_be_written_copies_are_private_to_the_user(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache() == tmp_path / ".cache" / "tiny-imagenet-search"
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    private = cache()
    assert private == tmp_path / f"tiny-imagenet-search-{os.getuid()}"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    private.chmod(0o777)
    with pytest.raises(PermissionError, match="only this user writes; remove it"):
        cache()
    private.rmdir()
    private.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        cache()


def test_at_home_and_at_a_shared_path_nothing_is_copied(node, shared):  # noqa: F811
    for name in ("n1", "n2"):
        node(name)
        node_files = NodeFiles(**WHOLE)
        assert node_files.lacking(shared) is None
        assert node_files.data(shared) == shared


def test_a_node_that_lacks_the_images_says_so_and_copies_them_once(node, shared, tmp_path):  # noqa: F811
    cache = node("n2")
    node_files = NodeFiles(**WHOLE, data_uri=str(shared.parent))
    missing = tmp_path / "missing" / "tiny"
    assert node_files.lacking(missing) == (
        f"waits for tiny, which this node lacks: gets it from {shared}"
    )
    copy = node_files.data(missing)
    assert copy == cache / "data" / f"tiny-{PRINT[:16]}"
    assert (copy / TRAIN_FILE).read_bytes() == (shared / TRAIN_FILE).read_bytes()
    assert node_files.lacking(missing) is None
    (shared / "manifest.json").unlink()
    assert node_files.data(missing) == copy


def test_the_colon_in_a_dataset_s_name_is_in_no_path(node, shared, tmp_path):  # noqa: F811
    cache = node("n2")
    shared.rename(shared.with_name("folder-birds"))
    named = WHOLE | {"dataset": "folder:birds"}
    node_files = NodeFiles(**named, data_uri=str(shared.parent))
    node_files.check()
    missing = tmp_path / "missing"
    assert node_files.lacking(missing).startswith("waits for folder:birds, which this node lacks")
    assert node_files.data(missing) == cache / "data" / f"folder-birds-{PRINT[:16]}"


def test_other_images_at_the_same_path_are_not_used(node, shared):  # noqa: F811
    node("n2")
    other = NodeFiles(**WHOLE | {"fingerprint": "e" * 64}, data_uri=str(shared.parent))
    assert other.lacking(shared)
    with pytest.raises(DatasetError, match="holds others"):
        other.data(shared)
    with pytest.raises(DatasetError, match="holds others"):
        other.check()
    NodeFiles(**WHOLE, data_uri=str(shared.parent)).check()


def test_a_checkpoint_goes_on_at_another_node(node, tmp_path):
    storage = tmp_path / "storage"
    node_files = NodeFiles(**WHOLE, storage=str(storage))
    in_run = tmp_path / "runs" / "first" / "checkpoints" / "0001.pt"
    for name, before, after in (("n1", None, b"one"), ("n2", b"one", b"two"), ("n1", b"two", b"3")):
        cache = node(name)
        with node_files.checkpoint(in_run) as (path, sent):
            assert path.parent == cache / "checkpoints" / "first"
            assert (path.read_bytes() if path.exists() else None) == before
            path.write_bytes(after)
            sent(path)
        assert not path.exists()  # nothing is left behind on a node
        assert (storage / "first" / "checkpoints" / "0001.pt").read_bytes() == after
    assert not in_run.exists()


def test_a_storage_that_is_away_for_a_while_breaks_no_training_off(node, tmp_path, monkeypatch):
    node("n2")
    node_files = NodeFiles(**WHOLE, storage=str(tmp_path / "storage"))
    keep = UriPlace.keep

    def answers(error):
        def kept(place, path, name):
            if error:
                raise error
            keep(place, path, name)

        monkeypatch.setattr(UriPlace, "keep", kept)

    with node_files.checkpoint(tmp_path / "0001.pt") as (path, sent):
        path.write_bytes(b"one")
        answers(OSError("no route to host"))
        with pytest.raises(OSError, match="no route"):  # may never come right
            sent(path)
        answers(None)
        sent(path)
        answers(OSError("no route to host"))
        path.write_bytes(b"two")
        sent(path)
        assert stored(node_files) == b"one"
        answers(OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(OSError, match="No space"):
            sent(path)
        answers(None)
        sent(path)
    assert stored(node_files) == b"two"


def stored(node_files):
    return (Path(node_files.storage) / "first" / "checkpoints" / "0001.pt").read_bytes()


def test_an_older_search_of_that_name_leaves_no_checkpoint(node, tmp_path):
    cache = node("n2")
    stale = cache / "checkpoints" / "first" / "0001.pt"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"stale")
    node_files = NodeFiles(**WHOLE, storage=str(tmp_path / "storage"))
    with node_files.checkpoint(tmp_path / "0001.pt") as (path, _):
        assert path == stale
        assert not path.exists()


def test_checkpoints_of_ended_trials_are_removed_there_too(tmp_path):
    node_files = NodeFiles(run="first", storage=str(tmp_path / "storage"))
    place, file = node_files.stored, tmp_path / "file"
    file.write_bytes(b"x")
    for name in ("0001.pt", "0002.pt", "0003.pt", "0200.pt"):
        place.keep(file, name)
    (tmp_path / "run").mkdir()
    storage_sync = StorageSync(node_files, tmp_path / "run", print)
    storage_sync.start()
    asked = []
    drop = storage_sync._backup._drop
    storage_sync._backup._drop = lambda name: (asked.append(name), drop(name))
    for number in range(100):  # those that have ended, while a run is opened
        if number != 3:
            storage_sync.dropped(f"{number:04d}.pt")
    storage_sync.opened()
    storage_sync.dropped("0200.pt")
    storage_sync.dropped("0201.pt")
    storage_sync.close()
    assert asked == ["0001.pt", "0002.pt", "0200.pt", "0201.pt"]
    assert place.names() == {"0003.pt"}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (
            {"address": "ray://10.0.0.1:10001"},
            "through Ray Client Tune would run the search on the",
        ),
        ({"address": "10.0.0.1"}, "--address must be auto or HOST:PORT, but got '10.0.0.1'"),
        ({"storage": "shared"}, "--storage must be an absolute path, or a URI without a key"),
        ({"data_uri": "s3://KEY:SECRET@bucket"}, "--data-uri must be an absolute path, or a URI"),
    ],
)
def test_what_reaches_beyond_this_machine_is_checked_beforehand(given, rule):
    (error,) = resolve({"space": "demo"}, given)[1]
    assert rule in error


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "head.example.org:6379", ""])
def test_addresses(address):
    assert resolve({"space": "demo"}, {"address": address})[1] == []
