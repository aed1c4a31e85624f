"""Who made which file, from what and with which code: one document for each job, and the means to check it.

documents  the document's format; reading and collecting documents
schemas    checks what a job wrote against its schema
record     runs a job and writes its document (every rule's command goes through it)
upstream   the walk from a file back to the raw data; the files of this project that a script depends on
verify     recomputes every hash under results/; names what does not fit, adopts what does
packing    results in one zip file: an archive of everything, or a bundle for another machine's project
crate      a finished run described as an RO-Crate
"""
