"""A plugin whose answers are grants with an end or with rules, as the user name says."""

import time

from emqx_mgmt.broker.auth.client import Grant, Ruling
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE, TopicRule
from emqx_mgmt.plugins import Plugin

RULES = (TopicRule(False, PUBLISH | SUBSCRIBE, "own/secret/#", "the grant's first rule"),
         TopicRule(True, PUBLISH, "own/%u/out", "the grant's second rule"),
         TopicRule(True, SUBSCRIBE, "own/%c/#", "the grant's third rule"),
         TopicRule(False, PUBLISH | SUBSCRIBE, "#", "the grant's last rule"))


class Granting(Plugin):
    name = "test_granting"
    description = "Grants with an end or with rules"
    decides = ("client.authenticate",)

    def load(self):
        self.host.hook("client.authenticate", self.authenticate)

    def authenticate(self, client):
        match (client.username or "").partition(":"):
            case ["until", _, seconds]:
                return Grant(expires_at=time.time() + float(seconds))
            case ["rules", *_]:
                return Grant(rules=RULES)
        return True


class Ruler(Plugin):
    name = "test_ruler"
    description = "Names the rule that it answers by"
    decides = ("client.check_acl",)

    def load(self):
        self.host.hook("client.check_acl", self.check_acl)

    def check_acl(self, client, access, topic):
        return Ruling(not topic.startswith("no/"), f"{self.name}, rule of {topic}")
