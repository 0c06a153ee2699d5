"""An HTTP server of a folder that knows ranges, as a web seed needs it.

    range_server.py FOLDER HOST PORT

Logs a line for each request: method, path, range, status.
"""

import functools
import http.server
import os
import re
import socket
import sys
from pathlib import Path


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        first, last, status = 0, size - 1, 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
            status = 206
            if first > last:
                self.send_error(416)
                return
        self.send_response(status)
        self.send_header("Content-Length", str(last - first + 1))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            os.lseek(file.fileno(), first, os.SEEK_SET)
            self.wfile.write(file.read(last - first + 1))

    def log_request(self, code: object = "-", size: object = "-") -> None:
        print(self.command, self.path, self.headers.get("Range", "-"), int(code), flush=True)


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET


if __name__ == "__main__":
    folder, host, port = sys.argv[1:]
    Server((host, int(port)), functools.partial(Handler, directory=folder)).serve_forever()
