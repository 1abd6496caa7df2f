"""A mail server that takes mail after STARTTLS and a login only, and a webhook that checks what is signed.

Each thing that was taken is a line of JSON on standard output. The webhook refuses its first post.
"""
import hashlib, hmac, json, os, ssl, sys, time
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

FOLDER, MAIL, HOOK = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SECRET = open(os.path.join(FOLDER, "secret"), "rb").read().strip()


def say(what):
    print(json.dumps(what), flush=True)


class Taker:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content)
        say({"mail": {
            "tls": session.ssl is not None, "login": session.authenticated,
            "from": envelope.mail_from, "to": envelope.rcpt_tos,
            "subject": mail["Subject"], "date": mail["Date"], "id": mail["Message-ID"],
            "text": mail.get_payload(decode=True).decode(),
        }})
        return "250 taken"


def login(server, session, envelope, mechanism, given):
    right = given.login == b"adit" and given.password == SECRET
    return AuthResult(success=right, handled=False)


# As docs/audit.md has it.
def genuine(secret: bytes, header: str, body: bytes) -> bool:
    fields = dict(field.split("=", 1) for field in header.split(","))
    signed = hmac.new(secret, fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signed, fields["v1"]) and abs(time.time() - int(fields["t"])) < 300


class Hook(BaseHTTPRequestHandler):
    posts = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Hook.posts += 1
        if Hook.posts > 1:
            signed = genuine(SECRET, self.headers["Adit-Signature"], body)
            say({"post": json.loads(body), "genuine": signed, "id": self.headers["Adit-Notice"]})
        self.send_response(503 if Hook.posts == 1 else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(os.path.join(FOLDER, "cert.pem"), os.path.join(FOLDER, "key.pem"))
Controller(
    Taker(), hostname="127.0.0.1", port=MAIL, tls_context=tls, require_starttls=True,
    auth_required=True, authenticator=login, server_hostname="mail.test",
).start()
hook = HTTPServer(("127.0.0.1", HOOK), Hook)
print("ready", flush=True)
hook.serve_forever()
