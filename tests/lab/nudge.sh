#!/bin/bash
# Runs inside the lab: resets a machine that hangs while it boots, as a person at its power button would, and lets one
# that is up have its share of the processors (bin/qemu-system-x86_64 starts it with less). What serves others comes before
# what only works: workers keep pods that nobody waits for.
#
# An emulated kernel on a busy machine now and then loses an event and waits for it for ever (seen with a thread for each
# processor, once in some fifty boots; bin/qemu-system-x86_64 says more). That is the emulator's doing and none of what the
# lab is there to test. A machine counts as hung when its agent has not spoken and it has written nothing to its console
# for four minutes, or its kernel complains there: that a task has been blocked for minutes, or, three times, that a processor's
# timer does not fire.

set -u
SILENT=240
WORKER_NICE=5
declare -A resets

while sleep 20; do
  for name in $(timeout 30 virsh list --name --state-running 2>/dev/null); do
    xml=$(timeout 30 virsh dumpxml "$name" 2>/dev/null) || continue
    case $xml in
    *"org.qemu.guest_agent.0' state='connected'"*)
      if pid=$(cat "/run/libvirt/qemu/$name.pid" 2>/dev/null); then
        nice=0
        [[ $name != *-worker-* ]] || nice=$WORKER_NICE
        { echo "$nice" >"/proc/$pid/autogroup"; } 2>/dev/null
        renice -n "$nice" -g "$(ps -o pgid= -p "$pid")" >/dev/null 2>&1
      fi
      continue
      ;;
    esac
    console=$(sed -n "s/.*<log file='\([^']*\)'.*/\1/p" <<<"$xml" | head -n 1)
    [ -s "$console" ] || continue
    silent=$(($(date +%s) - $(stat -c %Y "$console")))
    blocked=$(grep -c 'blocked for more than' "$console")
    timer=$(grep -c 'Possible timer handling issue' "$console")
    complaints=$((blocked + timer / 3))
    # A reset does not empty the console: of its complaints, those that were answered by a reset don't count again.
    answered=${resets[$name]:-0}
    [ "$silent" -gt "$SILENT" ] || [ "$complaints" -gt "$answered" ] || continue
    echo "$(date -u +%T) $name: silent for $silent s, tasks blocked $blocked times, a timer late $timer times, no word of its agent: reset"
    timeout 30 virsh reset "$name"
    resets[$name]=$complaints
    touch "$console"
  done
done
