"""The journeys without machines: what kubectl is given, which steps are done, and which changes are made."""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import journey  # noqa: E402
import pods  # noqa: E402
from cluster import Api, Asker, Cluster, Failed, wait_for  # noqa: E402


class Recorded(Cluster):
    """A cluster whose kubectl only records, and answers as if all pods ran."""

    def __init__(self):
        super().__init__("kubitect", "/nonexistent", {}, "1.34.4")
        self.given = []

    def kubectl(self, *arguments, given=None, check=True):
        if given:
            self.given.append(json.loads(given))
        if arguments[0] == "exec":
            return f"{arguments[-1].removeprefix('http://').partition('.')[0]}-x\n"
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        found = [{"metadata": {"name": f"web-{n}"}, "spec": {"nodeName": f"n{n}"}, "status": ready} for n in [1, 2]]
        return json.dumps({"items": found})


def quietly(work, *arguments):
    """What `work` returns, without what it says."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return work(*arguments)


class Journeys(unittest.TestCase):
    def test_kubectl_is_given_objects(self):
        cluster = Recorded()
        quietly(pods.web, cluster)
        quietly(pods.pods_reach_one_another, cluster)
        web, probes = ([item["kind"] for item in one["items"]] for one in cluster.given)
        self.assertEqual(web, ["Deployment", "Service", "PodDisruptionBudget"])
        self.assertEqual(probes, ["Deployment", "Service"] * 2)

    def test_steps_that_are_skipped_make_their_changes_only(self):
        done = []

        def step(name, **more):
            act = lambda cluster: done.append((name, cluster.nodes()))  # noqa: E731
            return journey.Step(name, act=act, asked=False, lasting=False, **more)

        steps = [step("a", change=journey.workers(1, 2)), step("b"), step("c", change=journey.masters(7))]
        self.assertTrue(quietly(journey.run, Recorded(), steps, "b", None))
        self.assertEqual([name for name, _ in done], ["b", "c"])
        self.assertEqual(done[0][1], ["real-master-1", "real-worker-1", "real-worker-2"])
        self.assertEqual(done[1][1], ["real-master-7", "real-worker-1", "real-worker-2"])

    def test_nothing_is_done_after_a_step_that_failed(self):
        def fails(_):
            raise Failed("no")

        steps = [journey.Step("a", act=fails, asked=False), journey.Step("b", act=self.fail)]
        self.assertFalse(quietly(journey.run, Recorded(), steps, None, None))

    def test_a_program_is_asked_to_end_and_not_killed(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "program"
            begun, ended = program.with_suffix(".begun"), program.with_suffix(".ended")
            text = f"#!/bin/sh\ntrap 'touch {ended}; exit 1' TERM\ntouch {begun}\nwhile :; do sleep 0.05; done\n"
            program.write_text(text)
            program.chmod(0o755)
            communicate, calls = subprocess.Popen.communicate, []

            def interrupted(run, *given, **more):
                calls.append(run)
                if len(calls) == 1:
                    wait_for("the program", 60, lambda: "" if begun.exists() else "it has not begun")
                    raise SystemExit
                return communicate(run, *given, **more)

            with mock.patch.object(subprocess.Popen, "communicate", interrupted), self.assertRaises(SystemExit):
                quietly(Cluster(str(program), folder, {}, "1.34.4").run, "apply")
            self.assertTrue(ended.exists())

    def test_each_step_has_a_name_of_its_own(self):
        for make in journey.JOURNEYS.values():
            names = [step.name for step in make()]
            self.assertEqual(len(names), len(set(names)))

    def test_what_was_written_is_looked_for_until_the_api_answers(self):
        api = Api.__new__(Api)
        api.written = ["ring-1", "ring-2"]
        answers = [OSError("timed out"), {"items": [{"metadata": {"name": "ring-2"}}]}]

        def ask(*_):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return json.dumps(answer)

        api._ask = ask
        self.assertEqual(quietly(api.lost), ["ring-1"])

    def test_a_client_notes_what_goes_unanswered(self):
        answers = []

        def ask():
            answers.append(0)
            if 2 <= len(answers) <= 4:
                raise OSError("no")

        asker = Asker("test", ask, pause=0.02)
        end = time.monotonic() + 60
        while len(answers) < 6 and time.monotonic() < end:
            time.sleep(0.01)
        self.assertGreaterEqual(quietly(asker.stop), 0.04)
        self.assertGreaterEqual(len(answers), 6)


if __name__ == "__main__":
    unittest.main()
