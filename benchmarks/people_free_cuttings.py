"""Pictures cut out of photographs without people, for `depthhmr evaluate --people-free OUT`.

    python benchmarks/people_free_cuttings.py PHOTOGRAPHS OUT COUNT

The figure of the model card is that of 200 cuttings of eight photographs that `scripts/install-backdrops` fetches and that
no training run has seen: Wine, aitzgorri, friends_by, EveningGlow, Grey, Storm, brick and china.
"""

import sys
from pathlib import Path

from PIL import Image

from depthhmr.synth.backdrops import Backdrops

SHAPES = ((320, 240), (240, 320), (256, 256))

if len(sys.argv) != 4:
    sys.exit(__doc__)
photographs, out, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
out.mkdir(parents=True, exist_ok=True)
backdrops = Backdrops(photographs, 1.0)
for seed in range(count):
    width, height = SHAPES[seed % len(SHAPES)]
    drawn = backdrops.draw(seed, width, height, 320)
    assert drawn is not None, "a share of 1 leaves no picture without a backdrop"
    Image.fromarray((drawn[0].rgb * 255).clip(0, 255).astype("uint8")).save(out / f"{seed:05d}.png")
