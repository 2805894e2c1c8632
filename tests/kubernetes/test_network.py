"""Who may talk to whom: the policies, evaluated as a cluster does, against the list of what is meant."""

from dataclasses import dataclass, field
from typing import Any

HOME = "the namespace of the service"


@dataclass(frozen=True)
class Peer:
    """A pod somewhere, or (without labels and namespace) an address outside the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str | None = None


OUTSIDE = Peer()
STRANGER = Peer({"app": "other"}, HOME)
INGRESS = Peer({"app": "ingress"}, "ingress-nginx")
PROMETHEUS = Peer({"app.kubernetes.io/name": "prometheus"}, "monitoring")
FALSE_PROMETHEUS = Peer({"app.kubernetes.io/name": "prometheus"}, HOME)
NEIGHBOUR = Peer({"app": "grafana"}, "monitoring")
DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
API_SERVER = Peer({"component": "kube-apiserver"}, "kube-system")

PEOPLE = (
    "gateway",
    "triton",
    "outside",
    "stranger",
    "ingress",
    "prometheus",
    "false prometheus",
    "neighbour",
    "dns",
    "api",
)
PORTS = (53, 80, 443, 6443, 8000, 8001, 8002, 50051)
ANYBODY = set(PEOPLE) - {"gateway", "triton"}

# from, to -> ports. Everything else is shut. What others do among themselves is not ours.
BASE = {("gateway", "dns"): {53}} | {(caller, "gateway"): {8000, 50051} for caller in ANYBODY}
TRITON = {("gateway", "triton"): {8001}, ("prometheus", "triton"): {8002}}
KSERVE = {("gateway", "dns"): {53}} | {(caller, "gateway"): {8000} for caller in ANYBODY}  # its ingress speaks HTTP
MEANT = {"base": BASE, "overlays/gpu": BASE | TRITON, "overlays/production": BASE | TRITON, "kserve": KSERVE | TRITON}
OWNERS = {"depthhmr-gateway": "gateway", "depthhmr-triton": "triton"}
OWNERS |= {"depthhmr-transformer": "gateway", "depthhmr-predictor": "triton"}


def people(manifests) -> dict[str, Peer]:
    others = (OUTSIDE, STRANGER, INGRESS, PROMETHEUS, FALSE_PROMETHEUS, NEIGHBOUR, DNS, API_SERVER)
    ours = {OWNERS[pod.owner]: Peer(pod.labels, HOME) for pod in manifests.pods if pod.owner in OWNERS}
    return ours | dict(zip(PEOPLE[2:], others, strict=True))


def test_exactly_what_is_meant_may_connect(manifests) -> None:
    everybody = people(manifests)
    policies = manifests.of("NetworkPolicy")
    open_ports: dict[tuple[str, str], set[int]] = {}
    for caller, source in everybody.items():
        for callee, target in everybody.items():
            if caller != callee and {caller, callee} & {"gateway", "triton"}:
                allowed = {port for port in PORTS if may_connect(policies, source, target, port)}
                if allowed:
                    open_ports[caller, callee] = allowed

    assert open_ports == MEANT[manifests.name]


def test_a_pod_that_no_policy_names_is_shut(manifests) -> None:
    """A new workload of ours starts with nothing, not with everything."""
    newcomer = Peer({"app.kubernetes.io/part-of": "depthhmr"}, HOME)
    policies = manifests.of("NetworkPolicy")

    assert not any(may_connect(policies, OUTSIDE, newcomer, port) for port in PORTS)
    assert not any(may_connect(policies, newcomer, OUTSIDE, port) for port in PORTS)


def test_triton_lets_in_no_other_pod_of_ours(manifests) -> None:
    """Even one that some policy of its own lets out."""
    sibling = Peer({"app.kubernetes.io/part-of": "depthhmr", "serving.kserve.io/inferenceservice": "depthhmr"}, HOME)
    policies = manifests.of("NetworkPolicy")

    for name, peer in people(manifests).items():
        if name == "triton":
            assert not any(passes(policies, "Ingress", peer, sibling, port) for port in PORTS)


def test_evaluation_knows_that_without_policies_all_is_open() -> None:
    assert may_connect([], OUTSIDE, STRANGER, 8001)


def may_connect(policies: list[dict[str, Any]], source: Peer, target: Peer, port: int) -> bool:
    return passes(policies, "Egress", source, target, port) and passes(policies, "Ingress", target, source, port)


def passes(policies: list[dict[str, Any]], direction: str, subject: Peer, other: Peer, port: int) -> bool:
    """Whether the policies that select `subject` let it talk in that direction; none at all let everything pass."""
    selected = [
        policy["spec"]
        for policy in policies
        if subject.namespace == HOME
        and direction in policy["spec"]["policyTypes"]
        and matches(policy["spec"]["podSelector"], subject.labels)
    ]
    rules = [rule for spec in selected for rule in spec.get(direction.lower(), [])]
    side = "to" if direction == "Egress" else "from"
    return not selected or any(
        (side not in rule or any(is_peer(peer, other) for peer in rule[side]))
        and ("ports" not in rule or port in {entry["port"] for entry in rule["ports"]})
        for rule in rules
    )


def is_peer(peer: dict[str, Any], other: Peer) -> bool:
    assert set(peer) <= {"podSelector", "namespaceSelector"}, "ipBlock is not evaluated here"
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        here = matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace})
    else:
        here = other.namespace == HOME
    return here and matches(peer.get("podSelector", {}), other.labels)


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "matchExpressions are not evaluated here"
    return selector.get("matchLabels", {}).items() <= labels.items()
