"""A client of the control socket, standard library only: imported by the tests, and run by them as other users.

As a program: reads lines `METHOD PARAMS-AS-JSON` from standard input, sends each on one and the same connection, and
prints each answer as one line. `--close` reads no input: one request, given as arguments.
"""
import json
import socket
import sys

SOCKET = "/run/fhird/fhird.sock"
# A request of a test is answered within seconds; what takes longer hangs.
TIMEOUT_SECONDS = 30


class Closed(Exception):
    """The daemon closed the connection before it answered."""


class Client:
    """One connection. `call` gives the whole answer object, `result` the result or an AssertionError."""

    def __init__(self, path=SOCKET, timeout=TIMEOUT_SECONDS):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.lines.close()
        self.socket.close()

    def call(self, method, **params):
        self.id += 1
        request = {"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}
        try:
            self.socket.sendall(json.dumps(request).encode() + b"\n")
            line = self.lines.readline()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error
        if not line.endswith(b"\n"):
            raise Closed("end of the stream instead of an answer")
        answer = json.loads(line)
        assert answer.get("jsonrpc") == "2.0" and answer.get("id") == self.id, answer
        assert ("result" in answer) != ("error" in answer), answer
        return answer

    def result(self, method, **params):
        answer = self.call(method, **params)
        assert "result" in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def error(self, method, **params):
        answer = self.call(method, **params)
        assert "error" in answer, f"{method} was not refused: {sorted(answer['result'])}"
        return answer["error"]


def main():
    if sys.argv[1:2] == ["--close"]:
        with Client() as client:
            print(json.dumps(client.call(sys.argv[2], **json.loads(sys.argv[3]))), flush=True)
        return
    with Client() as client:
        for line in sys.stdin:
            method, _, params = line.strip().partition(" ")
            print(json.dumps(client.call(method, **json.loads(params or "{}"))), flush=True)


if __name__ == "__main__":
    main()
