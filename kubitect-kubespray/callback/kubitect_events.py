# Reports to Kubitect what Ansible does: one JSON line for each play, task and result, over a Unix socket.
#
# Works with ansible-core 2.11 to 2.19. No secret is reported: Ansible censors the results of tasks with no_log before
# callbacks get them, and of results only the messages of failures are reported.
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
# Kubespray's variable on which no_log depends in most of its tasks, including downloads.
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

    def _send(self, kind, **fields):
        # A machine may print bytes that are not text. They are replaced; otherwise the whole line could not be encoded.
        line = json.dumps(dict(fields, kind=kind), ensure_ascii=False) + "\n"
        try:
            self._socket.sendall(line.encode("utf-8", "replace"))
        except OSError:
            # Kubitect has ended, and its lock on the cluster is released, so Ansible must not continue. The handler is set
            # because programs that a shell starts in the background ignore SIGINT.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)

    def _task(self, task):
        # Only here no_log is still the expression with its variable; in results it is already evaluated.
        shown = SHOWING in str(task.no_log)
        self._hidden = HIDDEN + ("; addons.kubespray.%s: true shows it" % SHOWING if shown else "")
        self._send("task", name=_name(task))

    def _host(self, result, outcome, message=None):
        self._send(
            "host",
            host=str(_part(result, "host").get_name()),
            task=_name(_part(result, "task")),
            outcome=outcome,
            message=message,
        )

    def v2_playbook_on_play_start(self, play):
        self._send("play", name=str(play.get_name()).strip())

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
        self._send("stats", hosts=hosts)


def _part(result, name):
    """A part of a result. Its name is public from ansible-core 2.19 on; earlier ones have an underscore."""
    if hasattr(result, name):
        return getattr(result, name)
    return getattr(result, "_" + name)


def _name(task):
    return str(task.get_name()).strip()


def _message(result, hidden):
    """The message of a failed result, the most useful parts first; of a loop, the messages of its failed items."""
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
