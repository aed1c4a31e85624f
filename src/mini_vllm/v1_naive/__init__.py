"""v1: GPU memory is a list of free blocks, and requests run first come, first served.

Every step gives each running request one token, then starts whole prompts while there is room. Nothing is
ever taken back before a request has finished. A decode that finds no free block ends the run with
OutOfBlocks. That is a result: batching continuously is easy, and running out of memory is the problem that v2
to v4 solve.

Requests a, b and c of 4 prompt tokens (0000) and 5 output tokens fill 3 of 5 blocks. Their fifth tokens need
3 more blocks, one too many:

    blocks 5 of 4 tokens, 64 tokens a step
    a arrives 0, prompt 0000, output 99999
    b arrives 0, prompt 1111, output 99999
    c arrives 0, prompt 2222, output 99999

    v1_naive  step 0  a:4 b:4 c:4
    v1_naive  OutOfBlocks: c needs 1 blocks, 0 are free
"""
