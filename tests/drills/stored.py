"""A search whose data and checkpoints are in S3, whose node is lost, and then its head's folder.

python -m tests.drills.stored SCRATCH DATA, within `hosts.apart`. The second part of the search goes
on from the storage alone. What was seen is printed as JSON.
"""

import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from results.store import read_epochs
from search.session.backup import ARCHIVE
from tests.drills.hosts import NETWORK
from tests.drills.logged_nodes import trained
from tests.drills.parted import MOVED, TRIALS, search
from tests.drills.ray_hosts import address, gather, said
from tests.drills.searches import wait_for

LATER = 2
"""Trials that are asked for when the search goes on."""

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


def open_bucket(data: Path) -> Any:
    """A client of a server that all hosts reach, with the prepared dataset in its bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    ThreadedMotoServer(ip_address=f"{NETWORK}.254", port=5000).start()
    client = boto3.client(
        "s3", endpoint_url=f"http://{NETWORK}.254:5000", region_name="us-east-1",
        aws_access_key_id="testing", aws_secret_access_key="testing",
    )  # fmt: skip
    client.create_bucket(Bucket="bucket")
    for name in ("train.beton", "manifest.json"):
        client.upload_file(str(data / "demo" / name), "bucket", f"data/demo/{name}")
    return client


def uri(folder: str) -> str:
    """A folder of the bucket."""
    where = f"{NETWORK}.254:5000"
    return f"s3://bucket/{folder}?scheme=http&region=us-east-1&endpoint_override={where}"


def kill(process: Any) -> None:
    """With all that it has started."""
    tree = [process, *process.children(recursive=True)]
    for each in tree:
        each.send_signal(signal.SIGKILL)


def main(scratch: Path, data: Path) -> dict[str, Any]:
    began, times = time.time(), {}

    def note(name: str) -> None:
        times[name] = round(time.time() - began, 1)

    hosts, supervisors = gather(scratch, data, KEYS)
    client, (head, _, lost) = open_bucket(data), hosts

    def there() -> list[str]:
        listed = client.list_objects_v2(Bucket="bucket", Prefix="runs/")
        return [item["Key"] for item in listed.get("Contents", ())]

    note("hosts up")
    output, directory = scratch / "output", scratch / "runs" / "cluster"
    more = ["--address", address(head), "--storage", uri("runs")]
    more_at_first = [*more, "--data-uri", uri("data")]
    command = search(
        "tests.drills.logged_nodes", "cluster", scratch, data, *more_at_first, trials=TRIALS - LATER
    )
    driver = head.start(command, output, KEYS | {"RAY_AUTH_MODE": "token"})
    wait_for(lambda: len(trained(lost.folder / "epochs")) >= 3, driver)
    kill(psutil.Process(supervisors[2].pid))
    note("node killed")
    wait_for(lambda: said(output, MOVED), driver)
    note("its trial moved")
    moved = len(trained(head.folder / "epochs"))
    wait_for(lambda: len(trained(head.folder / "epochs")) >= moved + 5, driver)
    before = list(read_epochs(directory))
    kill(psutil.Process(driver.pid))
    driver.wait()
    note("head's search killed")
    kept = there()
    shutil.rmtree(directory)

    resume = [
        sys.executable, "-m", "tests.drills.logged_nodes", "--resume", "cluster",
        "--out", str(scratch / "runs"), "--trials", f"+{LATER}", *more,
    ]  # fmt: skip
    again = head.start(resume, scratch / "resumed", KEYS | {"RAY_AUTH_MODE": "token"})
    code = again.wait()
    note("ended")
    return {
        "code": code,
        "times": times,
        "before": [(number, metrics.epoch) for number, metrics in before],
        "kept": kept,
        "left": there(),
        "archive": f"runs/cluster/{ARCHIVE}",
        "trained": [trained(host.folder / "epochs") for host in hosts],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
