# Prints what the HAProxy on this machine says of its servers, as CSV. Argument: the runtime socket.
import socket
import sys

with socket.socket(socket.AF_UNIX) as runtime:
    runtime.settimeout(5)
    runtime.connect(sys.argv[1])
    runtime.sendall(b"show stat\n")
    answer = b"".join(iter(lambda: runtime.recv(65536), b""))
sys.stdout.buffer.write(answer)
