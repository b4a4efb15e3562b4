# Tells Kubitect what Ansible does: one JSON line for each play, task and result, over a Unix socket.
#
# Works with ansible-core 2.11 to 2.19. What a task marks as secret (no_log) reaches callbacks censored already, and
# only messages of failures are passed on.
from __future__ import annotations

import json
import os
import signal
import socket

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kubitect_events
type: notification
short_description: tells Kubitect what Ansible does
description: one JSON line for each play, task and result, over the Unix socket that KUBITECT_EVENTS names
requirements: [started by Kubitect]
"""

LONGEST = 4000
HIDDEN = "what it says is hidden, since it may hold a password"
# Kubespray's variable for most of what it hides, downloads among it.
SHOWING = "unsafe_show_logs"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kubitect_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(os.environ["KUBITECT_EVENTS"])
        self._hidden = HIDDEN

    def _tell(self, kind, **fields):
        # A machine may print what is no text; as half of a character it would make the whole line unreadable.
        line = json.dumps(dict(fields, kind=kind), ensure_ascii=False) + "\n"
        try:
            self._socket.sendall(line.encode("utf-8", "replace"))
        except OSError:
            # Whoever started us is gone, and so is its lock on the cluster: nothing may go on without it. Programs that a
            # shell starts in the background ignore SIGINT.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)

    def _task(self, task):
        # Here it still says on what its no_log depends; with its results that is decided.
        shown = SHOWING in str(task.no_log)
        self._hidden = HIDDEN + ("; addons.kubespray.%s: true shows it" % SHOWING if shown else "")
        self._tell("task", name=_name(task))

    def _host(self, result, outcome, message=None):
        self._tell(
            "host",
            host=str(_part(result, "host").get_name()),
            task=_name(_part(result, "task")),
            outcome=outcome,
            message=message,
        )

    def v2_playbook_on_play_start(self, play):
        self._tell("play", name=str(play.get_name()).strip())

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._task(task)

    def v2_playbook_on_handler_task_start(self, task):
        self._task(task)

    def v2_runner_on_ok(self, result):
        changed = _part(result, "result").get("changed", False)
        self._host(result, "changed" if changed else "ok")

    def v2_runner_on_skipped(self, result):
        self._host(result, "skipped")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        outcome = "ignored" if ignore_errors else "failed"
        self._host(result, outcome, _message(_part(result, "result"), self._hidden))

    def v2_runner_on_unreachable(self, result):
        ignored = getattr(_part(result, "task"), "ignore_unreachable", False)
        outcome = "ignored" if ignored else "unreachable"
        self._host(result, outcome, _message(_part(result, "result"), self._hidden))

    def v2_runner_retry(self, result):
        done = _part(result, "result")
        left = "attempt %s of %s" % (done.get("attempts"), done.get("retries"))
        self._host(result, "retried", left)

    def v2_playbook_on_stats(self, stats):
        hosts = {}
        for host in stats.processed:
            summary = stats.summarize(host)
            hosts[str(host)] = {
                "changed": summary["changed"],
                "failed": summary["failures"] + summary["unreachable"],
            }
        self._tell("stats", hosts=hosts)


def _part(result, name):
    """A part of a result: public from ansible-core 2.19 on, with an underscore before."""
    if hasattr(result, name):
        return getattr(result, name)
    return getattr(result, "_" + name)


def _name(task):
    return str(task.get_name()).strip()


def _message(result, hidden):
    """What a failed result says, in the order of what helps most; the failed items of a loop speak for it."""
    items = result.get("results")
    if isinstance(items, list):
        failed = [i for i in items if isinstance(i, dict) and (i.get("failed") or i.get("unreachable"))]
        if failed:
            return _cut("\n".join(_message(item, hidden) for item in failed[:5]))
    if "censored" in result:
        return hidden
    parts = []
    for key in ("msg", "reason", "module_stderr", "stderr", "module_stdout"):
        text = _text(result.get(key)).strip()
        if text and not any(text in part for part in parts):
            parts.append(text)
    return _cut("\n".join(parts) or "no message")


def _text(value):
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else json.dumps(value, default=str)


def _cut(text):
    return text if len(text) <= LONGEST else text[:LONGEST] + " [cut]"
