"""The public evaluations on plain arrays: AGORA, 3DPW, Relative Human. Reads no data set and runs no network.

docs/evaluation.md says how they differ from the evaluation of rendered pictures.
"""
