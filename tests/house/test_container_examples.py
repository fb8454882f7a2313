"""The Dockerfile and the manifest for KubeRay: sound, and in step with the project."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docs" / "examples" / "docker"
RAYJOB = ROOT / "docs" / "examples" / "kubernetes" / "rayjob.yaml"
KUBERNETES = "1.37"


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
POD: dict[str, Any] = {"type": "object"}  # against Kubernetes' own schema, below
HEAD = _object(
    "template",
    template=POD, rayStartParams=TEXTS, enableIngress=FLAG, headService=POD,
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
)  # fmt: skip
WORKERS = _object(
    "groupName template",
    template=POD, rayStartParams=TEXTS, groupName=TEXT, replicas=COUNT, minReplicas=COUNT,
    maxReplicas=COUNT, numOfHosts=COUNT, idleTimeoutSeconds=COUNT, suspend=FLAG,
    scaleStrategy=_object(workersToDelete={"type": "array", "items": TEXT}),
)  # fmt: skip
CLUSTER = _object(
    "headGroupSpec",
    rayVersion=TEXT, headGroupSpec=HEAD, workerGroupSpecs={"type": "array", "items": WORKERS},
    authOptions=_object("mode", mode={"enum": ["disabled", "token"]}), suspend=FLAG,
    enableInTreeAutoscaling=FLAG, autoscalerOptions=POD, gcsFaultToleranceOptions=POD,
    headServiceAnnotations=TEXTS, managedBy=TEXT,
)  # fmt: skip
SPEC = _object(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT, rayClusterSpec=CLUSTER, runtimeEnvYAML=TEXT, jobId=TEXT, metadata=TEXTS,
    backoffLimit=COUNT, activeDeadlineSeconds=COUNT, ttlSecondsAfterFinished=COUNT,
    shutdownAfterJobFinishes=FLAG, suspend=FLAG, clusterSelector=TEXTS, managedBy=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate=POD, submitterConfig=_object(backoffLimit=COUNT), deletionStrategy=POD,
    entrypointNumCpus={"type": "number"}, entrypointNumGpus={"type": "number"},
    entrypointResources=TEXT,
)  # fmt: skip
SCHEMA = _object(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"}, kind={"const": "RayJob"}, metadata=POD, spec=SPEC,
)  # fmt: skip
"""The fields that KubeRay's API reference lists for a RayJob. The resource's own definition, which
KubeRay's release brings, can't be fetched by a test.
"""


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(RAYJOB.read_text(encoding="utf-8")))


def pods() -> list[dict[str, Any]]:
    """The pods of the RayJob, as Kubernetes gets them."""
    cluster = manifests()[1]["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    kind = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
    return [kind | group["template"] for group in groups]


def test_the_manifest_has_kuberays_and_kubernetes_fields() -> None:
    claim, job = manifests()
    jsonschema.validate(job, SCHEMA)
    for each in (claim, *pods()):
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_a_misspelt_field_is_found() -> None:
    job, (pod, *_) = manifests()[1], pods()
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        jsonschema.validate(job, SCHEMA)
    pod["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="resource"):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_the_manifest_is_in_step_with_the_project_and_the_image() -> None:
    from search.config.command_line import parse, resolve

    claim, job = manifests()
    spec = job["spec"]
    assert spec["rayClusterSpec"]["rayVersion"] == version("ray")
    program, words = spec["entrypoint"].split("search.run ")
    assert program == "python -m "
    assert not set(words) & set("&;|<>$`")  # a shell of KubeRay's reads it
    given, unknown = parse(words.split())
    assert given.pop("resume_or_start") == job["metadata"]["name"]
    assert unknown + resolve(given)[1] == []
    for pod in (each["spec"] for each in pods()):
        (container,) = pod["containers"]
        mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert given["data"].startswith(mounted["work"])
        assert given["out"].startswith(mounted["work"])
        assert mounted["shared-memory"] == "/dev/shm"
        names = [each.get("persistentVolumeClaim", {}).get("claimName") for each in pod["volumes"]]
        assert claim["metadata"]["name"] in names
        assert pod["securityContext"]["runAsNonRoot"]
        limits, asked = container["resources"]["limits"], container["resources"]["requests"]
        assert limits == asked


def test_hadolint_finds_nothing() -> None:
    command = [Path(sys.executable).parent / "hadolint", DOCKER / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_what_setup_installs_and_holds_no_data() -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    setup = (ROOT / ".ci" / "setup").read_text(encoding="utf-8")
    packages = re.findall(r"\|\| echo \"?([\w.$-]+)", setup)
    assert len(packages) == 6
    for each in packages:
        assert re.search(rf"\s{each.replace('$version', 'python3')}\s", dockerfile)
    assert "--constraint constraints.txt" in dockerfile
    assert dockerfile.index("\nUSER 1000\n") < dockerfile.index("\nENTRYPOINT ")
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    assert {".git", ".venv", "data", "runs", "build"} <= set(ignored)
