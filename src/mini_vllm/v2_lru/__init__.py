"""v2: a decode that finds no free block takes the blocks of the request that was scheduled longest ago.

New against v1: preemption. The victim loses its memory, goes back to the front of the queue and computes all
its tokens again later, as in vLLM. A linked list with a hash map keeps the order in which requests were
scheduled. The choice of the victim is a learner's guess: vLLM never preempts by "least recently scheduled",
it evicts *blocks* in that order (v4). Nobody is admitted in a step that preempts, or the victim would come
straight back.

v1's three requests. In step 1, a and b take the last two free blocks. c needs one, and a was scheduled
longest ago, although it already had its turn in this step:

    blocks 5 of 4 tokens, 64 tokens a step
    a arrives 0, prompt 0000, output 99999
    b arrives 0, prompt 1111, output 99999
    c arrives 0, prompt 2222, output 99999

    v1_naive  step 0  a:4 b:4 c:4
    v1_naive  OutOfBlocks: c needs 1 blocks, 0 are free

    v2_lru  step 0  a:4 b:4 c:4
    v2_lru  step 1  b:1 c:1, preempts a
    v2_lru  step 2  b:1 c:1
"""
