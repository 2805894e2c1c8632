"""The table of pose kinds in photographs, for `poses`.

Angles are radians of one leg or the trunk; arms are named by where the hand is (`ARMS`). Every number is the middle
of a normal distribution, and `poses` draws around it. Tables describe the LEFT side as the leading one; half of all
people are mirrored.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Where a left wrist is, relative to its shoulder, in lengths of the stretched arm.

    Axes of the chest: x to the left, y up, z to the front. `elbow` is the direction in which the elbow points.
    """

    wrist: tuple[float, float, float]
    spread: tuple[float, float, float]
    elbow: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Leg:
    """Flexion of the hip (thigh to the front), abduction, outward turn, flexion of the knee; and their spread."""

    flex: float = 0.0
    abduct: float = 0.1
    turn: float = 0.12
    knee: float = 0.06
    spread: tuple[float, float, float, float] = (0.10, 0.06, 0.14, 0.08)


@dataclass(frozen=True, kw_only=True)
class PoseKind:
    """A kind of pose: its weight, both legs, the lean of the trunk and the arms.

    `lean` tips the whole body forwards, `spin` turns it about its own length (people lying down), `swing` is the
    angle of the hips' swing of walking and running, `same_arms` the probability that both arms do the same.
    """

    name: str
    weight: float
    lead: Leg = field(default_factory=Leg)
    trail: Leg = field(default_factory=Leg)
    arms: dict[str, float]
    trail_arms: dict[str, float] | None = None
    same_arms: float = 0.4
    bend: float = 0.06
    bend_spread: float = 0.12
    twist_spread: float = 0.15
    lean: float = 0.0
    lean_spread: float = 0.06
    spin_spread: float = 0.0
    swing: float = 0.0
    airborne: bool = False


ARMS = {
    "down": Arm(wrist=(0.14, -0.96, 0.06), spread=(0.08, 0.03, 0.12), elbow=(0.3, 0.0, -1.0)),
    "hip": Arm(wrist=(0.08, -0.80, 0.08), spread=(0.05, 0.05, 0.06), elbow=(1.0, 0.0, -0.3)),
    "pocket": Arm(wrist=(0.12, -0.87, 0.12), spread=(0.04, 0.04, 0.06), elbow=(0.7, 0.0, -1.0)),
    "crossed": Arm(wrist=(-0.46, -0.46, 0.46), spread=(0.08, 0.08, 0.05), elbow=(0.6, -0.7, 0.2)),
    "hold": Arm(wrist=(-0.16, -0.58, 0.58), spread=(0.14, 0.16, 0.12), elbow=(0.5, -1.0, -0.3)),
    "clasp": Arm(wrist=(-0.30, -0.84, 0.32), spread=(0.06, 0.06, 0.07), elbow=(0.9, 0.0, -0.4)),
    "behind": Arm(wrist=(-0.20, -0.75, -0.36), spread=(0.08, 0.08, 0.05), elbow=(1.0, 0.0, -0.6)),
    "phone": Arm(wrist=(-0.12, 0.20, 0.24), spread=(0.06, 0.07, 0.06), elbow=(0.6, -1.0, 0.4)),
    "face": Arm(wrist=(-0.26, 0.12, 0.40), spread=(0.09, 0.10, 0.07), elbow=(0.4, -1.0, 0.1)),
    "head": Arm(wrist=(-0.08, 0.52, 0.02), spread=(0.08, 0.08, 0.08), elbow=(1.0, 0.2, 0.2)),
    "guard": Arm(wrist=(-0.22, 0.00, 0.56), spread=(0.13, 0.13, 0.14), elbow=(0.5, -1.0, 0.0)),
    "up": Arm(wrist=(0.10, 0.93, 0.05), spread=(0.24, 0.08, 0.20), elbow=(1.0, -0.2, 0.2)),
    "wave": Arm(wrist=(0.42, 0.55, 0.20), spread=(0.18, 0.18, 0.15), elbow=(0.6, -1.0, -0.1)),
    "side": Arm(wrist=(0.93, 0.00, 0.06), spread=(0.06, 0.28, 0.22), elbow=(0.0, -1.0, -0.4)),
    "point": Arm(wrist=(0.05, 0.00, 0.95), spread=(0.28, 0.28, 0.06), elbow=(0.4, -1.0, 0.0)),
    "lap": Arm(wrist=(-0.12, -0.68, 0.64), spread=(0.13, 0.08, 0.09), elbow=(0.8, -0.3, -0.4)),
    "low": Arm(wrist=(0.00, -0.68, 0.68), spread=(0.14, 0.18, 0.16), elbow=(0.5, -0.4, -0.3)),
    "balance": Arm(wrist=(0.78, -0.30, 0.12), spread=(0.16, 0.26, 0.26), elbow=(0.0, -1.0, -0.5)),
    "windup": Arm(wrist=(0.42, 0.34, -0.44), spread=(0.14, 0.22, 0.14), elbow=(0.5, -1.0, -0.5)),
    "smash": Arm(wrist=(0.32, 0.72, 0.36), spread=(0.18, 0.16, 0.22), elbow=(0.8, -0.6, -0.1)),
    "bat": Arm(wrist=(-0.37, -0.15, 0.62), spread=(0.14, 0.30, 0.14), elbow=(0.7, -0.7, -0.2)),
    "prop": Arm(wrist=(0.30, -0.82, -0.36), spread=(0.12, 0.06, 0.12), elbow=(0.3, 0.0, -1.0)),
}

STANDING_ARMS = {
    "down": 0.33, "hip": 0.11, "pocket": 0.09, "crossed": 0.08, "hold": 0.13, "clasp": 0.06, "behind": 0.04,
    "phone": 0.06, "face": 0.05, "head": 0.03, "guard": 0.04, "up": 0.05, "wave": 0.06, "side": 0.02, "point": 0.05,
    "balance": 0.02,
}  # fmt: skip
SEATED_ARMS = {
    "lap": 0.46, "hold": 0.20, "crossed": 0.08, "clasp": 0.04, "phone": 0.04, "face": 0.08, "guard": 0.05,
    "point": 0.03, "wave": 0.03, "up": 0.02, "head": 0.02, "down": 0.08, "prop": 0.04,
}  # fmt: skip
ANY_ARMS = dict.fromkeys(ARMS, 1.0)
STRIDE = {"down": 0.75, "hold": 0.10, "phone": 0.04, "pocket": 0.06, "wave": 0.03, "point": 0.02}
LOOSE = (0.50, 0.22, 0.25, 0.50)

KINDS = (
    PoseKind(name="stand", weight=0.24, arms=STANDING_ARMS),
    PoseKind(name="stand at ease", weight=0.08, lead=Leg(flex=0.24, turn=0.35, knee=0.42), arms=STANDING_ARMS),
    PoseKind(
        name="stand wide", weight=0.05, lead=Leg(abduct=0.30, turn=0.3), trail=Leg(abduct=0.30, turn=0.3),
        arms=STANDING_ARMS,
    ),
    PoseKind(name="walk", weight=0.14, swing=0.48, arms=STRIDE, same_arms=0.6, lean=0.05),
    PoseKind(
        name="run", weight=0.07, swing=0.85, arms={"down": 1.0}, same_arms=1.0, lean=0.20, lean_spread=0.10,
        twist_spread=0.20,
    ),
    PoseKind(
        name="sit", weight=0.13, arms=SEATED_ARMS, same_arms=0.55, bend=0.12, bend_spread=0.18, lean_spread=0.14,
        lead=Leg(flex=1.50, abduct=0.14, knee=1.50, spread=(0.14, 0.14, 0.15, 0.28)),
        trail=Leg(flex=1.50, abduct=0.14, knee=1.50, spread=(0.14, 0.14, 0.15, 0.28)),
    ),
    PoseKind(
        name="sit cross-legged", weight=0.02, arms=SEATED_ARMS, same_arms=0.6, bend=0.20, bend_spread=0.15,
        lead=Leg(flex=1.55, abduct=0.75, turn=0.60, knee=2.15), trail=Leg(flex=1.60, abduct=0.70, turn=0.65, knee=2.05),
    ),
    PoseKind(
        name="sit on the ground", weight=0.02, arms={**SEATED_ARMS, "prop": 0.6}, same_arms=0.6, lean=-0.15,
        bend=0.25, bend_spread=0.18, lean_spread=0.15,
        lead=Leg(flex=1.60, abduct=0.15, knee=0.90, spread=(0.25, 0.10, 0.15, 0.70)),
        trail=Leg(flex=1.45, abduct=0.15, knee=0.30, spread=(0.20, 0.10, 0.15, 0.30)),
    ),
    PoseKind(
        name="squat", weight=0.05, arms={"low": 0.35, "lap": 0.2, "point": 0.2, "hold": 0.2, "guard": 0.1, "up": 0.05},
        same_arms=0.7, lean=0.32, lean_spread=0.15, bend=0.15, bend_spread=0.15,
        lead=Leg(flex=1.80, abduct=0.28, turn=0.3, knee=1.95, spread=(0.25, 0.15, 0.15, 0.35)),
        trail=Leg(flex=1.80, abduct=0.28, turn=0.3, knee=1.95, spread=(0.25, 0.15, 0.15, 0.35)),
    ),
    PoseKind(
        name="half squat", weight=0.04, arms={"low": 0.3, "point": 0.2, "guard": 0.3, "balance": 0.2, "lap": 0.1},
        same_arms=0.7, lean=0.30, lean_spread=0.15,
        lead=Leg(flex=0.95, abduct=0.25, turn=0.25, knee=1.00, spread=(0.25, 0.12, 0.15, 0.28)),
        trail=Leg(flex=0.95, abduct=0.25, turn=0.25, knee=1.00, spread=(0.25, 0.12, 0.15, 0.28)),
    ),
    PoseKind(
        name="kneel", weight=0.025, arms={**STANDING_ARMS, "lap": 0.3}, same_arms=0.6, bend_spread=0.2,
        lead=Leg(flex=0.25, abduct=0.15, knee=1.80, spread=(0.35, 0.1, 0.1, 0.35)),
        trail=Leg(flex=0.25, abduct=0.15, knee=1.80, spread=(0.35, 0.1, 0.1, 0.35)),
    ),
    PoseKind(
        name="kneel on one knee", weight=0.025, arms={**SEATED_ARMS, "low": 0.2}, lean=0.1, lean_spread=0.12,
        lead=Leg(flex=1.50, knee=1.50, spread=(0.2, 0.1, 0.1, 0.2)), trail=Leg(flex=-0.05, knee=1.55),
    ),
    PoseKind(
        name="lunge", weight=0.05, arms={**STANDING_ARMS, "up": 0.2, "guard": 0.2, "point": 0.2}, lean=0.08,
        lean_spread=0.15, twist_spread=0.3,
        lead=Leg(flex=1.10, knee=1.15, spread=(0.3, 0.1, 0.15, 0.3)),
        trail=Leg(flex=-0.40, turn=0.2, knee=0.45, spread=(0.2, 0.1, 0.2, 0.3)),
    ),
    PoseKind(
        name="step up", weight=0.03, arms=STRIDE, lean=0.08,
        lead=Leg(flex=1.0, knee=1.15, spread=(0.25, 0.1, 0.1, 0.25)),
        trail=Leg(flex=-0.08, knee=0.12),
    ),
    PoseKind(
        name="kick", weight=0.03, arms={"balance": 0.5, "down": 0.2, "guard": 0.3}, lean=-0.18, lean_spread=0.18,
        twist_spread=0.3, lead=Leg(flex=1.0, abduct=0.2, knee=0.45, spread=(0.55, 0.2, 0.2, 0.4)),
        trail=Leg(flex=0.1, knee=0.25, spread=(0.2, 0.1, 0.2, 0.2)),
    ),
    PoseKind(
        name="jump", weight=0.035, arms={"up": 0.45, "balance": 0.25, "smash": 0.1, "point": 0.1, "side": 0.1},
        same_arms=0.6, lean_spread=0.2, bend_spread=0.2, twist_spread=0.25, airborne=True,
        lead=Leg(flex=0.6, abduct=0.2, knee=0.9, spread=(0.55, 0.25, 0.2, 0.55)),
        trail=Leg(flex=0.3, abduct=0.2, knee=0.8, spread=(0.55, 0.25, 0.2, 0.55)),
    ),
    PoseKind(
        name="throw", weight=0.04, arms={"point": 0.4, "up": 0.2, "balance": 0.2, "guard": 0.2},
        trail_arms={"windup": 0.5, "smash": 0.4, "bat": 0.1}, same_arms=0.0, lean=-0.05, lean_spread=0.2,
        twist_spread=0.45, lead=Leg(flex=0.45, abduct=0.2, knee=0.35, spread=(0.35, 0.12, 0.2, 0.25)),
        trail=Leg(flex=0.0, abduct=0.3, turn=0.3, knee=0.4, spread=(0.25, 0.12, 0.2, 0.25)),
    ),
    PoseKind(
        name="swing a bat", weight=0.03, arms={"bat": 1.0}, same_arms=1.0, lean=0.25, lean_spread=0.15,
        twist_spread=0.5,
        lead=Leg(flex=0.45, abduct=0.3, knee=0.4, spread=(0.2, 0.12, 0.2, 0.2)),
        trail=Leg(flex=0.45, abduct=0.3, turn=0.3, knee=0.5, spread=(0.2, 0.12, 0.2, 0.2)),
    ),
    PoseKind(
        name="bend down", weight=0.035, arms={"low": 0.7, "lap": 0.2, "point": 0.2}, same_arms=0.8, lean=0.85,
        lean_spread=0.3, bend=0.4, bend_spread=0.2,
        lead=Leg(flex=0.95, knee=0.35, spread=(0.3, 0.08, 0.12, 0.3)),
        trail=Leg(flex=0.90, knee=0.30, spread=(0.3, 0.08, 0.12, 0.3)),
    ),
    PoseKind(
        name="stand on one leg", weight=0.02,
        arms={"up": 0.3, "side": 0.2, "balance": 0.3, "crossed": 0.1, "guard": 0.2},
        same_arms=0.7, lead=Leg(flex=0.8, abduct=0.45, turn=0.5, knee=1.6, spread=(0.5, 0.3, 0.3, 0.4)),
    ),
    PoseKind(
        name="climb", weight=0.02, arms={"up": 0.6, "smash": 0.3, "point": 0.2},
        lead=Leg(flex=1.3, abduct=0.5, turn=0.5, knee=1.5, spread=(0.3, 0.2, 0.2, 0.35)),
        trail=Leg(flex=0.3, abduct=0.25, turn=0.3, knee=0.3, spread=(0.25, 0.1, 0.2, 0.25)),
    ),
    PoseKind(
        name="dance", weight=0.06, arms=ANY_ARMS, same_arms=0.25, bend_spread=0.2, twist_spread=0.35, lean_spread=0.15,
        lead=Leg(flex=0.5, abduct=0.25, turn=0.25, knee=0.6, spread=LOOSE),
        trail=Leg(flex=0.1, abduct=0.2, turn=0.25, knee=0.3, spread=(0.25, 0.15, 0.2, 0.3)),
    ),
    PoseKind(
        name="anything", weight=0.05, arms=ANY_ARMS, same_arms=0.1, bend_spread=0.25, twist_spread=0.35,
        lean_spread=0.25, lead=Leg(flex=0.6, abduct=0.2, knee=0.8, spread=(0.7, 0.25, 0.3, 0.7)),
        trail=Leg(flex=0.4, abduct=0.2, knee=0.7, spread=(0.7, 0.25, 0.3, 0.7)),
    ),
    PoseKind(
        name="split", weight=0.008, arms={"up": 0.4, "side": 0.3, "balance": 0.3}, same_arms=0.8,
        lead=Leg(flex=1.35, abduct=0.1, knee=0.05), trail=Leg(flex=-0.65, abduct=0.4, turn=0.3, knee=0.15),
    ),
    PoseKind(
        name="crawl", weight=0.012, arms={"point": 1.0}, same_arms=1.0, lean=1.40, lean_spread=0.15, bend_spread=0.2,
        lead=Leg(flex=1.45, knee=1.6, spread=(0.25, 0.1, 0.1, 0.2)),
        trail=Leg(flex=1.45, knee=1.6, spread=(0.25, 0.1, 0.1, 0.2)),
    ),
    PoseKind(
        name="push up", weight=0.008, arms={"point": 1.0}, same_arms=1.0, lean=1.38, lean_spread=0.1,
        lead=Leg(flex=0.05), trail=Leg(flex=0.0),
    ),
    PoseKind(
        name="lie", weight=0.016, arms=ANY_ARMS, same_arms=0.4, lean=-1.57, lean_spread=0.08, spin_spread=1.6,
        lead=Leg(flex=0.3, knee=0.5, spread=(0.4, 0.15, 0.2, 0.5)),
        trail=Leg(flex=0.2, knee=0.3, spread=(0.3, 0.15, 0.2, 0.4)),
    ),
    PoseKind(
        name="handstand", weight=0.008, arms={"up": 1.0}, same_arms=1.0, lean=3.14, lean_spread=0.12, bend=-0.1,
        lead=Leg(flex=0.0, knee=0.15, spread=(0.35, 0.25, 0.15, 0.35)),
        trail=Leg(flex=0.0, knee=0.1, spread=(0.3, 0.25, 0.15, 0.3)),
    ),
)  # fmt: skip
