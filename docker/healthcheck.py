"""Exit 0 when the gateway in this container can answer requests, 1 with a sentence when it cannot.

Asks /v1/health/ready, not /live: Docker never restarts a container for being unhealthy, so the state is read by
`docker compose up --wait`, by `depends_on` and by people, and all of them want to know whether images are answered.
(Docker Swarm does replace unhealthy tasks: there, add the argument /v1/health/live, or a Triton that is away takes the
gateways with it.)
"""

import http.client
import os
import ssl
import sys

TIMEOUT_S = 2.0


def main(path: str) -> int:
    port = int(os.environ.get("DEPTHHMR_PORT") or 8000)
    try:
        connection = connect(port)
        if os.environ.get("DEPTHHMR_TLS_CLIENT_CA"):
            connection.connect()  # we have no certificate to show, so that it speaks TLS is all that can be learned
            print(f"127.0.0.1:{port} answers, and wants a client certificate for more")
            return 0
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(500).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer from 127.0.0.1:{port}{path}: {error}")
        return 1
    print(f"{path}: {answer.status} {body}")
    return 0 if answer.status == 200 else 1


def connect(port: int) -> http.client.HTTPConnection:
    """To the service in this container; its certificate is made out to another name than 127.0.0.1, so nobody checks it."""
    if not os.environ.get("DEPTHHMR_TLS_CERTIFICATE"):
        return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=context)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "/v1/health/ready"))
