# Whether HAProxy on this machine serves and runs the wanted file. Arguments: seconds to wait, the file's digest, the
# private port, and each port that must accept connections. Ends with 0, or with 1 and what is lacking.
import http.client
import socket
import sys
import time

patience, digest, private, *ports = sys.argv[1:]


def get(path):
    connection = http.client.HTTPConnection("127.0.0.1", int(private), timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def lacking():
    port = private
    try:
        status, _ = get("/healthz")
        if status != 200:
            return f"port {private} answers /healthz with {status}"
        if digest not in get("/stats")[1]:
            return "HAProxy runs another configuration than the one that was rolled out"
        for port in ports:
            socket.create_connection(("127.0.0.1", int(port)), timeout=2).close()
    except (OSError, http.client.HTTPException) as error:
        return f"port {port} does not answer: {error}"
    return None


deadline = time.monotonic() + float(patience)
while problem := lacking():
    if time.monotonic() >= deadline:
        sys.exit(problem)
    time.sleep(0.2)
