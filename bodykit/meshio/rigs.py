"""Names of the 24 joints as other programs know them, so that their retargeting finds the bones by itself.

Only names: the skeleton and its rest pose (arms out in a T) stay those of the body. Mixamo's is a T, too; Unreal's
mannequin stands with its arms lowered (an A), which its retargeter wants to be told.
"""

from types import MappingProxyType

from bodykit.body import JOINT_NAMES

# The hand joints of the body lie at the knuckles: the first joint of the middle finger.
_MIXAMO = (
    "Hips LeftUpLeg RightUpLeg Spine LeftLeg RightLeg Spine1 LeftFoot RightFoot Spine2 LeftToeBase RightToeBase Neck "
    "LeftShoulder RightShoulder Head LeftArm RightArm LeftForeArm RightForeArm LeftHand RightHand LeftHandMiddle1 "
    "RightHandMiddle1"
)
# Unreal's mannequin has five bones in the spine; the body has three.
_UE5 = (
    "pelvis thigh_l thigh_r spine_01 calf_l calf_r spine_03 foot_l foot_r spine_05 ball_l ball_r neck_01 clavicle_l "
    "clavicle_r head upperarm_l upperarm_r lowerarm_l lowerarm_r hand_l hand_r middle_01_l middle_01_r"
)
RIGS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "smpl": JOINT_NAMES,
        "mixamo": tuple(f"mixamorig:{name}" for name in _MIXAMO.split()),
        "ue5": tuple(_UE5.split()),
    }
)
