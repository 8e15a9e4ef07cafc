"""Stand-ins for the servers around Braid, as far as `braid doctor` asks them, and servers that are broken.

    with Loki() as loki: ...            takes JSON pushes, answers queries
    with Tempo(has=lambda id: ...)      has the traces that `has` says
    with Jaeger(has=lambda id: ...)
    with Broken("slow"): ...

They answer as the originals do: status, text and JSON were read from their sources.
"""

import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse

NO_ORG_ID = (401, "no org id\n")
NO_STRUCTURED_METADATA = (
    400, "stream '{service_name=\"braid-doctor\"}' includes structured metadata, but this feature is disallowed. "
         "Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it.\n")
RATE_LIMITED = (
    429, "Ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '1' lines "
         "totaling '140' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased\n")


class Server:
    """An HTTP server on a free port of loopback. Subclasses answer(method, path, query, headers, body) with
    (status, text or something for JSON). `requests` has what was asked. `tls` is (certificate file, key file)."""

    def __init__(self, tls=None):
        self.requests = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def respond(self):
                url = urllib.parse.urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.requests.append((self.command, url.path))
                query = dict(urllib.parse.parse_qsl(url.query))
                status, answer = server.answer(self.command, url.path, query, self.headers, body)
                text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(text)

            do_GET = do_POST = respond

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self._http = Quiet(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method, path, query, headers, body):
        raise NotImplementedError


class Loki(Server):
    """`refuse` is (status, text) for every push. With `tenants` X-Scope-OrgID is asked for. `keeps_metadata` false: an
    old one, or a proxy, that drops it. `config` is what /config shows, None: nothing. The first `late` queries find
    nothing yet."""

    def __init__(self, refuse=None, tenants=False, keeps_metadata=True, config=None, late=0, tls=None):
        self.refuse, self.tenants, self.keeps_metadata, self.config, self.late = refuse, tenants, keeps_metadata, config, late
        self.entries = []  # (labels, nanoseconds as text, line, metadata)
        super().__init__(tls)

    def answer(self, method, path, query, headers, body):
        if path == "/ready":
            return 200, "ready\n"
        if path == "/loki/api/v1/status/buildinfo":
            return 200, {"version": "3.1.0", "revision": "x", "branch": "x", "goVersion": "go1.22"}
        if path == "/config":
            return (200, self.config) if self.config is not None else (404, "404 page not found\n")
        if self.tenants and not headers.get("X-Scope-OrgID"):
            return NO_ORG_ID
        if (method, path) == ("POST", "/loki/api/v1/push"):
            return self.push(json.loads(body))
        if (method, path) == ("GET", "/loki/api/v1/query_range"):
            return self.query_range(query, headers)
        return 404, "404 page not found\n"

    def push(self, request):
        if self.refuse:
            return self.refuse
        for stream in request["streams"]:
            for entry in stream["values"]:
                metadata = entry[2] if len(entry) > 2 and self.keeps_metadata else {}
                assert all(isinstance(value, str) for value in metadata.values())
                self.entries.append((stream["stream"], entry[0], entry[1], metadata))
        return 204, ""

    def query_range(self, query, headers):
        if self.late > 0:
            self.late -= 1
            return 200, self.streams([], headers)
        match = re.fullmatch(r'\{(\w+)="([^"]*)"\}(?: \| (\w+)=`([^`]*)`)?', query["query"])
        if not match:
            return 400, "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER"
        label, value, key, wanted = match.groups()
        found = [e for e in self.entries if e[0].get(label) == value and (key is None or e[3].get(key) == wanted)
                 and int(query["start"]) <= int(e[1]) < int(query["end"])]
        return 200, self.streams(found[-int(query["limit"]):], headers)

    @staticmethod
    def streams(entries, headers):
        categorize = headers.get("X-Loki-Response-Encoding-Flags") == "categorize-labels"
        result = []
        for labels, time, line, metadata in entries:
            if categorize:
                result.append({"stream": labels, "values": [[time, line, {"structuredMetadata": metadata, "parsed": {}}]]})
            else:
                result.append({"stream": {**labels, **metadata}, "values": [[time, line]]})
        data = {"resultType": "streams", "result": result, "stats": {}}
        if categorize:
            data["encodingFlags"] = ["categorize-labels"]
        return {"status": "success", "data": data}


class Tempo(Server):
    """`v2` false: one from before /api/v2/traces."""

    def __init__(self, has, v2=True):
        self.has, self.v2 = has, v2
        super().__init__()

    def answer(self, method, path, query, headers, body):
        if path == "/api/echo":
            return 200, "echo"
        match = re.fullmatch(r"/api/(v2/)?traces/([0-9a-f]+)", path)
        if not match or (match[1] and not self.v2):
            return 404, "404 page not found\n"
        if not self.has(match[2]):
            return 404, "trace not found" if match[1] else ""
        spans = [{"resource": {}, "scopeSpans": [{"spans": [{"traceId": match[2]}]}]}]
        return 200, {"trace": {"resourceSpans": spans}, "metrics": {}} if match[1] else {"batches": spans}


class Jaeger(Server):
    def __init__(self, has, services=("cart",)):
        self.has, self.services = has, list(services)
        super().__init__()

    def answer(self, method, path, query, headers, body):
        if path == "/api/services":
            return 200, {"data": self.services or None, "total": len(self.services), "limit": 0, "offset": 0, "errors": None}
        match = re.fullmatch(r"/api/traces/([0-9a-f]+)", path)
        if not match:
            return 404, "404 page not found\n"
        if not self.has(match[1]):
            return 404, {"data": None, "total": 0, "errors": [{"code": 404, "msg": "trace not found"}]}
        return 200, {"data": [{"traceID": match[1], "spans": [{"spanID": "1"}], "processes": {}}], "total": 0, "errors": None}


class Broken:
    """A server that does one of these with every request:

    garbage    answers bytes that are not HTTP
    html       answers 200 and a page, whatever was asked for
    endless    answers 200 and a body that does not end
    slow       answers a byte of its header every tenth of a second
    silent     takes the request and says nothing
    closes     closes the connection
    """

    def __init__(self, how):
        self.how = how
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._done = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._done.set()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                connection.recv(65536)
                self._misbehave(connection)
        except OSError:
            pass

    def _misbehave(self, connection):
        if self.how == "garbage":
            connection.sendall(bytes(range(256)) * 64)
        elif self.how == "html":
            page = b"<html><body>It works!</body></html>"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
        elif self.how == "endless":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not self._done.is_set():
                connection.sendall(b"10000\r\n" + b"[" * 65536 + b"\r\n")
        elif self.how == "slow":
            for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000:
                connection.sendall(bytes([byte]))
                if self._done.wait(0.1):
                    return
        elif self.how == "silent":
            self._done.wait(60)
