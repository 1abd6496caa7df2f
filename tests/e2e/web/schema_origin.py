"""An origin with an OpenAPI description, which keeps nothing: what it answers follows from what it is
asked. `schema_origin.py PORT`."""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ITEM = {"type": "object", "required": ["name"], "additionalProperties": False, "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 40}, "size": {"type": "integer"},
    "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5}}}
ECHO = {"type": "object", "required": ["method", "path"], "properties": {
    "method": {"type": "string"}, "path": {"type": "string"}, "query": {"type": "object"}, "body": {}}}


def answers(*codes):
    content = {"application/json": {"schema": ECHO}}
    return {str(code): {"description": "said", "content": content} for code in codes}


BODY = {"required": True, "content": {"application/json": {"schema": ITEM}}}
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0, "maximum": 999}}
SEARCH = [{"name": "q", "in": "query", "schema": {"type": "string", "maxLength": 60}},
          {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}}]
DOCUMENT = {"openapi": "3.0.3", "info": {"title": "Items", "version": "1"}, "paths": {
    "/items": {
        "get": {"parameters": SEARCH, "responses": answers(200, 400)},
        "post": {"requestBody": BODY, "responses": answers(201, 400)}},
    "/items/{id}": {
        "parameters": [ID],
        "get": {"responses": answers(200, 400, 404)},
        "put": {"requestBody": BODY, "responses": answers(200, 400, 404)},
        "delete": {"responses": {"204": {"description": "gone"}, **answers(400, 404)}}},
    "/moved": {"get": {"parameters": SEARCH, "responses": answers(303)}},
}}


class Items(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = repr(raw)
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        status = self.status(url.path, query, body)
        said = {"method": self.command, "path": url.path, "query": query, "body": body}
        text = b"" if status == 204 or self.command == "HEAD" else json.dumps(said).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
        if status == 303:
            self.send_header("Location", "/items?q=moved")
            self.send_header("Set-Cookie", "seen=1; Path=/items")
        self.end_headers()
        self.wfile.write(text)

    def status(self, path, query, body):
        parts = path.strip("/").split("/")
        if path == "/openapi.json":
            return 200
        if path == "/moved":
            return 303 if self.command == "GET" else 400
        if parts[0] != "items" or len(parts) > 2:
            return 404
        if self.command in ("POST", "PUT") and not (isinstance(body, dict) and body.get("name")):
            return 400
        if len(parts) == 2:
            number = parts[1].isascii() and parts[1].isdigit() and int(parts[1]) or 0
            if number > 500:
                return 404
            return 204 if self.command == "DELETE" else 200
        limits = query.get("limit", ["1"])
        if not all(limit.isascii() and limit.isdigit() for limit in limits):
            return 400
        return 201 if self.command == "POST" else 200

    def log_message(self, *_):
        pass

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = serve


if __name__ == "__main__":
    if sys.argv[1] == "document":
        print(json.dumps(DOCUMENT))
    else:
        server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Items)
        print("listening", flush=True)
        server.serve_forever()
