"""Builds a TensorRT plan from the exported network. `build.py` has the steps, docs/tensorrt.md reasons and measurements.

Works on files alone: no torch, no service. Only `builder.py` and `runner.py` use TensorRT or a GPU, and import them late;
everything else runs, and is tested, on any machine.
"""
