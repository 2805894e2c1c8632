"""Makes an API key: the key for the client, and the line for the service's file, which holds only its hash.

example:
  depthhmr key camera-1
  depthhmr serve      # with DEPTHHMR_API_KEYS_FILE=keys.txt
"""

import argparse
import re

from bodykit.errors import UserError

HELP = "make an API key and the line for the service's file of keys"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="whose key it is; a name may have several")


def run(args: argparse.Namespace) -> int:
    from service.access.keys import hash_of, new_key
    from service.access.watched import CHECK_INTERVAL_S

    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", args.name):
        raise UserError(f"a name has letters, digits and ._- only, 64 of them at most; got {args.name!r}")
    key = new_key()
    print(key)
    print(f"{args.name} {hash_of(key)}")
    print()
    print(
        "The first line is the key: give it to the client, it is stored nowhere. The second goes into the service's file,"
    )
    print(
        f"which DEPTHHMR_API_KEYS_FILE names; a running service takes a change of it within about {CHECK_INTERVAL_S:.0f} s."
    )
    return 0
