"""What every group of tests shares: running commands in the box, waiting with a deadline, and keeping the score."""
import json
import os
import pwd
import subprocess
import sys
import time
import traceback
import urllib.request

from client import Client

HERE = os.path.dirname(os.path.abspath(__file__))
# Copies that every user can read: the tree may lie in a home directory.
TOOLS = "/usr/local/lib/fhird-tests"
SERVER_PORT = 8480
SERVER = f"http://127.0.0.1:{SERVER_PORT}"
ENV_FILE = "/etc/fhird/fhird.env"
SETTINGS = {"FHIRD_ALLOW_INSECURE_LOOPBACK": "true", "FHIRD_LOG_LEVEL": "debug"}
# Longer than anything here takes; every wait ends.
DEADLINE_SECONDS = 60

score = {"passed": 0, "failed": 0}
tests = {}


def test(group, sentence):
    """Registers a function as one test; groups and tests run in the order of their definition."""
    def register(function):
        tests.setdefault(group, []).append((sentence, function))
        return function
    return register


def run_group(group):
    for sentence, function in tests[group]:
        started = time.monotonic()
        number = score["passed"] + score["failed"] + 1
        try:
            function()
        except Exception as error:  # A test may fail in any way; the others go on.
            score["failed"] += 1
            print(f"not ok {number} - {group}: {sentence}")
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"# {type(error).__name__} at {os.path.basename(where.filename)}:{where.lineno}: {error}")
            for line in journal_tail():
                print(f"#   {line}")
        else:
            score["passed"] += 1
            print(f"ok {number} - {group}: {sentence} ({time.monotonic() - started:.1f} s)")
        sys.stdout.flush()


def command(*words, check=True, stdin=None, timeout=DEADLINE_SECONDS):
    """Runs a command; gives its CompletedProcess with text output."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done


def output(*words, **options):
    return command(*words, **options).stdout.strip()


def show(name, unit="fhird.service"):
    """One property of a unit."""
    return output("systemctl", "show", "--value", "--property", name, unit)


def main_pid():
    return int(show("MainPID"))


def wait_for(what, condition, seconds=DEADLINE_SECONDS):
    """Polls until `condition()` is true, and gives what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def journal(*more):
    """The journal entries of fhird.service, as objects."""
    command("journalctl", "--sync")
    text = output("journalctl", "--output=json", "--all", "--no-pager", "--unit=fhird.service", *more)
    return [json.loads(line) for line in text.splitlines()]


def journal_tail():
    done = command("journalctl", "--no-pager", "--lines=12", "--output=short-precise", "--unit=fhird.service", check=False)
    return done.stdout.splitlines()


def journal_cursor():
    """Where the journal ends now: pass it on as `--after-cursor`."""
    command("journalctl", "--sync")
    text = output("journalctl", "--no-pager", "--lines=0", "--show-cursor", check=False)
    return "--after-cursor=" + text.rpartition("cursor: ")[2].strip()


def write_settings(**settings):
    with open(ENV_FILE, "w", encoding="utf-8") as file:
        file.writelines(f"{key}={value}\n" for key, value in settings.items())


def behave(**settings):
    """Changes what the token server does; gives nothing."""
    request = urllib.request.Request(f"{SERVER}/behave", json.dumps(settings).encode(), method="POST")
    urllib.request.urlopen(request, timeout=10).close()


def token_requests(name):
    with urllib.request.urlopen(f"{SERVER}/seen", timeout=10) as answer:
        return json.load(answer).get(f"client-{name}", 0)


def root_call(method, **params):
    with Client() as client:
        return client.result(method, **params)


def create_connection(name):
    return root_call(
        "connection.create", connection_name=name, fhir_base_url=f"{SERVER}/fhir", auth_method="client_credentials",
        client_id=f"client-{name}", client_secret=f"secret-of-{name}", scope="system/*.rs",
        refresh={"min_interval_seconds": 1})


def as_user(user, method, unit=None, **params):
    """One request from a process of `user`, in a systemd unit of its own or in the named one; gives the answer."""
    words = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--uid={user}"]
    if unit:
        words.append(f"--unit={unit}")
    words += ["/usr/bin/python3", f"{TOOLS}/client.py", "--close", method, json.dumps(params)]
    return json.loads(output(*words))


class Held:
    """A client that stays connected, as `user` and, if wanted, in a unit."""

    def __init__(self, user, unit=None):
        words = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--uid={user}"]
        if unit:
            words.append(f"--unit={unit}")
        self.process = subprocess.Popen(
            words + ["/usr/bin/python3", f"{TOOLS}/client.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(DEADLINE_SECONDS)
        self.process.stdout.close()

    def call(self, method, **params):
        self.process.stdin.write(f"{method} {json.dumps(params)}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the client ended without an answer to {method}"
        return json.loads(line)


def code(answer):
    """The stable error code of an answer, or `ok`."""
    return answer["error"]["data"]["code"] if "error" in answer else "ok"


def uid(user):
    return pwd.getpwnam(user).pw_uid
