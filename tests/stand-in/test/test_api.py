# The API server against a real etcd on loopback: objects, conflicts, patches, watches, rights, tables.
import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

import harness
import agent
from kube import Client, Failed

CM = "/api/v1/namespaces/default/configmaps"


class Case(unittest.TestCase):
    """One etcd, one API server, clients of three kinds; shared by all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.etcds = harness.Etcds(1)
        cls.addClassCleanup(cls.etcds.end)
        folder = cls.etcds.folder
        cls.certificates = harness.Certificates(folder)
        cls.certificates.make({"name": "ca", "copy": False})
        cls.api = harness.ApiServer(folder, cls.certificates, cls.etcds.url(0))
        cls.addClassCleanup(cls.api.stop)
        cls.kubeconfig = cls.certificates.kubeconfig("kubernetes-admin", "system:masters", cls.api.port)
        cls.admin = Client(cls.kubeconfig)
        cls.addClassCleanup(cls.admin.close)
        harness.until("namespaces", 30, cls.has_namespaces)

    @classmethod
    def has_namespaces(cls):
        try:
            return len(cls.admin.request("GET", "/api/v1/namespaces")["items"]) == 4
        except Failed:
            return False

    def refused(self, code, *request):
        """The request must fail with that code; its message."""
        with self.assertRaises(Failed) as failure:
            self.admin.request(*request)
        self.assertEqual(failure.exception.code, code, failure.exception)
        return str(failure.exception)

    def configmap(self, name, data=None):
        """Make a config map anew."""
        try:
            self.admin.request("DELETE", f"{CM}/{name}")
        except Failed as error:
            self.assertEqual(error.code, 404)
        return self.admin.request("POST", CM, {"metadata": {"name": name}, "data": data or {}})


class Objects(Case):
    """Storing and changing."""

    def test_a_made_object_is_returned_and_read_back(self):
        made = self.configmap("made", {"a": "b"})
        self.assertEqual(made["metadata"]["namespace"], "default")
        self.assertTrue(made["metadata"]["uid"] and made["metadata"]["creationTimestamp"])
        self.assertEqual(self.admin.request("GET", f"{CM}/made"), made)

    def test_a_second_of_the_same_name_is_refused(self):
        self.configmap("twice")
        self.assertIn("already exists", self.refused(409, "POST", CM, {"metadata": {"name": "twice"}}))

    def test_a_write_from_an_old_version_is_a_conflict(self):
        old = self.configmap("conflict", {"n": "1"})
        self.admin.request("PUT", f"{CM}/conflict", {**old, "data": {"n": "2"}})
        self.refused(409, "PUT", f"{CM}/conflict", {**old, "data": {"n": "3"}})
        self.assertEqual(self.admin.request("GET", f"{CM}/conflict")["data"], {"n": "2"})

    def test_ten_writers_that_each_count_up_lose_no_count(self):
        self.configmap("count", {"n": "0"})

        def count():
            client = Client(self.kubeconfig)
            self.addCleanup(client.close)
            for _ in range(5):
                while True:
                    thing = client.request("GET", f"{CM}/count")
                    thing["data"]["n"] = str(int(thing["data"]["n"]) + 1)
                    try:
                        client.request("PUT", f"{CM}/count", thing)
                        break
                    except Failed as error:
                        if error.code != 409:
                            raise

        threads = [threading.Thread(target=count) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(self.admin.request("GET", f"{CM}/count")["data"], {"n": "50"})

    def test_bad_objects_are_refused(self):
        for body in ({"metadata": {"name": "../x"}}, {"metadata": {"name": "Upper"}}, {"metadata": {}}, [], {"kind": "Secret", "metadata": {"name": "x"}},
                     {"metadata": {"name": "x", "namespace": "other"}}, {"metadata": {"name": "x", "labels": {"a": 1}}}):
            self.refused(422, "POST", CM, body)
        self.refused(404, "POST", "/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "x"}})

    def test_a_dry_run_stores_nothing(self):
        self.admin.request("POST", f"{CM}?dryRun=All", {"metadata": {"name": "dry"}})
        self.refused(404, "GET", f"{CM}/dry")

    def test_deleting_minds_preconditions(self):
        self.configmap("kept")
        self.refused(409, "DELETE", f"{CM}/kept", {"preconditions": {"uid": "another"}})
        self.admin.request("DELETE", f"{CM}/kept")
        self.refused(404, "GET", f"{CM}/kept")

    def test_patches(self):
        self.configmap("patched", {"a": "1", "b": "2"})
        self.assertEqual(self.admin.patch(f"{CM}/patched", {"data": {"a": None, "c": "3"}})["data"], {"b": "2", "c": "3"})
        steps = [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "replace", "path": "/data/b", "value": "4"}, {"op": "remove", "path": "/data/c"}]
        self.assertEqual(self.admin.request("PATCH", f"{CM}/patched", steps, "application/json-patch+json")["data"], {"b": "4"})
        self.refused(422, "PATCH", f"{CM}/patched", steps, "application/json-patch+json")
        self.refused(415, "PATCH", f"{CM}/patched", {}, "application/apply-patch+yaml")

    def test_selectors(self):
        for name, labels in (("one", {"app": "x", "tier": "a"}), ("two", {"app": "x", "tier": "b"}), ("three", {"app": "y"})):
            self.configmap(name)
            self.admin.patch(f"{CM}/{name}", {"metadata": {"labels": labels}})
        for query, names in (("labelSelector=app%3Dx", ["one", "two"]), ("labelSelector=app%3Dx,tier!%3Da", ["two"]),
                             ("labelSelector=tier+in+(a,b)", ["one", "two"]), ("labelSelector=app,!tier", ["three"]),
                             ("fieldSelector=metadata.name%3Dthree", ["three"])):
            found = [item["metadata"]["name"] for item in self.admin.request("GET", f"{CM}?{query}")["items"]]
            self.assertEqual(found, names, query)

    def test_an_evicted_pod_is_gone(self):
        pods = "/api/v1/namespaces/default/pods"
        self.admin.request("POST", pods, {"metadata": {"name": "p"}, "spec": {"nodeName": "n1"}})
        found = self.admin.request("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1")["items"]
        self.assertEqual(len(found), 1)
        self.admin.request("POST", f"{pods}/p/eviction", {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"}})
        self.refused(404, "GET", f"{pods}/p")

    def test_a_pod_that_a_budget_protects_is_not_evicted(self):
        pods, budgets = "/api/v1/namespaces/default/pods", "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        eviction = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "q"}}
        self.admin.request("POST", pods, {"metadata": {"name": "q", "labels": {"app": "db"}}, "spec": {"nodeName": "n1"}})
        self.admin.request("POST", budgets, {"metadata": {"name": "db"}, "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "db"}}}})
        self.assertIn("disruption budget", self.refused(429, "POST", f"{pods}/q/eviction", eviction))
        self.admin.patch(f"{budgets}/db", {"spec": {"maxUnavailable": 1}})
        self.admin.request("POST", f"{pods}/q/eviction", eviction)
        self.refused(404, "GET", f"{pods}/q")

    def test_a_watch_tells_of_every_change_once(self):
        start = self.admin.request("GET", CM)["metadata"]["resourceVersion"]
        seen = []

        def watch():
            client = Client(self.kubeconfig)
            connection = http.client.HTTPSConnection("127.0.0.1", self.api.port, context=client.context, timeout=20)
            connection.request("GET", f"{CM}?watch=true&resourceVersion={start}&timeoutSeconds=4&fieldSelector=metadata.name%3Dwatched")
            for line in connection.getresponse():
                event = json.loads(line)
                seen.append((event["type"], event["object"].get("data")))
            connection.close()

        thread = threading.Thread(target=watch)
        thread.start()
        time.sleep(0.5)
        self.configmap("watched", {"n": "1"})
        self.configmap("unwatched")
        self.admin.patch(f"{CM}/watched", {"data": {"n": "2"}})
        self.admin.request("DELETE", f"{CM}/watched")
        thread.join(20)
        self.assertEqual(seen, [("ADDED", {"n": "1"}), ("MODIFIED", {"n": "2"}), ("DELETED", {"n": "2"})])

    def test_health_and_version_need_no_certificate_and_the_rest_does(self):
        context = ssl.create_default_context(cafile=f"{self.etcds.folder}/ca.crt")
        connection = http.client.HTTPSConnection("127.0.0.1", self.api.port, context=context, timeout=10)
        self.addCleanup(connection.close)
        for path, code in (("/readyz", 200), ("/livez", 200), ("/healthz", 200), ("/version", 200), (CM, 403), ("/api", 403), ("/nothing", 403)):
            connection.request("GET", path)
            response = connection.getresponse()
            text = response.read()
            self.assertEqual(response.status, code, path)
            if path == "/version":
                self.assertEqual(json.loads(text)["gitVersion"], "v1.23.7")

    def test_a_node_may_write_itself_and_no_other(self):
        node = Client(self.certificates.kubeconfig("system:node:n1", "system:nodes", self.api.port))
        self.addCleanup(node.close)
        node.request("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
        node.patch("/api/v1/nodes/n1/status", {"status": {"capacity": {"cpu": "2"}}})
        for request in (("PATCH", "/api/v1/nodes/n2", {}, "application/merge-patch+json"), ("DELETE", "/api/v1/nodes/n1"),
                        ("GET", "/api/v1/secrets"), ("POST", CM, {"metadata": {"name": "x"}})):
            with self.assertRaises(Failed) as failure:
                node.request(*request)
            self.assertEqual(failure.exception.code, 403, request)

    def test_probers_that_hang_up_or_stay_silent_hold_up_nobody(self):
        silent = [socket.create_connection(("127.0.0.1", self.api.port)) for _ in range(50)]
        for sock in silent[:25]:
            sock.close()
        begun = time.monotonic()
        self.admin.close()
        self.admin.request("GET", "/api/v1/nodes")
        self.assertLess(time.monotonic() - begun, 3)
        for sock in silent:
            sock.close()

    def test_a_body_that_is_too_large_is_refused(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.api.port, context=self.admin.context, timeout=10)
        self.addCleanup(connection.close)
        connection.putrequest("POST", CM)
        connection.putheader("Content-Length", str(4 << 20))
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)


class Agent(Case):
    """The node agent, and what becomes of a node whose agent is silent."""

    def agent(self, name, **more):
        """Start an agent; its process."""
        path = f"{self.etcds.folder}/{name}.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"kubeconfig": self.certificates.kubeconfig(f"system:node:{name}", "system:nodes", self.api.port), "node": name, "address": "192.0.2.1",
                       "version": "v1.23.7", "labels": {"rook": "true"}, "taints": ["a=b:NoSchedule"], "control_plane": True, **more}, file)
        process = harness.Process([sys.executable, "-B", f"{harness.PROGRAMS}/agent.py", path], f"{path}.log")
        self.addCleanup(process.stop)
        return process

    def node(self, name):
        """The node, or None."""
        try:
            return self.admin.request("GET", f"/api/v1/nodes/{name}")
        except Failed:
            return None

    def test_it_registers_once_and_marking_sets_only_its_own_labels_and_taints(self):
        process = self.agent("m1")
        harness.until("the node", 20, lambda: self.node("m1"))
        self.assertNotIn("node-role.kubernetes.io/master", self.node("m1")["metadata"]["labels"], "kubeadm marks it, not the kubelet")
        self.admin.patch("/api/v1/nodes/m1", {"metadata": {"labels": {"other": "yes", "rook": "changed"}}, "spec": {"taints": [{"key": "o", "effect": "NoExecute"}]}})
        process.stop()
        process.start()
        time.sleep(3)
        node = self.node("m1")
        self.assertEqual((node["metadata"]["labels"]["rook"], len(node["spec"]["taints"])), ("changed", 1))
        config = {"node": "m1", "version": "v1.25.6", "labels": {"rook": "true"}, "taints": ["a=b:NoSchedule"], "control_plane": True}
        agent.reapply(self.admin, config, "/api/v1/nodes/m1", node)
        node = self.node("m1")
        self.assertEqual((node["metadata"]["labels"]["rook"], node["metadata"]["labels"]["other"]), ("true", "yes"))
        self.assertNotIn("node-role.kubernetes.io/master", node["metadata"]["labels"])
        self.assertEqual({taint["key"] for taint in node["spec"]["taints"]}, {"o", "a"})
        process.stop()
        node = self.node("m1")
        again = agent.reapply(self.admin, config, "/api/v1/nodes/m1", node)
        self.assertEqual(again["metadata"]["resourceVersion"], node["metadata"]["resourceVersion"], "marked again without a need")

    def test_it_is_ready_when_there_is_a_network(self):
        process = self.agent("m3", network="kube-system/network")

        def ready():
            conditions = (self.node("m3") or {}).get("status", {}).get("conditions", [])
            return [item["status"] for item in conditions if item["type"] == "Ready"]

        harness.until("the node", 20, ready)
        time.sleep(3)
        self.assertEqual(ready(), ["False"])
        maps = "/api/v1/namespaces/kube-system/configmaps"
        self.admin.request("POST", maps, {"metadata": {"name": "network"}})
        harness.until("a Ready node", 20, lambda: ready() == ["True"])
        process.stop()
        self.admin.request("DELETE", f"{maps}/network")

    def test_it_does_not_bring_back_a_deleted_node_until_it_starts_again(self):
        process = self.agent("m2")
        harness.until("the node", 20, lambda: self.node("m2"))
        self.admin.request("DELETE", "/api/v1/nodes/m2")
        time.sleep(11)
        self.assertIsNone(self.node("m2"))
        process.stop()
        process.start()
        harness.until("the node again", 20, lambda: self.node("m2"))


class Kubectl(Case):
    """What people type."""

    def kubectl(self, *args, code=0):
        """Run kubectl; what it printed."""
        done = subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, "--cache-dir", f"{self.etcds.folder}/cache", "--request-timeout", "10s", *args],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def test_nodes_as_people_see_them(self):
        ready = {"type": "Ready", "status": "True"}
        self.admin.request("POST", "/api/v1/nodes", {
            "metadata": {"name": "w1", "labels": {"node-role.kubernetes.io/worker": ""}},
            "status": {"conditions": [ready], "addresses": [{"type": "InternalIP", "address": "192.0.2.20"}], "nodeInfo": {"kubeletVersion": "v1.23.7"}}})
        lines = self.kubectl("get", "nodes").splitlines()
        self.assertEqual(lines[0].split(), ["NAME", "STATUS", "ROLES", "AGE", "VERSION"])
        row = lines[1].split()
        self.assertEqual([*row[:3], row[4]], ["w1", "Ready", "worker", "v1.23.7"])
        self.assertIn("192.0.2.20", self.kubectl("get", "nodes", "-o", "wide"))
        self.kubectl("label", "node", "w1", "a=b")
        self.kubectl("taint", "node", "w1", "k=v:NoSchedule")
        self.kubectl("cordon", "w1")
        self.assertIn("Ready,SchedulingDisabled", self.kubectl("get", "nodes"))
        self.kubectl("run", "pod", "--image=x", "--overrides", '{"spec": {"nodeName": "w1"}}')
        self.kubectl("drain", "w1", "--force", "--timeout=20s")
        self.assertIn("No resources found", self.kubectl("get", "pods"))
        self.kubectl("uncordon", "w1")
        node = self.admin.request("GET", "/api/v1/nodes/w1")
        self.assertEqual((node["metadata"]["labels"]["a"], node["spec"]["taints"]), ("b", [{"key": "k", "value": "v", "effect": "NoSchedule"}]))
        self.assertIn("w1", self.kubectl("describe", "node", "w1"))
        self.kubectl("taint", "node", "w1", "k-")
        self.kubectl("wait", "--for=condition=Ready", "node/w1", "--timeout=5s")
        self.kubectl("delete", "node", "w1")
        self.assertIn("NotFound", self.kubectl("get", "node", "w1", code=1))

    def test_config_maps_secrets_and_namespaces(self):
        self.kubectl("create", "namespace", "made")
        self.kubectl("-n", "made", "create", "configmap", "x", "--from-literal=a=b")
        self.kubectl("-n", "made", "create", "secret", "generic", "s", "--from-literal=a=b")
        self.assertEqual(self.kubectl("-n", "made", "get", "configmap", "x", "-o", "jsonpath={.data.a}"), "b")
        self.assertEqual(self.kubectl("-n", "made", "get", "secret", "s", "-o", "jsonpath={.data.a}"), "Yg==")
        self.assertEqual(self.kubectl("-n", "made", "get", "configmaps").split()[:3], ["NAME", "DATA", "AGE"])
        self.kubectl("-n", "made", "delete", "configmap", "x")
        self.kubectl("delete", "namespace", "made")
        self.assertIn("ok", self.kubectl("get", "--raw", "/readyz"))
        self.assertIn("v1.23.7", self.kubectl("version"))


if __name__ == "__main__":
    unittest.main()
