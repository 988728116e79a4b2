"""The installed unit: activation, readiness, status text, places and their modes, limits, sandbox."""
import glob
import grp
import os
import re
import stat

from harness import (
    as_user, code, command, create_connection, main_pid, output, root_call, show, test, uid, wait_for)

EXPOSURE_MAX = 2.0


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@test("service", "make install makes user, group, directories, settings, completions and the key")
def installed():
    fhird = uid("fhird")
    assert grp.getgrnam("fhird-admin")
    assert fhird != 0
    assert mode("/run/fhird") == 0o755 and os.stat("/run/fhird").st_uid == fhird
    assert mode("/etc/fhird/fhird.env") == 0o644
    key = "/etc/credstore.encrypted/fhird.key"
    assert mode(key) == 0o600 and os.stat(key).st_uid == 0
    for file in ("bash-completion/completions/fhirctl", "zsh/site-functions/_fhirctl",
                 "fish/vendor_completions.d/fhirctl.fish"):
        assert os.path.getsize(f"/usr/local/share/{file}") > 100, file


@test("service", "make install leaves an existing key and existing settings as they are")
def installed_again():
    files = ("/etc/credstore.encrypted/fhird.key", "/etc/fhird/fhird.env")
    before = [open(file, "rb").read() for file in files]
    binaries = os.path.realpath("/usr/local/bin")
    command("make", "install", f"BINARIES={binaries}", timeout=120)
    assert [open(file, "rb").read() for file in files] == before


@test("service", "the first client's connection starts the daemon, whoever the client is")
def socket_activation():
    command("systemctl", "enable", "--quiet", "--now", "fhird.socket")
    assert mode("/run/fhird/fhird.sock") == 0o666
    assert show("ActiveState") == "inactive"
    info = as_user("bob", "server.info")["result"]
    assert info["caller"]["uid"] == uid("bob") and info["caller"]["user"] == "bob", info["caller"]
    assert show("ActiveState") == "active"
    assert info["pid"] == main_pid()


@test("service", "systemctl start returns when the daemon is ready to answer")
def start():
    command("systemctl", "stop", "fhird.service")
    command("systemctl", "start", "fhird.service")
    assert (show("Type"), show("ActiveState"), show("SubState")) == ("notify", "active", "running")
    assert root_call("server.info")["name"] == "fhird"


@test("service", "the status text says how things stand, and follows a change")
def status_text():
    before = show("StatusText")
    assert before, "no status text"
    create_connection("status")
    wait_for("the status text changes when there is a connection", lambda: show("StatusText") != before)
    root_call("connection.delete", connection="status")
    wait_for("and again when it is gone", lambda: show("StatusText") == before)


@test("service", "the state belongs to fhird alone")
def state_modes():
    assert mode("/var/lib/fhird") == 0o700 and os.stat("/var/lib/fhird").st_uid == uid("fhird")
    files = [path for path in glob.glob("/var/lib/fhird/**", recursive=True) if os.path.isfile(path)]
    assert files, "the state directory is empty"
    for path in files:
        assert mode(path) == 0o600 and os.stat(path).st_uid == uid("fhird"), path


@test("service", "the daemon runs as fhird, without capabilities, without core files, closed to other processes")
def process():
    pid = main_pid()
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert set(status["Uid"].split()) == {str(uid("fhird"))}, status["Uid"]
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, f"{kind} {status[kind]}"
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        limits = file.read()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
    # A process that is not dumpable has its files in /proc owned by root: its own user cannot read its memory.
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0, "the process is dumpable"


@test("service", "environment and command line carry nothing but names of places")
def environment():
    pid = main_pid()
    with open(f"/proc/{pid}/environ", "rb") as file:
        names = {entry.partition(b"=")[0].decode() for entry in file.read().split(b"\0") if entry}
    allowed = {
        "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY", "HOME", "INVOCATION_ID", "JOURNAL_STREAM", "LANG", "LOGNAME",
        "LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "PATH", "RUNTIME_DIRECTORY", "SHELL",
        "STATE_DIRECTORY", "SYSTEMD_EXEC_PID", "USER", "WATCHDOG_PID", "WATCHDOG_USEC"}
    assert names <= allowed, names - allowed
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        assert file.read() == b"/usr/local/bin/fhird\0"


@test("service", f"systemd-analyze security gives {EXPOSURE_MAX} or less")
def exposure():
    text = output("systemd-analyze", "security", "--no-pager", "fhird.service")
    value = float(re.search(r"Overall exposure level for fhird.service: ([0-9.]+)", text)[1])
    assert value <= EXPOSURE_MAX, value


@test("service", "a server is found by name from within the sandbox")
def resolves():
    result = root_call("connection.test", fhir_base_url="http://localhost:8480/fhir", auth_method="none")
    outcome = {step["name"]: step for step in result["steps"]}
    assert outcome["resolve"]["outcome"] == "passed", outcome["resolve"]
    assert outcome["tcp"]["outcome"] == "passed", outcome["tcp"]


@test("service", "fhirctl finds the socket by itself and says who is refused")
def fhirctl():
    assert "fhird" in output("fhirctl", "server", "info")
    refused = command("runuser", "-u", "bob", "--", "fhirctl", "connection", "list", check=False)
    assert refused.returncode == 77, refused
    assert "hint: fhirctl access grant" in refused.stderr, refused.stderr
    assert code(as_user("bob", "connection.list")) == "ACCESS_DENIED"
