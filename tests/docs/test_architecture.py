"""The drawing of the packages is that of their imports."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_drawing_is_up_to_date():
    command = [sys.executable, str(ROOT / "docs/architecture/draw.py"), "--check"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert drawn.returncode == 0, drawn.stderr or "run docs/architecture/draw.py"
