"""Known vulnerabilities of the pinned packages of both stacks: a report.

It fails nothing, since one may be published on any day, and where no source of them can be reached that is reported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

AUDIT = (sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json", "--timeout", "5")


def main() -> None:
    for pins in sorted(Path("constraints").glob("*.txt")):
        answer = subprocess.run([*AUDIT, "--requirement", str(pins)], capture_output=True, text=True, check=False)
        for line in summary(answer.stdout):
            print(f"{pins}: {line}", flush=True)


def summary(report: str) -> list[str]:
    """The vulnerabilities in pip-audit's JSON, one a line, and how many packages were looked up."""
    packages = json.loads(report)["dependencies"] if report.strip() else []
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return ["no source of known vulnerabilities can be reached, skipped"]
    found = [
        f"{package['name']} {package['version']}: {one['id']}, fixed in {one['fix_versions'] or 'no version'}"
        for package in known
        for one in package["vulns"]
    ]
    return [*found, f"{len(known)} of {len(packages)} packages looked up, {len(found)} known vulnerabilities"]


if __name__ == "__main__":
    main()
