"""A real S3 server on loopback, and a proxy before it that fails as networks and clouds do."""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY, SECRET = "distiller", "correct-horse-battery-staple"


def weed():
    """SeaweedFS's program, or None."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def options(port, **more):
    """Storage options for a server on a port."""
    return {
        "key": KEY,
        "secret": SECRET,
        "endpoint_url": f"http://127.0.0.1:{port}",
        **more,
    }


@contextmanager
def seaweedfs(folder):
    """The port of a server with the bucket `data`."""
    import s3fs

    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    port, *ports = [free_port() for _ in range(8)]
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    names += ("filer.port", "filer.port.grpc", "s3.port.grpc")
    command = [weed(), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer"]
    command += ["-s3", f"-s3.port={port}", f"-s3.config={folder / 's3.json'}", "-s3.iam=false"]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=20"]
    command += [f"-{name}={number}" for name, number in zip(names, ports, strict=True)]
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            deadline = time.monotonic() + 60
            while True:
                system = s3fs.S3FileSystem(**options(port), skip_instance_cache=True)
                try:
                    system.mkdir("data")
                    # the volume that takes the first object is made with it
                    system.pipe_file("data/first", b"1")
                    break
                except Exception:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError((folder / "log.txt").read_text()[-2000:]) from None
                    time.sleep(0.3)
            yield port
        finally:
            # nothing of it is kept, and it takes its time to stop
            process.kill()
            process.wait()


class Faults:
    """What the proxy does to the requests: set ``rule`` to a function of (number, method, path).

    It returns None (pass on), "503", "expired" (answer so without asking the server), or "lose"
    (let the server do it, and cut the connection before the answer).
    """

    def __init__(self):
        self.rule = lambda number, method, path: None
        self.seen = 0
        self.struck = 0
        self.lock = threading.Lock()

    def verdict(self, method, path):
        with self.lock:
            self.seen += 1
            verdict = self.rule(self.seen, method, path)
            self.struck += verdict is not None
            return verdict


_ANSWERS = {
    "503": (503, "ServiceUnavailable", "Please reduce your request rate."),
    "expired": (403, "ExpiredToken", "The provided token has expired."),
}


@contextmanager
def proxy(port):
    """A port that passes requests on to another, and the `Faults` on the way."""
    faults = Faults()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length) if length else b""
            verdict = faults.verdict(self.command, self.path)
            if verdict in _ANSWERS:
                status, code, message = _ANSWERS[verdict]
                text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
                self.answer(status, [("Content-Type", "application/xml")], text)
                return
            onward = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            # the signature covers the Host header: as it came
            onward.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                onward.putheader(name, value)
            onward.endheaders(body)
            answer = onward.getresponse()
            text = answer.read()
            onward.close()
            if verdict == "lose":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            skipped = {"transfer-encoding", "connection"}
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in skipped]
            self.answer(answer.status, headers, text)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

        def answer(self, status, headers, text):
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(text)))
            elif not any(name.lower() == "content-length" for name, _ in headers):
                self.send_header("Content-Length", "0")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], faults
    finally:
        server.shutdown()
        server.server_close()
