"""Real servers on this machine that keep what they are sent: one for HTTP, one for SMTP."""

import email
import http.server
import json
import socketserver
import threading
from contextlib import contextmanager
from email.message import Message


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


class _Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs to leave a message."""

    def handle(self):
        self._say("220 sink")
        for line in self.rfile:
            word = line.split()[0].upper()
            if word == b"DATA":
                self._say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.received.append(email.message_from_bytes(b"".join(lines)))
            self._say("221 bye" if word == b"QUIT" else "250 ok")
            if word == b"QUIT":
                return

    def _say(self, text: str):
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def _serving(server: socketserver.TCPServer):
    server.received = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def webhook():
    """Serve HTTP; `received` holds (path, JSON body) pairs."""
    return _serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hook))


def mailbox():
    """Serve SMTP; `received` holds messages."""
    return _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail))


def connections(hook: socketserver.TCPServer, mail: socketserver.TCPServer) -> dict[str, str]:
    """Return the environment that gives Airflow the connections fl_webhook and fl_mail."""
    extra = {"from_email": "huiliu@example.org", "disable_tls": True, "disable_ssl": True, "retry_limit": 0}
    values = {
        "FL_WEBHOOK": {"conn_type": "http", "host": f"http://127.0.0.1:{hook.server_address[1]}/hooks/fl"},
        "FL_MAIL": {"conn_type": "smtp", "host": "127.0.0.1", "port": mail.server_address[1], "extra": extra},
    }
    return {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in values.items()}


def text_of(message: Message) -> str:
    """Return a message's text, of all its parts."""
    return "".join(part.get_payload(decode=True).decode() for part in message.walk() if not part.is_multipart())
