"""Asks osv.dev which of the tested versions have known vulnerabilities, and records the answer.

`make check` runs it. Exit code 1 where there are any; 0 also where nobody could be asked, which is
said. What is accepted can be named: `AUDIT_ARGS='--ignore-vuln ID' make check`.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "build" / "audit.json"
LONGEST_S = 120


def audit(versions: Path, record: Path) -> int:
    """Asks about the pinned `versions`, writes `record`, prints a line for each vulnerability."""
    answer = record.with_suffix(".partial")
    answer.parent.mkdir(exist_ok=True)
    answer.unlink(missing_ok=True)
    why = _ask(versions, answer)
    found = json.loads(answer.read_text("utf-8"))["dependencies"] if answer.exists() else []
    answer.unlink(missing_ok=True)
    known = [
        f"{each['name']} {each['version']}: {vuln['id']}, "
        f"{'fixed in ' + ', '.join(vuln['fix_versions']) if vuln['fix_versions'] else 'not fixed'}"
        for each in found
        for vuln in each.get("vulns", [])
    ]
    outcome = f"nobody could be asked ({why})" if why else f"{len(known)} known vulnerabilities"
    at = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"at": at, "packages": len(found), "outcome": outcome, "vulnerabilities": known}
    record.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print("\n".join([f"audit: {len(found)} packages, {outcome}", *known]))
    return int(bool(known))


def _ask(versions: Path, answer: Path) -> str:
    """Has pip-audit write its answer; gives the reason where it can't."""
    tool = shutil.which("pip-audit", path=str(Path(sys.executable).parent)) or "pip-audit"
    command = [tool, "--requirement", str(versions), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--progress-spinner", "off"]
    command += ["--format", "json", "--output", str(answer)]
    command += shlex.split(os.environ.get("AUDIT_ARGS", ""))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST_S,
            check=False,
        )
    except FileNotFoundError:
        return "pip-audit isn't installed: make setup"
    except subprocess.TimeoutExpired:
        return f"no answer for {LONGEST_S} s"
    if answer.exists() and answer.stat().st_size:
        return ""
    answer.unlink(missing_ok=True)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"pip-audit ended with code {done.returncode}"


if __name__ == "__main__":
    sys.exit(audit(ROOT / "constraints.txt", RECORD))
