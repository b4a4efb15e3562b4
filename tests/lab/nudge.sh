#!/bin/bash
# Runs inside the lab: resets a machine that hangs while it boots, as a person at its power button would.
#
# An emulated kernel on a busy machine now and then misses its timer and sleeps for ever (seen once in some fifty boots: all
# processors halted 6 s into the boot). That is the emulator's doing and none of what the lab is there to test. A machine
# counts as hung when it has written to its console, then nothing for four minutes, and its agent has not spoken.

set -u
SILENT=240

while sleep 20; do
  for name in $(timeout 30 virsh list --name --state-running 2>/dev/null); do
    xml=$(timeout 30 virsh dumpxml "$name" 2>/dev/null) || continue
    case $xml in *"org.qemu.guest_agent.0' state='connected'"*) continue ;; esac
    console=$(sed -n "s/.*<log file='\([^']*\)'.*/\1/p" <<<"$xml" | head -n 1)
    [ -s "$console" ] || continue
    silent=$(($(date +%s) - $(stat -c %Y "$console")))
    [ "$silent" -gt "$SILENT" ] || continue
    echo "$(date -u +%T) $name: silent for $silent s and its agent has not spoken: reset"
    timeout 30 virsh reset "$name"
    touch "$console"
  done
done
