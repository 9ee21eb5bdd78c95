"""The guest's root folder, and running its programs on the host through its own loader.

Packages are unpacked, their scripts do not run: what the scripts would have done and the guest needs is
done here. The folder is shared with guests read-only; ``/etc``, ``/var``, ``/run``, ``/tmp`` and ``/root``
are fresh in each (``guest_init.sh``).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.vm.store import VmUnavailableError

LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
MOUNT_POINTS: Final = (
    *("proc", "sys", "dev", "run", "tmp", "var", "root", "mnt"),
    *("boot", "lib/modules", "project", "site"),
)
MERGED: Final = ("bin", "sbin", "lib", "lib64")
_FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n_chrony:x:100:100::/var/lib/chrony:/bin/false\n"
    "guest:x:1000:1000::/tmp:/bin/sh\n",
    "etc/group": "root:x:0:\ntty:x:5:\ndisk:x:6:\ndialout:x:20:\n_chrony:x:100:\nguest:x:1000:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "guest\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_COMPILE_LIMIT_S: Final = 600


def prepare_root(root: Path) -> None:
    """Before unpacking: the links of the merged ``/usr``, which a package of its own would bring."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")


def finish_root(root: Path) -> None:
    """After unpacking: mount points, accounts, busybox's applets where no real program is, byte code."""
    for name in MOUNT_POINTS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    # Not busybox: its shell prefers its own applets to the real programs.
    (root / "usr/bin/sh").unlink(missing_ok=True)
    (root / "usr/bin/sh").symlink_to("dash")
    busybox = root / "usr/bin/busybox"
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if not any((root / folder / applet).exists() for folder in ("usr/bin", "usr/sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    compile_python(root, root / "usr/lib/python3.13", "/usr/lib/python3.13")
    compile_python(root, root / "usr/lib/python3", "/usr/lib/python3")


def command_of(root: Path, program: str, *arguments: str | Path, name: str = "") -> list[str]:
    """A command line that runs a program of the root on the host: its own loader, its own libraries.

    ``name`` is what the program finds as its own name.
    """
    libraries = root / LIBRARIES
    loader = libraries / "ld-linux-x86-64.so.2"
    start = [loader, "--library-path", libraries, "--argv0", name or Path(program).name, root / program]
    return [str(word) for word in (*start, *arguments)]


def compile_python(root: Path, folder: Path, guest_path: str) -> None:
    """Byte code by the guest's own Python; compiling in an emulated processor would take most of the run."""
    done = subprocess.run(
        command_of(
            root, "usr/bin/python3.13", "-m", "compileall", "-q", "-s", folder, "-p", guest_path, folder
        ),
        env={"PYTHONHOME": str(root / "usr")},
        capture_output=True,
        text=True,
        timeout=_COMPILE_LIMIT_S,
        check=False,
    )
    if done.returncode and "SyntaxError" not in done.stdout:
        raise VmUnavailableError(f"the guest's Python does not run: {(done.stderr or done.stdout)[-300:]}")
