"""The waiting requests as one heap. Mirrors vllm/v1/core/sched/request_queue.py, both of its queues."""

import heapq
from collections.abc import Iterator
from itertools import count

from mini_vllm.request import Request


class RequestQueue:
    """Waiting requests, the next one first: by order of arrival (fcfs), or by priority and then arrival.

    Under fcfs the heap's key is a ticket. New requests draw the next higher number and preempted ones the
    next lower, so a preempted request is served before all others: after the arrivals 1, 2, 3 the first
    request to be preempted draws -1. Under priority a preempted request has no such advantage: it goes back
    to the place of its priority and arrival (PriorityRequestQueue.prepend_request says so).
    """

    def __init__(self, policy: str) -> None:
        self.by_priority = policy == "priority"
        self.heap: list[tuple[tuple, Request]] = []
        self.tickets_behind, self.tickets_before = count(1), count(-1, -1)

    def append(self, request: Request) -> None:
        """A new request joins."""
        self._push(request, next(self.tickets_behind))

    def appendleft(self, request: Request) -> None:
        """A preempted request comes back."""
        self._push(request, next(self.tickets_before))

    def peek(self) -> Request:
        """The next request, which stays in the queue."""
        return self.heap[0][1]

    def popleft(self) -> Request:
        """Take out the next request."""
        return heapq.heappop(self.heap)[1]

    def remove(self, request: Request) -> None:
        """Take out `request`, at whatever place. Mirrors remove_request."""
        self.heap = [entry for entry in self.heap if entry[1] is not request]
        heapq.heapify(self.heap)

    def _push(self, request: Request, ticket: int) -> None:
        order: tuple = (ticket,)
        if self.by_priority:  # the id breaks ties, compared as text, as in vllm/v1/request.py, Request.__lt__
            order = request.priority, request.arrival_time, request.request_id
        heapq.heappush(self.heap, (order, request))

    def __len__(self) -> int:
        return len(self.heap)

    def __iter__(self) -> Iterator[Request]:
        return (request for _, request in sorted(self.heap, key=lambda entry: entry[0]))
