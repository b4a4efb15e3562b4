# Three etcd members, an API server on each: what answers and what is refused as members go and come back.
import signal
import ssl
import time
import unittest
import unittest.mock
import urllib.request

import harness
import apiserver
import etcd
import kubeadm
from kube import Client, Failed

CM = "/api/v1/namespaces/default/configmaps"


class Quorum(unittest.TestCase):
    """One journey: all up, one down, two down, all back."""

    def setUp(self):
        self.etcds = harness.Etcds(3)
        self.addCleanup(self.etcds.end)
        certificates = harness.Certificates(self.etcds.folder)
        certificates.make({"name": "ca", "copy": False})
        self.apis, self.clients, self.kubeconfigs = [], [], []
        for index in range(3):
            api = harness.ApiServer(self.etcds.folder, certificates, self.etcds.url(index))
            self.addCleanup(api.stop)
            self.apis.append(api)
            self.kubeconfigs.append(certificates.kubeconfig("kubernetes-admin", "system:masters", api.port))
            self.clients.append(client := Client(self.kubeconfigs[-1]))
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
        self.assertEqual(code, 500, "it lists the dead member alone")
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

    def test_an_api_server_lives_and_dies_with_the_members_that_it_lists(self):
        harness.until("all ready", 30, lambda: all(self.ready(index)[0] == 200 for index in range(3)))
        # The first lists all members, the second the first alone, as one that joined and was never given the others.
        urls = [self.etcds.url(index) for index in range(3)]
        self.apis[0].use(urls)
        self.apis[1].use(urls[:1])
        harness.until("both ready", 30, lambda: self.ready(0)[0] == self.ready(1)[0] == 200)
        harness.until("a write", 30, lambda: self.write(0, "before")[0] == 201)

        self.etcds.members[0].stop(signal.SIGKILL)
        harness.until("the first goes on", 15, lambda: self.ready(0)[0] == 200 and self.write(0, "after")[0] == 201)
        for _ in range(3):
            self.assertEqual(self.ready(1)[0], 500, "etcd is well, and the second API server has no member of it")

        manifest, config = f"{self.etcds.folder}/kube-apiserver.yaml", f"{self.etcds.folder}/kubeadm-config.yaml"
        with open(manifest, "w", encoding="utf-8") as file:
            file.write(f"spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --etcd-servers={urls[0]}\n    name: kube-apiserver\n")
        with open(config, "w", encoding="utf-8") as file:
            file.write("kind: ClusterConfiguration\netcd:\n  external:\n      endpoints:\n" + f'      - {urls[1]}\n      - "{urls[2]}"\n' + "      caFile: /c\n")

        def restart():
            with open(manifest, encoding="utf-8") as file:
                self.apis[1].use(apiserver.listed(line.strip().removeprefix("- ") for line in file))

        with unittest.mock.patch.multiple(kubeadm, MANIFEST=manifest, restart=restart):
            kubeadm.main(["init", "phase", "control-plane", "apiserver", "--config", config])
        harness.until("the second is back", 15, lambda: self.ready(1)[0] == 200)
        self.assertEqual(self.names(1), ["after", "before"])

        admin = self.kubeconfigs[0]
        for _ in range(2):
            with unittest.mock.patch.multiple(kubeadm, ADMIN=admin):
                kubeadm.main(["init", "phase", "upload-config", "kubeadm", "--config", config])
        kept = self.clients[0].request("GET", f"{kubeadm.MAP}/kubeadm-config")["data"]["ClusterConfiguration"]
        self.assertEqual(kubeadm.endpoints(kept), urls[1:])


class Begun(unittest.TestCase):
    """A cluster of three whose creation was interrupted before the third began."""

    def test_a_member_that_never_ran_is_known_by_that_and_joins(self):
        etcds = harness.Etcds(3, running=2)
        self.addCleanup(etcds.end)
        client = etcd.Etcd(etcds.url(0))

        def ran():
            return {member["name"]: bool(member.get("clientURLs")) for member in client.call("/v3/cluster/member/list", {}, 5)["members"]}

        def is_so(want):
            try:
                return ran() == want
            except etcd.NoStore:
                return False

        harness.until("two are a cluster", 30, lambda: is_so({"m0": True, "m1": True, "m2": False}))
        etcds.members[2].argv += ["--initial-cluster-state", "existing"]
        etcds.members[2].start()
        harness.until("the third is one of them", 30, lambda: is_so({"m0": True, "m1": True, "m2": True}))


if __name__ == "__main__":
    unittest.main()
