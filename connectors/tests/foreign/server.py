"""250 orders by pages of 100, the second page once refused for being asked too soon."""
import http.server
import json
import sys
import urllib.parse

refused = []


class Orders(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        page = int(asked.get("page", 1))
        if page == 2 and not refused:
            refused.append(page)
            return self.answer(429, {}, [("Retry-After", "1")])
        first = 1 + (page - 1) * 100
        orders = [{"id": i, "name": f"Заказ {i}", "updated_at": "2026-02-01T00:00:00Z"} for i in range(first, min(first + 100, 251))]
        self.answer(200, {"orders": orders, "next": page + 1 if first + 100 <= 250 else None}, [])

    def answer(self, status, body, headers):
        body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Orders)
print(server.server_port, flush=True)
sys.stdout.close()
server.serve_forever()
