# Three etcd members, an API server on each: what answers and what is refused as members go and come back.
import signal
import ssl
import time
import unittest
import urllib.request

import harness
from kube import Client, Failed

CM = "/api/v1/namespaces/default/configmaps"


class Quorum(unittest.TestCase):
    """One journey: all up, one down, two down, all back."""

    def setUp(self):
        self.etcds = harness.Etcds(3)
        self.addCleanup(self.etcds.end)
        certificates = harness.Certificates(self.etcds.folder)
        certificates.make({"name": "ca", "copy": False})
        self.apis, self.clients = [], []
        for index in range(3):
            api = harness.ApiServer(self.etcds.folder, certificates, self.etcds.url(index))
            self.addCleanup(api.stop)
            self.apis.append(api)
            self.clients.append(client := Client(certificates.kubeconfig("kubernetes-admin", "system:masters", api.port)))
            self.addCleanup(client.close)

    def ready(self, index):
        """The code of /readyz (0: no answer) and how long it took."""
        begun = time.monotonic()
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{self.apis[index].port}/readyz", timeout=10, context=ssl._create_unverified_context()) as answer:
                code = answer.status
        except urllib.error.HTTPError as error:
            code = error.code
            error.close()
        except OSError:
            code = 0
        return code, time.monotonic() - begun

    def write(self, index, name):
        """Make a config map; the code, and how long it took."""
        begun = time.monotonic()
        try:
            self.clients[index].request("POST", CM, {"metadata": {"name": name}})
            code = 201
        except Failed as error:
            code = error.code
        return code, time.monotonic() - begun

    def names(self, index):
        """The config maps there are."""
        return [item["metadata"]["name"] for item in self.clients[index].request("GET", CM)["items"]]

    def test_the_loss_of_one_is_borne_and_of_two_refused(self):
        harness.until("all ready", 30, lambda: all(self.ready(index)[0] == 200 for index in range(3)))
        harness.until("a first write", 30, lambda: self.write(0, "all-up")[0] == 201)

        self.etcds.members[2].stop(signal.SIGKILL)
        harness.until("a write with two of three", 10, lambda: self.write(0, "one-down")[0] == 201)
        self.assertEqual(self.ready(1)[0], 200)
        code, took = self.ready(2)
        self.assertEqual(code, 500)
        self.assertLess(took, 3)
        self.assertEqual(self.names(1), ["all-up", "one-down"])

        self.etcds.members[1].stop(signal.SIGKILL)
        harness.until("not ready without a quorum", 10, lambda: self.ready(0)[0] == 500)
        code, took = self.write(0, "refused")
        self.assertEqual(code, 503)
        self.assertLess(took, 6)
        with self.assertRaises(Failed):
            self.names(0)

        for index in (1, 2):
            self.etcds.members[index].start()
        harness.until("all ready again", 30, lambda: all(self.ready(index)[0] == 200 for index in range(3)))
        for index in range(3):
            self.assertEqual(self.names(index), ["all-up", "one-down"])
        self.assertEqual(self.write(2, "all-back")[0], 201)


if __name__ == "__main__":
    unittest.main()
