# Sets the state of a server in backends of the HAProxy on this machine. Arguments: the runtime socket, the state, the
# server, and each backend. Ends with 0, or with 1 and what HAProxy says.
import socket
import sys

path, state, server, *backends = sys.argv[1:]

for backend in backends:
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.settimeout(5)
        runtime.connect(path)
        runtime.sendall(f"set server {backend}/{server} state {state}\n".encode())
        answer = b"".join(iter(lambda: runtime.recv(4096), b"")).decode("utf-8", "replace").strip()
    if answer:
        sys.exit(f"{backend}/{server}: {answer}")
