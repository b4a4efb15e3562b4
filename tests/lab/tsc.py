# Prints the frequency of this machine's time stamp counter, in kHz; nothing where there is none that runs evenly.
"""An emulated processor's counter is the host's. A guest's kernel that measures its frequency on a busy machine is now and
then wrong by factors, so it is measured here, where a reading can be told that was interrupted."""
import ctypes
import mmap
import platform
import time

READ = b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3"  # rdtsc; shl rdx, 32; or rax, rdx; ret
TRIES, APART = 2000, 1.0


def is_even():
    """Whether the counter runs at one speed, also while the processor sleeps."""
    if platform.machine() != "x86_64":
        return False
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = next((line.split() for line in file if line.startswith("flags")), [])
    return {"constant_tsc", "nonstop_tsc"} <= set(flags)


def moment(counter):
    """(nanoseconds, count) of one moment: the reading that was interrupted least."""
    best = None
    for _ in range(TRIES):
        before, count, after = time.monotonic_ns(), counter(), time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, (before + after) // 2, count)
    return best[1:]


def main():
    """Print the counts of a millisecond."""
    if not is_even():
        return
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(READ)
    counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    began, first = moment(counter)
    time.sleep(APART)
    ended, last = moment(counter)
    print(round((last - first) * 1_000_000 / (ended - began)))


if __name__ == "__main__":
    main()
