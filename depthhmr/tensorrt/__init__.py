"""The exported network to a TensorRT plan: `build.py` tells the story, docs/tensorrt.md the reasons and the measurements.

Works on files alone: no torch, no service. Only `builder.py` and `runner.py` touch TensorRT or a GPU, and import them late:
everything else runs, and is tested, on any machine.
"""
