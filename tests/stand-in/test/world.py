# A control plane of several masters on loopback, for the tests of other programs; it ends when its standard input does.
"""Usage: world.py COUNT. Prints one line of JSON: where everything is. Then takes lines `stop N` and `start N` (the etcd member and
the API server of master N, counted from 0) and answers each with `done`."""
import json
import signal
import sys

import harness
from kube import Client, Failed


def main():
    """See the top of the file."""
    count = int(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    etcds, apis = harness.Etcds(count, secure=True), []
    try:
        certificates = harness.Certificates(etcds.folder)
        apis += [harness.ApiServer(etcds.folder, certificates, etcds.url(index), tls=etcds.tls) for index in range(count)]
        kubeconfig = certificates.kubeconfig("kubernetes-admin", "system:masters", apis[0].port)
        client = Client(kubeconfig)

        def answers():
            try:
                return len(client.request("GET", "/api/v1/namespaces")["items"]) == 4
            except Failed:
                return False

        harness.until("the API", 60, answers)
        print(json.dumps({
            "folder": etcds.folder, "kubeconfig": kubeconfig, "tls": etcds.tls, "apis": [api.port for api in apis],
            "etcd": [etcds.url(index) for index in range(count)],
            "peers": [etcds.peer(index) for index in range(count)], "addresses": [etcds.address(index) for index in range(count)]}), flush=True)
        for line in sys.stdin:
            verb, index = line.split()
            for process in (etcds.members[int(index)], apis[int(index)]):
                process.start() if verb == "start" else process.stop(signal.SIGKILL)
            print("done", flush=True)
    finally:
        for api in apis:
            api.stop(signal.SIGKILL)
        etcds.end()


if __name__ == "__main__":
    main()
