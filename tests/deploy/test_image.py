"""The image's build context contains what the Dockerfile copies, and little else."""

import re

from tests.support import ROOT
from tests.support.nginx import DEPLOY

IGNORED = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")


def test_only_what_the_image_copies_is_sent_to_the_builder():
    copies = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = {name for line in copies for name in line.split()}
    assert "*" in IGNORED
    assert {line[1:] for line in IGNORED if line.startswith("!")} == copied


def test_the_image_is_built_with_the_constraints():
    builds = re.findall(r"pip wheel [^|\n]*(?:\\\n[^|\n]*)*", DOCKERFILE)
    assert builds
    assert all("--constraint constraints.txt" in each for each in builds)
