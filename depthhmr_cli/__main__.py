"""`python -m depthhmr_cli` is `depthhmr`."""

import sys

from depthhmr_cli.main import main

sys.exit(main())
