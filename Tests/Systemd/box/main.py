"""Runs inside the box, as root: installs fhird as `make install` does, starts the test server, runs the groups."""
import glob
import os
import shutil
import sys

import harness
from harness import command, output, run_group, score, tests, wait_for, write_settings

import checks_service  # noqa: F401  The order of these is the order of the groups.
import checks_access  # noqa: F401
import checks_life  # noqa: F401
import checks_journal  # noqa: F401
import checks_gateway  # noqa: F401
import checks_key  # noqa: F401  Uninstalls at its end.

USERS = ("alice", "bob", "carol")


def carry_runtime(binaries):
    """A debug build needs Swift's libraries from the toolchain, which may lie where the sandbox does not let it look."""
    needed = set()
    for program in ("fhird", "fhirctl", "fhird-gateway"):
        for line in output("ldd", f"{binaries}/{program}", check=False).splitlines():
            path = line.partition("=> ")[2].partition(" (")[0]
            if path and not path.startswith(("/lib", "/usr/lib")):
                needed.add(path)
    for path in needed:
        shutil.copy(path, "/usr/local/lib/")
    if needed:
        command("ldconfig")


def users():
    command("groupadd", "lab")
    for user in USERS:
        command("useradd", "--create-home", user)
    # alice is in the group as a supplementary one; carol may do everything; bob is nobody.
    command("usermod", "--append", "--groups", "lab", "alice")
    command("usermod", "--append", "--groups", "fhird-admin", "carol")


def main():
    binaries, wanted = sys.argv[1], sys.argv[2:] or list(tests)
    unknown = set(wanted) - set(tests)
    if unknown:
        sys.exit(f"no such group: {' '.join(sorted(unknown))}; there are: {' '.join(tests)}")
    carry_runtime(binaries)
    print("# " + output("make", "install", f"BINARIES={binaries}", timeout=120).replace("\n", "\n# "))
    write_settings(**harness.SETTINGS)
    users()
    os.makedirs(harness.TOOLS, exist_ok=True)
    for file in glob.glob(f"{harness.HERE}/*.py"):
        shutil.copy(file, harness.TOOLS)
    command("systemd-run", "--quiet", "--unit=tokenserver", "/usr/bin/python3", f"{harness.TOOLS}/tokenserver.py",
            str(harness.SERVER_PORT))
    wait_for("the token server listens", lambda: command(
        "curl", "--silent", "--fail", f"{harness.SERVER}/fhir/metadata", check=False).returncode == 0)
    if "service" not in wanted:
        command("systemctl", "start", "fhird.service")
    for group in tests:
        if group in wanted:
            run_group(group)
    print(f"{score['passed']} passed, {score['failed']} failed")
    sys.exit(1 if score["failed"] else 0)


main()
