"""The public evaluations, number by number, on plain arrays: AGORA, 3DPW, Relative Human. docs/evaluation.md says how
they differ from the evaluation of rendered pictures. Nothing here reads a data set or runs a network.
"""
