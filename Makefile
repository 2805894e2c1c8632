# Every target is one script; the scripts install what they need into .venv and say what they do.

.PHONY: help demo serve test test-fast check bench soak fuzz docker-check lock env-example audit sbom format train-env clean

help:         ## this list
	@sed -n 's/^\([a-z-]*\): *##/  make \1\t/p' Makefile | expand -t 20

demo:         ## set up, start the service, send it one image, write out/, stop
	@scripts/demo

serve:        ## set up and serve on http://127.0.0.1:8000 until Ctrl-C
	@scripts/serve

test:         ## set up everything, then run every test that this machine can run
	@scripts/test

test-fast:    ## the tests that take no seconds each, for daily work: a minute and a half
	@scripts/test-fast

check:        ## format, lint, types and the import rules
	@scripts/check

bench:        ## the service, its peers and a plain loop side by side: tables in out/benchmarks (half an hour)
	@scripts/bench

soak:         ## half an hour of clients who cancel, time out, send rubbish and vanish, and of killed engines
	@scripts/soak

fuzz:         ## a minute each of fuzzers against decoder, options, REST and streams
	@scripts/fuzz

docker-check: ## build the images and run docker-compose.yml for real (exit 77 where it cannot run)
	@scripts/docker-check

lock:         ## write docker/*.lock again from pyproject.toml
	@scripts/lock

env-example:  ## write .env.example again from the settings
	@scripts/env-example

audit:        ## ask the advisory service for known holes (exit 77 where it cannot be asked)
	@scripts/audit

sbom:         ## write out/sbom.cdx.json, the bill of materials
	@scripts/sbom

format:       ## rewrite the code in the house format
	@scripts/format

train-env:    ## install what training, export and pictures need
	@scripts/train-env

clean:        ## remove .venv, out/ and every cache
	@scripts/clean
