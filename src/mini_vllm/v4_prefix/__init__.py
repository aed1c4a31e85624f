"""v4: full blocks stay known by their content and are used again. vLLM 0.32's decisions, block for block.

New against v3: the block manager, and nothing else. In vLLM, too, prefix caching is its business alone. Full
blocks are entered into a trie under the tokens of the whole beginning. A request that starts takes the blocks
that already hold its beginning, and computes only the rest. A block that no request uses is free, but stays
cached until it is handed out again: the least recently used one first, and that is its eviction.

b repeats a's prompt. v4 finds its first block; the second is cached as well, but the last token must be
computed to get the next one. c needs 3 of the blocks 4, 5, 2, 3 and 1, in this order; 2 is evicted
(docs/mini_vllm.md):

    blocks 5 of 4 tokens, 64 tokens a step
    a arrives 0, prompt 11111111, output 2
    b arrives 1, prompt 11111111, output 2
    c arrives 2, prompt 333333333333, output 2

    v3_priority  step 0  a:8, finishes a
    v3_priority  step 1  b:8, finishes b
    v3_priority  step 2  c:12, finishes c

    v4_prefix  step 0  a:8, finishes a
    v4_prefix  step 1  b:4, finishes b
    v4_prefix  step 2  c:12, finishes c, evicts 1
"""
