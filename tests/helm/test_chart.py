"""Tests of the chart as a whole: lint, both helm versions, the package, README and version."""

from __future__ import annotations

import pytest
import yaml

from service import __version__
from tests.helm.conftest import script
from tests.helm.support import CHART, FIXED, MODEL, PROFILES, RELEASE, Helm

pytestmark = pytest.mark.slow

WITH_DEFAULTS = [None, *PROFILES]


@pytest.mark.parametrize("profile", WITH_DEFAULTS)
def test_lint_is_strict_and_clean(each_helm, profile):
    given = ["-f", str(CHART / "ci" / profile)] if profile else []
    told = each_helm.run("lint", "--strict", str(CHART), *given)
    assert "0 chart(s) failed" in told
    assert "WARNING" not in told


@pytest.mark.parametrize("profile", WITH_DEFAULTS)
def test_both_majors_render_the_same(tools, profile):
    values = FIXED if profile != "s3-ha-values.yaml" else {}
    three, four = (Helm(tools(n) / "helm").template(values, profile=profile) for n in (3, 4))

    def by_name(rendered):
        return sorted(rendered.objects, key=lambda o: (o["kind"], o["metadata"]["name"]))

    assert by_name(three) == by_name(four)


def test_the_package_renders_as_the_folder_does(each_helm, tmp_path):
    each_helm.run("package", str(CHART), "--destination", str(tmp_path))
    package = next(tmp_path.glob("finetuned-*.tgz"))
    values = {**FIXED, "models": [MODEL]}
    packed = Helm(each_helm.program, package).template(values)
    assert packed == each_helm.template(values)
    assert packed.of_kind("ConfigMap")["test"]["data"]["loop.py"].startswith(
        '"""Script of `helm test`'
    )


def test_names_are_unique_and_short(render):
    long_name = "a-release-with-a-name-of-some-length-and-more"
    model = {**MODEL, "id": "Some.Organisation/A_model-with-a-Name-that-is-very-long-indeed"}
    twin = {**MODEL, "id": "some-organisation/a-model-with-a-name-that-is-very-long-indeed"}
    values = {
        "fullnameOverride": long_name,
        "models": [model, twin],
        "worker": {"gpuPools": [{"name": "a-pool-with-a-name-x"}]},
    }
    objects = render(values).objects
    named = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(named) == len(set(named))
    assert max(len(name) for _, name in named) <= 63
    for o in objects:
        for value in o["metadata"].get("labels", {}).values():
            assert len(value) <= 63


def test_selectors_never_change_with_the_chart(render):
    for o in render({"models": [MODEL]}).objects:
        if o["kind"] in {"Deployment", "StatefulSet"}:
            labels = o["spec"]["template"]["metadata"]["labels"]
            assert o["spec"]["selector"]["matchLabels"].items() <= labels.items()
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)


def test_readme_is_up_to_date():
    found = (CHART / "README.md").read_text("utf-8")
    assert found == script("helm_readme").readme(), "run 'make helm-readme'"


def test_versions_are_those_of_the_project():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__


def test_notes_give_the_next_commands(helm):
    # helm prints notes only on installation; a dry run without a cluster is one.
    told = helm.run(
        *("install", RELEASE, str(CHART), "--dry-run=client", "--namespace", "models"),
        values={**FIXED, "models": [MODEL]},
    ).partition("NOTES:")[2]
    assert "kubectl -n models get secret ft -o jsonpath='{.data.admin-key}'" in told
    assert "kubectl -n models port-forward svc/ft-api 8000:80" in told
    assert "curl -H" in told
