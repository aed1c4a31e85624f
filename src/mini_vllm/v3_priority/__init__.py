"""v3: the version that becomes vLLM. Without a prefix cache, it takes vLLM 0.32's decisions exactly.

It changes more than one thing, because vLLM's rules only agree with each other as a whole:

1. Budget: each step shares max_num_batched_tokens among all requests, running ones first.
2. Chunked prefill: a request gets what is left of the budget, so a prompt may take several steps.
3. Queue: a heap orders the waiting requests by arrival (fcfs) or by priority and arrival (priority).
4. Victims: the last running request, or the one of lowest priority. v2's list of holders is gone, and the
   block manager builds on v1's. Only v2's preemption stays.
5. Admission: a prompt starts only if all of it fits into memory, even if a chunk is computed first.

b's prompt of 6 tokens does not fit beside a's 4 in a step of 8. v2 lets it wait, v3 cuts it in two:

    blocks 5 of 4 tokens, 8 tokens a step
    a arrives 0, prompt 0000, output 999
    b arrives 0, prompt 111111, output 999

    v2_lru  step 0  a:4
    v2_lru  step 1  a:1 b:6
    v2_lru  step 2  a:1 b:1, finishes a

    v3_priority  step 0  a:4 b:4
    v3_priority  step 1  a:1 b:2
    v3_priority  step 2  a:1 b:1, finishes a
"""
