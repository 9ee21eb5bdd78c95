"""In the guest: command lines from standard input, one after the other; one line of JSON about each.

``timecard`` runs in this process, so that a slow guest loads the program once; all else is the shell's.
"""

import contextlib
import io
import json
import shlex
import subprocess
import sys

from timecard.cli.main import main

for line in sys.stdin:
    words = shlex.split(line)
    if words[0] == "timecard":
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = main(words[1:])
        told = {"status": status, "out": out.getvalue(), "errors": errors.getvalue()}
    else:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120)
        told = {"status": done.returncode, "out": done.stdout, "errors": done.stderr}
    print(json.dumps({"line": line.strip(), **told}), flush=True)
