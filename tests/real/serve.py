"""Serves the ring's files and images to its guests, read-only: `/files/NAME`, and what containerd asks of a registry under `/v2/`.

    serve.py FOLDER PORT

A registry that only gives is a few answers: a tag's manifest, and blobs by digest. So nothing has to be pushed, and no daemon
of a package has to be run.
"""

import http.server
import json
import pathlib
import re
import shutil
import sys

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ASKED = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>manifests|blobs)/(?P<reference>[A-Za-z0-9._:-]+)")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    timeout = 600

    def do_GET(self):
        """A file, a manifest or a blob."""
        self.answer(True)

    def do_HEAD(self):
        """The same without its content."""
        self.answer(False)

    def answer(self, with_content):
        path, kind, digest = self.find(self.path.partition("?")[0])
        if path is None or not path.is_file():
            self.send_response(200 if self.path == "/v2/" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(path.stat().st_size))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if with_content:
            with path.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)

    def find(self, asked):
        """The file that is asked for, its kind, and its digest if it has one."""
        folder = self.server.folder
        if found := re.fullmatch(r"/files/([A-Za-z0-9._-]+)", asked):
            return folder / "files" / found[1], "application/octet-stream", None
        found = ASKED.fullmatch(asked)
        if not found:
            return None, None, None
        reference = found["reference"]
        if found["kind"] == "manifests" and not DIGEST.fullmatch(reference):
            tags = json.loads((folder / "registry/tags.json").read_text())
            reference = tags.get(f"{found['name']}:{reference}", "")
        if not DIGEST.fullmatch(reference):
            return None, None, None
        kind = MANIFEST if found["kind"] == "manifests" else "application/octet-stream"
        return folder / "registry" / reference.replace(":", "-"), kind, reference


def main():
    """Serves until it is ended."""
    server = http.server.ThreadingHTTPServer(("", int(sys.argv[2])), Handler)
    server.folder = pathlib.Path(sys.argv[1])
    server.serve_forever()


if __name__ == "__main__":
    main()
