"""Random clients of the gRPC stream (a hypothesis state machine) against a running service.

Whatever a client does, every accepted frame gets exactly one reply, and replies come in the order of the frames.
"""

import queue
import threading
import time
from collections.abc import Iterator

import grpc
import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from fuzz.corpus.pictures import arrow, encoded
from fuzz.results import Result
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

GOOD, BAD = encoded(arrow()), b"\xff\xd8\xff no picture"
PER_ROUND, STEPS = 10, 25
TIMEOUT_S = 20.0


def fuzz(target: str, *, seconds: float | None = None, rounds: int | None = None) -> Result:
    """Streams to the gRPC address `target` for `seconds`, or for `rounds` (then reproducibly)."""
    end = time.monotonic() + (seconds or float("inf"))
    count, number, findings = 0, 0, []
    with grpc.insecure_channel(target) as channel:
        stub = ReconstructionServiceStub(channel)

        def begin() -> Client:
            nonlocal count
            count += 1
            return Client(stub)

        while time.monotonic() < end and number != rounds and not findings:
            number += 1
            try:
                run_state_machine_as_test(hypothesis.seed(number)(begin), settings=SETTINGS)
            except Exception as error:
                notes = "; ".join(getattr(error, "__notes__", []))
                findings.append(f"round {number}: {type(error).__name__}: {error} {notes}"[:1500])
    return Result("gRPC stream (hypothesis)", count, tuple(findings))


SETTINGS = settings(
    max_examples=PER_ROUND,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


class Client(RuleBasedStateMachine):
    def __init__(self, stub: ReconstructionServiceStub) -> None:
        super().__init__()
        self._outgoing: queue.Queue[pb.ReconstructStreamRequest | None] = queue.Queue()
        self._call = stub.ReconstructStream(self._messages(), timeout=TIMEOUT_S)
        self._answers: list[pb.ReconstructStreamResponse] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.sent: list[int] = []  # until the first protocol violation
        self.configured = self.violated = self.closed = self.cancelled = False

    @precondition(lambda self: not self.configured and not self.closed)
    @rule(in_flight=st.integers(0, 8), drop=st.booleans(), follow=st.booleans())
    def configure(self, in_flight: int, drop: bool, follow: bool) -> None:
        policy = pb.OVERLOAD_POLICY_DROP_OLDEST if drop else pb.OVERLOAD_POLICY_BLOCK
        config = pb.StreamConfig(max_in_flight=in_flight, overload_policy=policy)
        if follow:
            config.tracking.SetInParent()
        self._send(pb.ReconstructStreamRequest(config=config))
        self.configured = True

    @precondition(lambda self: self.configured and not self.closed)
    @rule(good=st.booleans(), ahead=st.integers(1, 3), burst=st.integers(1, 12))
    def frames(self, good: bool, ahead: int, burst: int) -> None:
        for _ in range(burst):
            frame_id = (self.sent[-1] if self.sent else -1) + ahead
            self._send(pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=frame_id, image=GOOD if good else BAD)))
            if not self.violated:
                self.sent.append(frame_id)

    @precondition(lambda self: self.sent and not self.closed)
    @rule(back=st.integers(0, 3))
    def frame_of_the_past(self, back: int) -> None:
        self._send(pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=max(0, self.sent[-1] - back), image=GOOD)))
        self.violated = True

    @precondition(lambda self: not self.closed and self.configured)
    @rule(kind=st.sampled_from(["config", "empty"]))
    def nonsense(self, kind: str) -> None:
        message = pb.ReconstructStreamRequest()
        if kind == "config":
            message.config.SetInParent()
        self._send(message)
        self.violated = True

    @rule(milliseconds=st.integers(0, 20))
    def wait(self, milliseconds: int) -> None:
        time.sleep(milliseconds / 1e3)

    @precondition(lambda self: not self.closed and (self.configured or self.sent))
    @rule()
    def close(self) -> None:
        self._outgoing.put(None)
        self.closed = True

    @precondition(lambda self: not self.cancelled)
    @rule()
    def cancel(self) -> None:
        self._call.cancel()
        self.cancelled = self.closed = True
        self._outgoing.put(None)

    def teardown(self) -> None:
        self._outgoing.put(None)
        self._reader.join(TIMEOUT_S + 5)
        assert not self._reader.is_alive(), "the stream does not end"
        code = self._call.code()
        ids = [getattr(answer, kind).frame_id for answer in self._answers if (kind := _kind(answer)) in ANSWERS]
        assert ids == self.sent[: len(ids)], f"sent {self.sent}, answered {ids}"
        if self.cancelled:
            assert code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), code
        elif self.violated or not self.configured:
            assert code is grpc.StatusCode.INVALID_ARGUMENT, code
        else:
            assert code is grpc.StatusCode.OK, code
            assert ids == self.sent, f"sent {self.sent}, answered {ids}"
            kinds = [_kind(answer) for answer in self._answers]
            assert kinds[0] == "ready" and kinds[-1] == "summary" and kinds.count("summary") == 1, kinds
            summary = self._answers[-1].summary
            counted = (kinds.count("result"), kinds.count("error"), kinds.count("dropped"))
            assert (summary.results, summary.errors, summary.dropped) == counted and summary.frames == len(self.sent)

    def _send(self, message: pb.ReconstructStreamRequest) -> None:
        self._outgoing.put(message)

    def _messages(self) -> Iterator[pb.ReconstructStreamRequest]:
        while (message := self._outgoing.get()) is not None:
            yield message

    def _read(self) -> None:
        try:
            for answer in self._call:
                self._answers.append(answer)
        except grpc.RpcError:
            pass  # teardown checks the status code
        finally:
            self._outgoing.put(None)


ANSWERS = ("result", "error", "dropped")


def _kind(answer: pb.ReconstructStreamResponse) -> str:
    return answer.WhichOneof("message")
