"""A scheduler for vLLM whose steps prefill or decode, never both.

It imports vLLM at the top: import it late.
"""

from __future__ import annotations

from typing import Any

from vllm.v1.core.sched.scheduler import Scheduler


class SeparatedScheduler(Scheduler):
    """Prefills go first: decodes wait while a prefill runs or can begin.

    vLLM's own Scheduler decides all the rest. In a prefill step it does not see the requests that decode.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._no_room = False  # the last prefill step found no blocks: a decode step must come first

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """One step. If the KV cache has no room for a prompt, decodes go on until a request leaves."""
        decoding = [request for request in self.running if not _prefilling(request)]
        prefilling = len(decoding) < len(self.running)
        can_begin = bool(self.waiting) and len(self.running) < self.max_num_active_reqs
        if not decoding or self._no_room or not (prefilling or can_begin):
            self._no_room = False
            return super().schedule(*args, **kwargs)
        self.running = [request for request in self.running if _prefilling(request)]
        self.max_num_active_reqs -= len(decoding)
        try:
            output = super().schedule(*args, **kwargs)
        finally:
            self.max_num_active_reqs += len(decoding)
            self.running = decoding + self.running
        self._no_room = output.total_num_scheduled_tokens == 0
        return output


def _prefilling(request: Any) -> bool:
    """Whether tokens are still to be computed of the prompt, or of what a preempted request had generated."""
    return request.num_output_tokens == 0 or request.num_computed_tokens < request.num_tokens - 1
