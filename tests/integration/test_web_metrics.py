"""/metrics, and what is built on it: the alert rules, by Prometheus's own promtool, and the dashboard."""

import json
import os
import re
import subprocess
import unittest

from backends import Directory
from failing import add, layer
from harness import Image
from registry import need
from webend import WebTest

DEPLOY = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "deploy")
ALERTS = os.path.join(DEPLOY, "prometheus", "alerts.yml")
NAME = re.compile(r"\b((?:ducc|process)_[a-z_]+)\b")


def promtool(*arguments, stdin=""):
    done = subprocess.run([need("promtool"), *arguments], input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def series(name, values, **labels):
    return {"series": name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}", "values": values}


class MetricsTest(WebTest):
    def setUp(self):
        super().setUp()
        self.source, self.backend = self.misbehaving(), Directory(self.scratch)
        add(self.source, "a/b", "1", Image([layer("first")]))
        names = [f"{self.source.host}/a/b:{tag}" for tag in "12"]
        self.start(self.backend, [self.recipe("list.yaml", self.backend.argument, names)])
        self.wait_for(lambda: self.get("/api/v1/status")["counts"].get("published") == 1
                      and self.get("/api/v1/status")["counts"].get("failed") == 1, self.daemon_)

    def metrics(self):
        answer = self.request("GET", "/metrics")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        return answer.body.decode()

    def test_format_and_values(self):
        self.send("harbor", self.harbor_push("registry.example.org", "x/y", "1"))
        self.send("harbor", {}, secret="not-the-secret-of-it", status=401)
        self.wait_events_done(1)
        text = self.metrics()
        status, said = promtool("check", "metrics", stdin=text)
        self.assertEqual(status, 0, said)
        samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        place = f'repository="{self.backend.argument}"'
        for name, value in ((f'ducc_images{{{place},state="published"}}', "1"), (f'ducc_images{{{place},state="failed"}}', "1"),
                            (f"ducc_day_published_images{{{place}}}", "1"), ('ducc_events{state="done"}', "1"),
                            ('ducc_sender_events_total{sender="harbor"}', "1"), ("ducc_refused_requests_total", "1"),
                            ("ducc_database_up", "1"), ('ducc_http_responses_total{code="401"}', "1")):
            self.assertEqual(samples.get(name), value, name)

    def test_what_is_built_on_it_uses_names_that_exist(self):
        there = set(re.findall(r"^# TYPE (\S+)", self.metrics(), re.M))
        with open(os.path.join(DEPLOY, "grafana", "dashboard.json"), encoding="utf-8") as source:
            dashboard = json.load(source)
        used = set()
        for panel in dashboard["panels"]:
            self.assertTrue(panel["targets"], panel["title"])
            for target in panel["targets"]:
                used |= set(NAME.findall(target["expr"]))
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
        with open(ALERTS, encoding="utf-8") as source:
            used |= set(NAME.findall("\n".join(re.findall(r"expr:(.*?)\n +(?:for|labels):", source.read(), re.S))))
        self.assertGreater(len(used), 15)
        self.assertEqual(used - there, set())
        with open(os.path.join(os.path.dirname(DEPLOY), "docs", "web.md"), encoding="utf-8") as source:
            documented = set(NAME.findall(source.read()))
        self.assertEqual(there - documented, set())


class AlertTest(WebTest):
    def test_rules_are_valid(self):
        status, said = promtool("check", "rules", ALERTS)
        self.assertEqual(status, 0, said)

    def fires(self, alert, at, *inputs):
        """The summaries of an alert at that time."""
        path = self.path(f"{alert}.yml")
        test = {"rule_files": [ALERTS], "evaluation_interval": "1m", "tests": [
            {"interval": "1m", "input_series": list(inputs), "alert_rule_test": [{"eval_time": at, "alertname": alert}]}]}
        with open(path, "w", encoding="utf-8") as out:
            json.dump(test, out)            # which is YAML, too
        status, said = promtool("test", "rules", path)
        return re.findall(r'summary="(.*?)"', said) if status else []

    def test_when_they_fire(self):
        place = {"repository": "r", "instance": "i"}
        failed = series("ducc_images", "1x1500", **place, state="failed")
        good = series("ducc_images", "99x1500", **place, state="published")
        table = (
            ("DuccDown", "20m", [series("up", "0x30", job="ducc", instance="i")], ["ducc does not answer on i"]),
            ("DuccDown", "20m", [series("up", "1x30", job="ducc", instance="i")], []),
            ("DuccImagesFail", "13h", [failed, good], ["1 images fail in r"]),
            ("DuccImagesFail", "11h", [failed, good], []),
            ("DuccManyImagesFail", "13h", [failed, good], []),
            ("DuccManyImagesFail", "13h", [failed], ["more than a fifth of the images fail in r"]),
            ("DuccEventsStuck", "40m", [series("ducc_oldest_event_timestamp_seconds", "600x60", instance="i")],
             ["an event waits for 30m 0s on i"]),
            ("DuccEventsStuck", "40m", [series("ducc_oldest_event_timestamp_seconds", "0x60", instance="i")], []),
            ("DuccImageNotPublished", "10h", [series("ducc_oldest_update_timestamp_seconds", "3600x700", **place)],
             ["an image waits for 9h 0m 0s to be published in r"]),
            ("DuccListFails", "3h", [series("ducc_list_failed", "1x200", **place, list="l")], ["the list l cannot be read"]),
            ("DuccSenderForged", "61m", [series("ducc_refused_requests_total", "0+5x70", instance="i")],
             ["300 requests without a sender's secret within an hour on i"]),
            ("DuccDatabaseUnreadable", "15m", [series("ducc_database_up", "0x20", instance="i")],
             ["the state database of ducc cannot be read on i"]),
        )
        for alert, at, inputs, summaries in table:
            with self.subTest(alert, at=at):
                self.assertEqual(self.fires(alert, at, *inputs), summaries)


if __name__ == "__main__":
    unittest.main()
