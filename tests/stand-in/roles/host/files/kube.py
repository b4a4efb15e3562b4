# A small client of the Kubernetes API: one kept connection, JSON in and out.
"""Used by the node agent and by the playbooks' work on nodes."""
import base64
import http.client
import json
import os
import ssl
import tempfile
from urllib.parse import urlsplit


class Failed(Exception):
    """A request that got no answer (`code` 0) or one that is no success."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Client:
    """Speaks to the server of a kubeconfig as kubeadm writes it: one cluster, one user, certificates embedded."""

    def __init__(self, kubeconfig, timeout=8):
        with open(kubeconfig, encoding="utf-8") as file:
            fields = dict(line.strip().split(": ", 1) for line in file if ": " in line)
        self.url = urlsplit(fields["server"])
        self.timeout = timeout
        self.context = ssl.create_default_context(cadata=base64.b64decode(fields["certificate-authority-data"]).decode())
        with tempfile.TemporaryDirectory() as folder:  # 0700; OpenSSL takes chains from files only
            path = os.path.join(folder, "client.pem")
            with open(path, "wb") as file:
                file.write(base64.b64decode(fields["client-certificate-data"]) + base64.b64decode(fields["client-key-data"]))
            self.context.load_cert_chain(path)
        self.connection = None

    def request(self, method, path, body=None, kind="application/json"):
        """The parsed answer; a `Failed` for anything but success. Never sends twice."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=self.timeout, context=self.context)
            data = None if body is None else json.dumps(body)
            self.connection.request(method, path, data, {"Content-Type": kind, "Accept": "application/json"})
            response = self.connection.getresponse()
            code, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Failed(0, f"{method} {self.url.geturl()}{path}: {error or type(error).__name__}") from error
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text.decode(errors="replace")}
        if code >= 300:
            raise Failed(code, f"{method} {path}: {code} {answer.get('message', '')}")
        return answer

    def patch(self, path, body):
        """A merge patch."""
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def close(self):
        """Drop the connection; the next request makes a new one."""
        if self.connection:
            self.connection.close()
        self.connection = None
