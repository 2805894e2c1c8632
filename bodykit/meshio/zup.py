"""The frame of programs in which z is up: x right, y away from the camera, z up, the camera at the origin."""

import numpy as np

Z_UP = "x right, y away from the camera, z up, the camera at the origin"
CAMERA_TO_Z_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)  # a quarter turn about x
