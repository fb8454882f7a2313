"""Conversions on a disk that is too small, then full midway, then read-only; prints lines.

python -m tests.drills.full_conversion DISK ZIP
"""

import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from unittest.mock import patch

from datasets import prepare
from tests.drills.small_disk import remount, sizes

Usage = namedtuple("Usage", "total used free")


def main(disk: Path, source: str) -> None:
    arguments = ["tiny-imagenet", "--source", source, "--data", str(disk), "--workers", "1"]
    codes, left = [], []

    def attempt() -> None:
        codes.append(prepare.main(arguments))
        left.append(sizes(disk))

    attempt()
    endless = Usage(total=1 << 40, used=0, free=1 << 40)
    with patch.object(shutil, "disk_usage", lambda path: endless):
        attempt()  # the check beforehand is deceived, the disk is not
    remount(disk, "ro")
    attempt()
    remount(disk, "rw")
    remount(disk, "size=64m")
    attempt()
    print(json.dumps({"codes": codes, "left": left}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
