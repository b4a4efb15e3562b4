"""What pack.py makes is what serve.py gives: each file has the checksum that the variables name, each image its layers."""

import gzip
import hashlib
import http.server
import io
import json
import pathlib
import sys
import tarfile
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import pack  # noqa: E402
import serve  # noqa: E402

PROGRAMS = {
    "kubernetes-1.34": ["kubeadm", "kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"],
    "etcd": ["server", "etcdctl", "etcdutl"],
    "containerd": ["containerd", "containerd-shim-runc-v2", "ctr"],
    "cni-plugins": [*pack.CNI_PLUGINS, "vlan"],
    "cri-tools": ["crictl"],
    "runc": ["runc"],
    "small": ["pause", "probe"],
    "coredns": ["coredns"],
    "flannel": ["flannel"],
    "cni-flannel": ["flannel"],
}


class Served(unittest.TestCase):
    """A folder of programs that are their own names, packed and served."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.temporary.name)
        sets = {}
        for name, programs in PROGRAMS.items():
            sets[name] = folder / name
            sets[name].mkdir()
            for program in programs:
                (sets[name] / program).write_text(f"{name}/{program}")
        with tarfile.open(folder / "base.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("etc"))
        served = folder / "served"
        served.mkdir()
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve.Handler)
        cls.server.folder = served
        serve.Handler.log_message = lambda *_: None
        cls.address = f"127.0.0.1:{cls.server.server_port}"
        pack.pack(served, cls.address, folder / "base.tar", sets)
        cls.variables = json.loads((served / "variables.json").read_text())
        cls.thread = threading.Thread(target=cls.server.serve_forever)
        cls.thread.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.thread.join()
        cls.server.server_close()
        cls.temporary.cleanup()

    def get(self, path):
        """An answer's content and head."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as answer:
            return answer.read(), answer.headers

    def unpacked(self, blob):
        """The names in a layer or an archive."""
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob))) as archive:
            return archive.getnames()

    def test_every_download_has_its_checksum(self):
        kubernetes = pack.version("k8s.io/kubernetes", "kubernetes-1.34")
        checked = 0
        for name, url in self.variables.items():
            if not name.endswith("_download_url"):
                continue
            program = name.removesuffix("_download_url")
            if "kube_version" in url:
                url = url.replace("{{ kube_version }}", kubernetes)
                checksum = self.variables["ring_checksums"][kubernetes][program]
            else:
                checksum = self.variables.get(f"{program}_binary_checksum") or self.variables[f"{program}_archive_checksum"]
            content, _ = self.get(url.removeprefix(f"http://{self.address}"))
            self.assertEqual("sha256:" + hashlib.sha256(content).hexdigest(), checksum, name)
            checked += 1
        self.assertEqual(checked, 9)

    def test_archives_have_the_layout_of_the_releases(self):
        etcd = self.variables["etcd_version"]
        self.assertIn(f"etcd-v{etcd}-linux-amd64/etcd", self.unpacked(self.get("/files/etcd.tar.gz")[0]))
        self.assertIn("bin/containerd", self.unpacked(self.get("/files/containerd.tar.gz")[0]))
        self.assertIn("bridge", self.unpacked(self.get("/files/cni.tgz")[0]))

    def test_images_are_pulled_by_tag_and_by_digest(self):
        tags = json.loads((self.server.folder / "registry/tags.json").read_text())
        self.assertEqual(len(tags), 10)
        for tag, digest in tags.items():
            name, _, reference = tag.rpartition(":")
            content, head = self.get(f"/v2/{name}/manifests/{reference}")
            self.assertEqual(head["Docker-Content-Digest"], digest)
            self.assertEqual("sha256:" + hashlib.sha256(content).hexdigest(), digest)
            self.assertEqual(self.get(f"/v2/{name}/manifests/{digest}")[0], content)
            manifest = json.loads(content)
            self.assertEqual(head["Content-Type"], manifest["mediaType"])
            settings = json.loads(self.get(f"/v2/{name}/blobs/{manifest['config']['digest']}")[0])
            for layer, unpacked in zip(manifest["layers"], settings["rootfs"]["diff_ids"], strict=True):
                blob, _ = self.get(f"/v2/{name}/blobs/{layer['digest']}")
                self.assertEqual(len(blob), layer["size"])
                self.assertEqual("sha256:" + hashlib.sha256(gzip.decompress(blob)).hexdigest(), unpacked)
            program = settings["config"]["Entrypoint"][0].lstrip("/")
            if program != "bin/true":
                self.assertIn(program, self.unpacked(blob))

    def test_nothing_else_is_given(self):
        for path in ["/files/../variables.json", "/files/missing", "/v2/none/manifests/v1", "/v2/pause/blobs/sha256:" + "0" * 64, "/"]:
            with self.assertRaises(urllib.error.HTTPError, msg=path) as raised:
                self.get(path)
            self.assertEqual(raised.exception.code, 404)


if __name__ == "__main__":
    unittest.main()
