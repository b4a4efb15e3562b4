# The parts that need no etcd: selectors, patches, ages, overdue nodes, protobuf bodies, files and certificates.
import os
import subprocess
import tempfile
import time
import unittest

import harness
import kubeadm
import lifecycle
import objects
import protobuf
import tables


class Parts(unittest.TestCase):
    """Pure functions."""

    def test_strategic_merge_keeps_what_it_does_not_name(self):
        old = {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk", "status": "False"}]}, "spec": {"taints": [1]}}
        patch = {"status": {"$setElementOrder/conditions": [], "conditions": [{"type": "Ready", "status": "False"}]}, "spec": {"taints": [2]}}
        self.assertEqual(objects.merge(old, patch, True), {
            "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Disk", "status": "False"}]}, "spec": {"taints": [2]}})
        gone = {"status": {"conditions": [{"type": "Disk", "$patch": "delete"}]}}
        self.assertEqual(objects.merge(old, gone, True)["status"]["conditions"], [{"type": "Ready", "status": "True"}])

    def test_a_merge_does_not_change_its_input(self):
        old = {"a": {"b": [1]}}
        objects.merge(old, {"a": {"b": [2], "c": 3}})
        self.assertEqual(old, {"a": {"b": [1]}})

    def test_a_node_is_overdue_by_our_clock_alone(self):
        seen = {}
        self.assertEqual(lifecycle.overdue(seen, {"a": "1", "b": "1"}, 1000), set())
        self.assertEqual(lifecycle.overdue(seen, {"a": "2", "b": "1"}, 1050), set())
        self.assertEqual(lifecycle.overdue(seen, {"a": "2", "b": "1"}, 1061), {"b"})
        self.assertEqual(lifecycle.overdue(seen, {"a": "2"}, 1062), set())
        self.assertNotIn("b", seen)

    def test_ages(self):
        def ago(seconds):
            return tables.age(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds)))

        self.assertRegex(ago(5), "^[56]s$")
        self.assertRegex(ago(300), "^5m(1s)?$")
        self.assertEqual([ago(4000), ago(5 * 3600), ago(3 * 86400)], ["66m", "5h", "3d"])
        self.assertEqual(tables.age(None), "<unknown>")

    def test_a_protobuf_config_map_is_read(self):
        body = bytes.fromhex("6b3873000a0f0a0276311209436f6e6669674d6170121b0a110a017812001a0022002a0032003800420012060a01611201621a002200")
        self.assertEqual(protobuf.decode(body), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}})

    def test_no_cut_protobuf_body_does_harm(self):
        body = bytes.fromhex("6b3873000a0f0a0276311209436f6e6669674d6170121b0a110a017812001a0022002a0032003800420012060a01611201621a002200")
        for end in range(len(body)):
            try:
                protobuf.decode(body[:end])
            except objects.Invalid:
                continue


class Guests(unittest.TestCase):
    """What the Ansible modules do on a guest."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.certificates = harness.Certificates(self.folder)
        self.pki = self.certificates.pki

    def openssl(self, *args):
        return subprocess.run(["openssl", *args], capture_output=True, text=True, check=True, timeout=30).stdout

    def test_a_file_is_put_once_and_with_its_mode(self):
        path = f"{self.folder}/a/secret"
        self.assertTrue(self.pki.put(path, "x", "0600"))
        self.assertFalse(self.pki.put(path, "x", "0600"))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        os.chmod(path, 0o644)
        self.assertTrue(self.pki.put(path, "x", "0600"))
        self.assertEqual(os.listdir(f"{self.folder}/a"), ["secret"])

    def test_the_names_in_the_hosts_file_are_replaced_and_taken_out(self):
        from ansible.module_utils.standin import hosts_block
        first = hosts_block("127.0.0.1 localhost\n# kept\n", ["192.0.2.1 m1"])
        self.assertEqual(first, "127.0.0.1 localhost\n# kept\n# Cluster hosts begin\n192.0.2.1 m1\n# Cluster hosts end\n")
        self.assertEqual(hosts_block(first, ["192.0.2.1 m1"]), first)
        self.assertEqual(hosts_block(first + "192.0.2.9 later\n", []), "127.0.0.1 localhost\n# kept\n192.0.2.9 later\n")

    def test_certificates_are_issued_once_and_again_when_the_names_change(self):
        spec = {"name": "api", "ca": "kubernetes", "cn": "kube-apiserver", "usage": "serverAuth", "sans": ["IP:192.0.2.1", "DNS:m1"],
                "cert": f"{self.folder}/api.crt", "key": f"{self.folder}/api.key"}
        files, notes = self.pki.issue([spec], {})
        self.assertEqual(files[spec["key"]]["mode"], "0600")
        for path, file in files.items():
            self.pki.put(path, file["content"], file.get("mode", "0644"))
        self.openssl("verify", "-CAfile", f"{self.folder}/ca.crt", "-purpose", "sslserver", "-verify_ip", "192.0.2.1", spec["cert"])
        self.assertEqual(self.pki.issue([spec], notes), ({}, {}))
        self.assertNotEqual(self.pki.issue([{**spec, "sans": ["IP:192.0.2.2"]}], notes)[1], {})
        old = {"api": {**notes["api"], "until": time.time() + 86400}}
        self.assertNotEqual(self.pki.issue([spec], old)[1], {})

    def test_an_authority_whose_making_was_interrupted_is_made_anew(self):
        self.pki.put(f"{self.folder}/ca.key", "half", "0600")
        path = self.certificates.kubeconfig("a", "b", 1)
        self.assertIn("server: https://127.0.0.1:1", self.pki.read(path).decode())
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_names_that_would_break_the_request_are_refused(self):
        for name in ("a\nb", "a$b", 'a"b', "a\\b"):
            with self.assertRaises(self.pki.Trouble):
                self.pki.issue([{"name": "x", "ca": "kubernetes", "cn": name, "usage": "clientAuth", "cert": "/c", "key": "/k"}], {})


class Kubeadm(unittest.TestCase):
    """What stands for kubeadm, in a folder instead of /."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root, self.ran = folder.name, []

    def there(self, *paths):
        return [os.path.exists(self.root + path) for path in paths]

    def reset(self, *arguments):
        kubeadm.reset(arguments, self.root, lambda argv, check: self.ran.append(argv[-1]))

    def test_init_that_fails_after_its_first_file_is_not_repeated_before_a_reset(self):
        kubeadm.write(self.root + kubeadm.FAILS_ONCE, "")
        with self.assertRaises(RuntimeError):
            kubeadm.begin(True, self.root)
        self.assertEqual(self.there(kubeadm.CONFIG, kubeadm.MANIFEST), [True, True])
        self.assertFalse(kubeadm.begin(True, self.root), "what is there is taken for done")
        self.reset("--skip-phases=remove-etcd-member")
        self.assertEqual(self.there(kubeadm.CONFIG, kubeadm.MANIFEST), [False, False])
        self.assertEqual(self.ran, ["kubelet", "kube-apiserver"])
        self.assertTrue(kubeadm.begin(True, self.root))
        self.assertFalse(kubeadm.begin(True, self.root))

    def test_a_worker_is_let_in_again(self):
        kubeadm.write(self.root + kubeadm.FAILS_ONCE, "")
        with self.assertRaises(RuntimeError):
            kubeadm.begin(False, self.root)
        self.assertTrue(kubeadm.begin(False, self.root))
        self.assertEqual(self.there(kubeadm.MANIFEST), [False])

    def test_a_reset_empties_etcd_unless_it_is_told_not_to(self):
        data = self.root + "/var/lib/etcd/member/wal"
        kubeadm.write(data, "")
        self.reset("--skip-phases=update-cluster-status,remove-etcd-member")
        self.assertTrue(os.path.exists(data))
        self.reset()
        self.assertFalse(os.path.exists(data))


if __name__ == "__main__":
    unittest.main()
