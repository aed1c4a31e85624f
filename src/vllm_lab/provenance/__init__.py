"""Who made which file, from what, with which code: one document for every job, and the means to check it.

documents  the document's format, reading and collecting documents
record     runs a job and writes its document (every rule's command goes through it)
host       the hardware and software a job saw
schemas    checks what a job wrote against its schema
sources    finds the files of ours that a script depends on
adopt      makes kept results current beside a fresh clone
archive    results with all behind them in one file, checked wherever it lies
verify     recomputes every hash under results/ and names what does not fit
chain      walks from a file back to the raw data
"""
